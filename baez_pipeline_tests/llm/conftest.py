import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from baez_pipeline_tests.llm.asking import Asking
from baez_pipeline_tests.llm.batch_asking import Batching
from baez_pipeline_tests.openai_batches import FakeBatches
from baez_pipeline_tests.openai_server import FakeOpenAI
from baez_pipeline_tests.served import served


class Current:
    """One server for many tests: starting and stopping one takes longer than most of them."""

    fake: FakeOpenAI | FakeBatches

    async def __call__(self, scope, receive, send):
        await self.fake.app(scope, receive, send)


@pytest.fixture(scope="package")
def server():
    current = Current()
    with served(Starlette(routes=[Mount("/", app=current)])) as address:
        yield current, f"{address}/v1"


@pytest.fixture
def asking(server, tmp_path):
    """A new endpoint that asks for no key and answers everything; tests change what they need."""
    current, base_url = server
    current.fake = FakeOpenAI()
    return Asking(fake=current.fake, base_url=base_url, folder=tmp_path)


@pytest.fixture
def batching(server, tmp_path):
    """A new endpoint with a Batch API, which gives another answer to each question."""
    current, base_url = server
    current.fake = FakeBatches(openai=FakeOpenAI(answer=lambda body: f"You said: {body['messages'][-1]['content']}"))
    return Batching(fake=current.fake, base_url=base_url, folder=tmp_path)
