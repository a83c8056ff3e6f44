"""Many requests at once from code that is not asynchronous itself."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from baez_pipeline.errors import BaezError

Result = TypeVar("Result")
_OF_THREAD = threading.local()


def as_finished(jobs: Iterable[Callable[[], Awaitable[Result]]], *, limit: int) -> Iterator[Result]:
    """Run jobs, at most `limit` at once, and give each result as soon as it is there.

    When a job stops the run (BaezError), no further job begins, but those in flight are waited for and their results
    given first: an answer that is on its way has been paid for. On any other error, or when the caller stops reading,
    they are cancelled.
    """
    waiting = iter(jobs)
    stopped: BaezError | None = None
    running: set[asyncio.Future[Result]] = set()

    async def some_finish() -> set[asyncio.Future[Result]]:
        if stopped is None:
            running.update(asyncio.ensure_future(job()) for job in islice(waiting, limit - len(running)))
        if not running:
            return set()
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        running.difference_update(done)
        return done

    async def cancel() -> None:
        for future in running:
            future.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    runner = _runner()
    try:
        while done := runner.run(some_finish()):
            for finished in done:
                error = finished.exception()
                if isinstance(error, BaezError):
                    stopped = stopped or error
                else:
                    yield finished.result()
    finally:
        if running:
            runner.run(cancel())
    if stopped is not None:
        raise stopped


def _runner() -> asyncio.Runner:
    """The thread's event loop, the same for all steps of a run: a client's connections live as long as its loop."""
    if not hasattr(_OF_THREAD, "runner"):
        _OF_THREAD.runner = asyncio.Runner()
    runner: asyncio.Runner = _OF_THREAD.runner
    return runner
