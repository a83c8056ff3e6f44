"""Many requests at once from code that is not asynchronous itself."""

import asyncio
import functools
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from baez_pipeline.errors import BaezError

Result = TypeVar("Result")


def as_finished(jobs: Iterable[Callable[[], Awaitable[Result]]], *, limit: int) -> Iterator[Result]:
    """Run jobs, at most `limit` at once, and give each result as soon as it is there.

    Requests go on while the caller works on a result: with the loop in the caller's own thread, storing a table for
    each of 120 labels cost a third of the time again (benchmarks/http_models.py).

    When a job stops the run (BaezError), no further job begins, but those in flight are waited for and their results
    given first: an answer that is on its way has been paid for. On any other error, or when the caller stops reading,
    they are cancelled.
    """
    finished: queue.SimpleQueue[asyncio.Future[Result] | None] = queue.SimpleQueue()
    driver = _started(functools.partial(_drive, iter(jobs), limit, finished.put), then=lambda: finished.put(None))
    stopped: BaezError | None = None
    ended = False
    try:
        while (job := finished.get()) is not None:
            error = job.exception()
            if isinstance(error, BaezError):
                stopped = stopped or error
            else:
                yield job.result()
        ended = True
    finally:
        if not ended:
            _loop().call_soon_threadsafe(driver.cancel)
            # What is cancelled has rows of the ledger to write.
            while finished.get() is not None:
                pass
    driver.result()
    if stopped is not None:
        raise stopped


async def _drive(
    waiting: Iterator[Callable[[], Awaitable[Result]]], limit: int, put: Callable[[asyncio.Future[Result]], None]
) -> None:
    running: set[asyncio.Future[Result]] = set()
    stop = False
    try:
        while True:
            for job in islice(waiting, 0 if stop else limit - len(running)):
                running.add(asyncio.ensure_future(job()))
                # What this one sends goes out before the next one is prepared.
                await asyncio.sleep(0)
            if not running:
                return
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            running.difference_update(done)
            for finished in done:
                stop = stop or finished.exception() is not None
                put(finished)
    finally:
        for unfinished in running:
            unfinished.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _started(work: Callable[[], Coroutine[None, None, None]], *, then: Callable[[], None]) -> asyncio.Task[None]:
    started: queue.SimpleQueue[asyncio.Task[None]] = queue.SimpleQueue()

    def start() -> None:
        task = _loop().create_task(work())
        task.add_done_callback(lambda _: then())
        started.put(task)

    _loop().call_soon_threadsafe(start)
    return started.get()


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """One event loop for all steps of a process, in a thread of its own: a client's connections live as long as it."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="requests", daemon=True).start()
    return loop
