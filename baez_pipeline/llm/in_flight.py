"""Many requests at once from code that is not asynchronous itself."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

Result = TypeVar("Result")


def as_finished(jobs: Iterable[Callable[[], Awaitable[Result]]], *, limit: int) -> Iterator[Result]:
    """Run jobs, at most `limit` at once, and give each result as soon as it is there.

    When a job raises, or the caller stops reading, what is in flight is cancelled.
    """
    waiting = iter(jobs)
    with asyncio.Runner() as runner:
        running: set[asyncio.Future[Result]] = set()

        async def some_finish() -> set[asyncio.Future[Result]]:
            running.update(asyncio.ensure_future(job()) for job in islice(waiting, limit - len(running)))
            if not running:
                return set()
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            running.difference_update(done)
            return done

        while done := runner.run(some_finish()):
            for finished in done:
                yield finished.result()
