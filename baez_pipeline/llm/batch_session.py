"""Who waits for which answer, and for which batch, in one event loop.

Goes in: the questions and batches that batch_chat.py works on. Stays out: everything that takes time.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass, field, replace

from baez_pipeline.answers.batches import Batch, BatchQuestion, new_id
from baez_pipeline.llm.batch_endpoint import BatchEndpoint
from baez_pipeline.llm.batch_lines import MOST_REQUESTS
from baez_pipeline.llm.batch_results import Again, Result
from baez_pipeline.llm.chat import Completion, Request


@dataclass(kw_only=True, eq=False)
class Waiting:
    """A question that somebody waits for."""

    request: Request
    body: bytes
    """As it is sent: a question that is asked again with a reason has more messages than its request."""
    question: BatchQuestion
    answer: asyncio.Future[Completion]


@dataclass(kw_only=True, eq=False)
class Watch:
    """A batch that is waited for."""

    batch: Batch
    questions: list[BatchQuestion]
    looked: asyncio.Event = field(default_factory=asyncio.Event)
    """It is known to go on, or has come to its end."""


@dataclass(kw_only=True, eq=False)
class Session:
    """What belongs to one event loop."""

    endpoint: BatchEndpoint
    waiting: dict[str, Waiting] = field(default_factory=dict)
    """All that is asked and not answered, by key."""
    pending: dict[str, Waiting] = field(default_factory=dict)
    """Of those, what is in no batch yet."""
    arrived: float = 0.0
    """Loop time of the latest question."""
    watching: dict[str, Watch] = field(default_factory=dict)
    """By tag."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    """Of the watches."""
    collecting: asyncio.Task[None] | None = None
    most: int = MOST_REQUESTS
    """Questions per batch."""
    one_at_a_time: bool = False
    """A batch had more tokens than the endpoint takes at once."""
    until_the_loop_ends: AsyncGenerator["Session"] | None = None

    @property
    def watched_keys(self) -> set[str]:
        """Of the questions in all batches that are waited for."""
        return {asked.key for watch in self.watching.values() for asked in watch.questions}

    async def one_batch_ends(self) -> None:
        """Wait until a batch that is waited for has come to its end."""
        await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)

    def hand_out(self, results: Mapping[str, Result], questions: Iterable[BatchQuestion] = ()) -> None:
        """Give those who wait their answers, and put what is asked again among what is pending.

        Args:
            results: by key.
            questions: as they were in their batch, for what is asked again.
        """
        asked_at = {asked.key: asked.asked_at for asked in questions}
        for key, result in results.items():
            waiting = self.waiting.get(key)
            if waiting is None or waiting.answer.done():
                continue
            self.pending.pop(key, None)
            if isinstance(result, Again):
                again = replace(waiting.question, request=new_id(), tries=result.tries, asked_at=asked_at[key])
                waiting.question, self.pending[key] = again, waiting
            elif isinstance(result, Exception):
                waiting.answer.set_exception(result)
            else:
                waiting.answer.set_result(result)
