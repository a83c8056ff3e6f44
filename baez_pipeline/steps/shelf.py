"""Finished tables on their way into the store: together, as files of one table each are slow, but never long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

import polars as pl

from baez_pipeline.errors import BaezError
from baez_pipeline.steps.step import Unit

if TYPE_CHECKING:
    from baez_pipeline.steps.running import Making, Progress

SECONDS = 1.0
"""After which a finished table is stored at latest, even while the next one takes hours."""

TABLES = 500
"""That are stored at latest together."""


class Shelf:
    """Takes finished tables, stores them in groups, and tells of each when it is stored.

    On whatever exit (done, an error, Ctrl-C, a generator that is closed) what was taken is stored and told of.
    """

    def __init__(self, tell: Callable[[Progress], None]) -> None:
        self._tell = tell
        self._taken: list[tuple[Making, Unit, pl.DataFrame]] = []
        self._stored: list[Progress] = []
        self._timer: threading.Timer | None = None
        self._last = -SECONDS
        self._failed: BaezError | None = None
        # Held while tables are stored: the timer's thread and the caller's take turns.
        self._lock = threading.RLock()

    def __enter__(self) -> Shelf:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store()
        self._tell_of_stored()
        if self._failed and error is None:
            raise self._failed
        if self._failed and error and error is not self._failed:
            error.add_note(str(self._failed))

    def put(self, making: Making, unit: Unit, frame: pl.DataFrame) -> None:
        """Take a finished table.

        Raises:
            BaezError: this or an earlier one cannot be stored.
        """
        with self._lock:
            self._taken.append((making, unit, frame))
            if len(self._taken) >= TABLES or time.monotonic() - self._last >= SECONDS:
                self._store()
            elif self._timer is None:
                self._timer = threading.Timer(SECONDS, self._store)
                self._timer.daemon = True
                self._timer.start()
        self._tell_of_stored()
        if self._failed:
            raise self._failed

    def _store(self) -> None:
        with self._lock:
            if self._timer:
                self._timer.cancel()
                self._timer = None
            for making in dict.fromkeys(making for making, _, _ in self._taken):
                group = [(unit, frame) for maker, unit, frame in self._taken if maker is making]
                try:
                    self._stored += making.store(group)
                except BaezError as error:
                    self._failed = self._failed or error
                # Not before they are stored: Ctrl-C in between leaves them for the exit.
                self._taken = [taken for taken in self._taken if taken[0] is not making]
            self._last = time.monotonic()

    def _tell_of_stored(self) -> None:
        while self._stored:
            self._tell(self._stored.pop(0))
