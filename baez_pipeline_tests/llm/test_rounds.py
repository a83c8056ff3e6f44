"""Questions that are asked anew in a round: an answer of another round is not theirs."""

import asyncio

import pytest

from baez_pipeline.answers import Answers
from baez_pipeline.experiment import HttpWriter
from baez_pipeline.llm.chat import InRound, Purpose, Request
from baez_pipeline.llm.http_chat import HttpChat
from baez_pipeline_tests.openai_server import FakeOpenAI
from baez_pipeline_tests.served import served

QUESTION = Request(messages=({"role": "user", "content": "Is it so?"},), purpose=Purpose(asset="scores_detection"))


@pytest.fixture
def asked(tmp_path):
    endpoint = FakeOpenAI()
    with served(endpoint.app) as address:
        prices = {"usd_per_million_in": 1.0, "usd_per_million_out": 1.0}
        settings = HttpWriter(model="fake-1", base_url=f"{address}/v1", **prices)
        answers = Answers.of(str(tmp_path), None)
        yield endpoint, answers, HttpChat(settings, answers, experiment="e", max_usd=None, key=None)


def test_each_round_asks_once_and_leaves_the_answers_of_others_where_they_are(asked):
    endpoint, answers, chat = asked
    rounds = [InRound(chat, round=name, asset="rescores_detection") for name in ("2026-W48", "2026-W49")]
    for model in (chat, *rounds, chat, *rounds):
        assert asyncio.run(model.complete(QUESTION)).text
    assert endpoint.requests == 3
    assert all("round" not in str(body) and "W48" not in str(body) for body in endpoint.bodies)
    assert answers.ledger("e")["asset"].to_list() == ["scores_detection", "rescores_detection", "rescores_detection"]
    assert {(model.identity, model.concurrency) for model in rounds} == {(chat.identity, chat.concurrency)}


def test_answers_from_before_there_were_rounds_are_still_found(asked):
    _, _, chat = asked
    settings = HttpWriter(model="m", base_url="https://a.invalid", usd_per_million_in=0, usd_per_million_out=0)
    plain = HttpChat(settings, chat._answers, experiment="e", max_usd=None, key=None)
    # Worked out by the code as it was then.
    assert plain.key_of(QUESTION) == "400ec0ee10960a5806dd24cdde66fd84"
