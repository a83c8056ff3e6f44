"""Questions in batches to the stand-in for OpenAI's Batch API, for the tests of BatchChat.

A process that is killed in a test imports this, so it imports no server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from baez_pipeline.answers import Answers
from baez_pipeline.answers.batches import Batches
from baez_pipeline.experiment import HttpJudge
from baez_pipeline.llm.batch_chat import BatchChat
from baez_pipeline.llm.chat import ChatModel, Completion, Request

if TYPE_CHECKING:
    from baez_pipeline_tests.openai_batches import FakeBatches

USD_IN, USD_OUT = 1000.0, 5000.0
"""Per million tokens, of single requests."""


def question(text: str = "Which one?", **fields: Any) -> Request:
    """A request with one user message."""
    return Request(messages=({"role": "user", "content": text},), **{"max_tokens": 20, **fields})


def questions(number: int, **fields: Any) -> list[Request]:
    """Different ones."""
    return [question(f"Which one is number {index}?", **fields) for index in range(number)]


def odd(text: str) -> str | None:
    """What is wrong with an answer that does not say really."""
    return None if "really" in text else "It does not say really"


def settings_of(base_url: str, **settings: Any) -> HttpJudge:
    """A judge whose single requests have round prices."""
    chosen = {"usd_per_million_in": USD_IN, "usd_per_million_out": USD_OUT, "timeout_seconds": 0.4, "tries": 3}
    return HttpJudge(**{"model": "fake-1", "base_url": base_url, **chosen, **settings})


def open_chat(
    url: str, base_url: str, *, max_usd: float | None = None, key: str | None = None, **settings: Any
) -> BatchChat:
    """A client whose waits are short."""
    return BatchChat(
        settings_of(base_url, mode="batch", **settings),
        Answers(url),
        experiment="e",
        max_usd=max_usd,
        key=key,
        quiet_seconds=0.05,
        poll_seconds=0.02,
        patience_seconds=0.3,
        backoff_seconds=0.01,
    )


def ask_all(chat: ChatModel, requests: Sequence[Request]) -> list[Completion | BaseException]:
    """All at once; what was raised in place of an answer. Fails instead of waiting for ever."""

    async def gather() -> list[Completion | BaseException]:
        async with asyncio.timeout(10):
            return await asyncio.gather(*map(chat.complete, requests), return_exceptions=True)

    return asyncio.run(gather())


def give_up_when(happened: Callable[[], object], chat: ChatModel, requests: Sequence[Request]) -> None:
    """Ask, and stop when something has happened, as an interrupted run does."""

    async def give_up() -> None:
        tasks = [asyncio.create_task(chat.complete(request)) for request in requests]
        while not happened():
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(give_up())


def ask_elsewhere(url: str, base_url: str, number: int) -> None:
    """What a process that is killed has done until then."""
    ask_all(open_chat(url, base_url), questions(number))


@dataclass(frozen=True, kw_only=True)
class Batching:
    """A served endpoint with a database beside it. Every chat is a new client, as after a restart."""

    fake: FakeBatches
    base_url: str
    folder: Path

    @property
    def url(self) -> str:
        """Of the database."""
        return f"sqlite:///{self.folder / 'answers.sqlite'}"

    @property
    def answers(self) -> Answers:
        """Opened anew."""
        return Answers(self.url)

    def chat(self, **settings: Any) -> BatchChat:
        """A new client."""
        return open_chat(self.url, settings.pop("base_url", self.base_url), **settings)

    def ask(self, *requests: Request, **settings: Any) -> list[Completion | BaseException]:
        """Questions to a new client, all at once."""
        return ask_all(self.chat(**settings), requests)

    def sizes(self) -> list[int]:
        """Questions of each batch that was submitted."""
        return [len(batch.lines) for batch in self.fake.batches]

    def unsettled(self) -> list[str]:
        """Tags of batches that are not settled."""
        batches = Batches(self.answers).unsettled("e", base_url=self.base_url, model="fake-1")
        return [batch.tag for batch in batches]

    def end_batches(self) -> None:
        """Let the endpoint finish while nobody waits."""
        self.fake.stands_still = False
        for number in range(1, len(self.fake.batches) + 1):
            while httpx.get(f"{self.base_url}/batches/batch_{number}").json()["status"] != "completed":
                pass

    def bill(self) -> float:
        """The endpoint's."""
        return self.fake.openai.usd(per_million_in=USD_IN, per_million_out=USD_OUT) / 2
