"""Questions over HTTP to the stand-in for an endpoint, for the tests of HttpChat."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baez_pipeline.answers import Answers
from baez_pipeline.experiment import HttpJudge
from baez_pipeline.llm.chat import Completion, Request
from baez_pipeline.llm.http_chat import HttpChat
from baez_pipeline.scoring.answer_list import problem_of
from baez_pipeline_tests.openai_server import FakeOpenAI

EXPERIMENT = "e"
USD_IN, USD_CACHED, USD_OUT = 1000.0, 100.0, 5000.0
"""Per million tokens."""


def question(text: str = "Which one?", **fields: Any) -> Request:
    """A request with one user message."""
    return Request(messages=({"role": "user", "content": text},), **{"max_tokens": 20, **fields})


def judged() -> Request:
    """A judge's question about three examples; the right answer is [1, 0, 1], anything but such a list is none."""
    text = (
        "Latent explanation: music\n\nText examples:\n\nExample 0: The music.\nExample 1: A boat.\nExample 2: Music!\n"
    )
    return question(text, problem=lambda answer: problem_of(answer, 3))


def questions(number: int) -> list[Request]:
    """Different ones."""
    return [question(f"Which one is number {index}?") for index in range(number)]


@dataclass(frozen=True, kw_only=True)
class Asking:
    """A served endpoint with a database beside it. Every chat is a new client, as after a restart."""

    fake: FakeOpenAI
    base_url: str
    folder: Path

    @property
    def answers(self) -> Answers:
        """Opened anew."""
        return Answers(f"sqlite:///{self.folder / 'answers.sqlite'}")

    def chat(self, *, max_usd: float | None = None, key: str | None = None, **settings: Any) -> HttpChat:
        """A client whose waits are short."""
        chosen = {
            "model": "fake-1",
            "base_url": self.base_url,
            "usd_per_million_in": USD_IN,
            "usd_per_million_cached_in": USD_CACHED,
            "usd_per_million_out": USD_OUT,
            "concurrency": 4,
            "timeout_seconds": 5,
            "tries": 3,
            **settings,
        }
        return HttpChat(
            HttpJudge(**chosen),
            self.answers,
            experiment=EXPERIMENT,
            max_usd=max_usd,
            key=key,
            backoff_seconds=0.01,
        )

    def ask(self, request: Request | None = None, **settings: Any) -> Completion:
        """One question to a new client."""
        return asyncio.run(self.chat(**settings).complete(request or question()))

    def usd(self) -> float:
        """The endpoint's bill, lost answers included."""
        return self.fake.usd(per_million_in=USD_IN, per_million_cached=USD_CACHED, per_million_out=USD_OUT)


def ask_all(chat: HttpChat, requests: Sequence[Request]) -> list[Completion | BaseException]:
    """All at once; what was raised in place of an answer. Fails instead of waiting for ever."""

    async def gather() -> list[Completion | BaseException]:
        async with asyncio.timeout(20):
            return await asyncio.gather(*map(chat.complete, requests), return_exceptions=True)

    return asyncio.run(gather())


async def cancelled_when_asked(chat: HttpChat, request: Request, fake: FakeOpenAI) -> None:
    """Ask, and give up as soon as the question has arrived."""
    task = asyncio.create_task(chat.complete(request))
    while not fake.requests:
        await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
