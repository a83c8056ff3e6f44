"""Many requests at once from code that is not asynchronous itself: one caller's, or several callers' together."""

import asyncio
import functools
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import NamedTuple, TypeVar

from baez_pipeline.errors import BaezError

Result = TypeVar("Result")
Item = TypeVar("Item")


def as_finished(jobs: Iterable[Callable[[], Awaitable[Result]]], *, limit: int) -> Iterator[Result]:
    """Run jobs, at most `limit` at once, and give each result as soon as it is there.

    Requests go on while the caller works on a result: with the loop in the caller's own thread, storing a table for
    each of 120 labels cost a third of the time again (benchmarks/http_models.py).

    When a job stops the run (BaezError), no further job begins, but those in flight are waited for and their results
    given first: an answer that is on its way has been paid for. On any other error, or when the caller stops reading,
    they are cancelled. A caller that is read `together` with others ends early, without an error, when one of those
    stops the run.
    """
    reader = _reader.get(None)
    group, begun = reader or _Reader(_Group(), threading.Event())
    finished: queue.SimpleQueue[asyncio.Future[Result] | None] = queue.SimpleQueue()
    driver = group.start(
        functools.partial(_drive, iter(jobs), limit, finished.put, group), then=lambda: finished.put(None)
    )
    begun.set()
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
            _loop().call_soon_threadsafe(_cancel, driver)
            # What is cancelled has rows of the ledger to write.
            while finished.get() is not None:
                pass
    driver.result()
    if stopped is not None:
        raise stopped


def together(iterators: Sequence[Iterator[Item]]) -> Generator[Item]:
    """Read iterators at the same time, and give each item as soon as it is there.

    Each is read in a thread of its own, a single one in the caller's. They are begun one after the other, the next one
    when the last has requests in flight: what they open first (models, packages) is not opened by two at once.

    When one of them stops the run (BaezError), `as_finished` begins no further job in any of them, and the error is
    raised after all that was in flight has been given. On any other error, or when the caller stops reading, that is
    cancelled.
    """
    if len(iterators) < 2:
        for iterator in iterators:
            yield from iterator
        return
    group = _Group()
    given: queue.SimpleQueue[tuple[Item] | None] = queue.SimpleQueue()
    errors: list[BaseException] = []

    def read(iterator: Iterator[Item], begun: threading.Event) -> None:
        _reader.set(_Reader(group, begun))
        try:
            for item in iterator:
                given.put((item,))
        except BaseException as error:
            errors.append(error)
            group.stop = True
            if not isinstance(error, BaezError):
                group.cancel()
        finally:
            begun.set()
            given.put(None)

    threads: list[threading.Thread] = []
    unread = len(iterators)
    try:
        for iterator in iterators:
            begun = threading.Event()
            thread = threading.Thread(target=read, args=(iterator, begun), daemon=True)
            thread.start()
            threads.append(thread)
            begun.wait()
        while unread:
            if (item := given.get()) is None:
                unread -= 1
            else:
                yield item[0]
    finally:
        if unread:
            group.cancel()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


class _Group:
    """Calls of `as_finished` that end together."""

    def __init__(self) -> None:
        self.stop = False
        """No further job is to begin."""
        self._cancelled = False
        self._drivers: set[asyncio.Task[None]] = set()

    def start(
        self, drive: Callable[[], Coroutine[None, None, None]], *, then: Callable[[], None]
    ) -> asyncio.Task[None]:
        """Begin a driver; call something when it has ended."""
        started: queue.SimpleQueue[asyncio.Task[None]] = queue.SimpleQueue()

        def start() -> None:
            driver = _loop().create_task(drive())
            driver.add_done_callback(lambda _: then())
            self._drivers.add(driver)
            if self._cancelled:
                _cancel(driver)
            started.put(driver)

        _loop().call_soon_threadsafe(start)
        return started.get()

    def cancel(self) -> None:
        """What is in flight, and what is still to begin."""

        def cancel() -> None:
            self._cancelled = True
            for driver in self._drivers:
                _cancel(driver)

        _loop().call_soon_threadsafe(cancel)


class _Reader(NamedTuple):
    """Who reads `as_finished`."""

    group: _Group
    begun: threading.Event
    """Set when its requests are on their way."""


_reader: ContextVar[_Reader] = ContextVar("reader")


async def _drive(
    waiting: Iterator[Callable[[], Awaitable[Result]]],
    limit: int,
    put: Callable[[asyncio.Future[Result]], None],
    group: _Group,
) -> None:
    running: set[asyncio.Future[Result]] = set()
    try:
        while True:
            while len(running) < limit and not group.stop and (job := next(waiting, None)):
                running.add(asyncio.ensure_future(job()))
                # What this one sends goes out before the next one is prepared.
                await asyncio.sleep(0)
            if not running:
                return
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            running.difference_update(done)
            for finished in done:
                group.stop = group.stop or finished.exception() is not None
                put(finished)
    finally:
        for unfinished in running:
            unfinished.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _cancel(driver: asyncio.Task[None]) -> None:
    # A second time would interrupt what the first one waits for.
    if not driver.cancelling():
        driver.cancel()


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """One event loop for all steps of a process, in a thread of its own: a client's connections live as long as it."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="requests", daemon=True).start()
    return loop
