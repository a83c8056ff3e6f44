"""Which segment holds the newest rows of each unit of a table, as of the last look at its folder."""

import time
from collections.abc import Callable, Iterable

from baez_pipeline.store.files import File, Files
from baez_pipeline.store.segments import Place, Segment, Unit, read_index

_FANOUT = 16
"""Segments of one size that are merged into one: each row is written anew once per size, 3 times at most."""

_LARGEST = 3
"""Segments of this size (4,096 units) and beyond are left alone, and so are those of so many bytes:"""
_LARGEST_BYTES = 64 * 1024 * 1024


class Index:
    """The segments of one table, and where the newest rows of each unit are."""

    def __init__(self, files: Files, list_files: Callable[[], Iterable[File]]) -> None:
        self._files = files
        self._list_files = list_files
        self._segments: dict[File, Segment] = {}
        self._latest = 0
        self.looked = 0.0
        """When, by `time.monotonic`."""
        self.places: dict[Unit, Place] = {}
        self.damaged: dict[File, str] = {}
        """Files that are there and cannot be read as segments, and why."""

    def now(self) -> int:
        """A time in ns since 1970 that is later than all that the table knows, whatever the clocks of its writers."""
        self._latest = max(time.time_ns(), self._latest + 1)
        return self._latest

    def look(self) -> None:
        """See what all processes have written up to now.

        Raises:
            OSError: the folder or a footer cannot be read.
        """
        self.looked = time.monotonic()
        there = set(self._list_files())
        for file in there - self._segments.keys() - self.damaged.keys():
            try:
                self.add(read_index(self._files, file))
            except FileNotFoundError:
                # Merged into another one since it was listed; that one may have come after the listing.
                return self.look()
            except ValueError as error:
                self.damaged[file] = str(error)
        self.forget(self._segments.keys() - there)
        for file in self.damaged.keys() - there:
            del self.damaged[file]
        return None

    def add(self, segment: Segment) -> None:
        """A segment that has come."""
        self._segments[segment.file] = segment
        self._latest = max(self._latest, segment.latest)
        _take(self.places, segment)

    def forget(self, gone: Iterable[File]) -> None:
        """Segments that are no longer there."""
        segments = [self._segments.pop(file, None) for file in gone]
        if any(segment and segment.n_live for segment in segments):
            # Somebody deleted newest rows: older ones count again where there are some.
            left: dict[Unit, Place] = {}
            for segment in self._segments.values():
                segment.n_live = 0
                _take(left, segment)
            self.places = left

    def superseded(self) -> list[Segment]:
        """Segments of whose rows none are the newest."""
        return [segment for segment in self._segments.values() if not segment.n_live]

    def to_merge(self) -> list[Segment]:
        """As many small segments of one size as are worth one larger one; none where they are few."""
        by_size: dict[int, list[Segment]] = {}
        for segment in self._segments.values():
            size = _size(segment.n_live)
            if size < _LARGEST and segment.file.size < _LARGEST_BYTES:
                by_size.setdefault(size, []).append(segment)
        return next((group for group in by_size.values() if len(group) >= _FANOUT), [])

    def live(self, segments: Iterable[Segment]) -> list[tuple[Unit, Place]]:
        """The units whose newest rows are in these segments, sorted by feature and part."""
        found = [
            (unit, place) for segment in segments for unit, place in segment.units.items() if self.places[unit] is place
        ]
        return sorted(found, key=lambda each: each[0].order)


def _take(places: dict[Unit, Place], segment: Segment) -> None:
    """Have a segment's units count where they are the newest."""
    for unit, place in segment.units.items():
        before = places.get(unit)
        if before is None or before.order < place.order:
            places[unit] = place
            segment.n_live += 1
            if before:
                before.segment.n_live -= 1


def _size(n_units: int) -> int:
    size = 0
    while n_units >= _FANOUT:
        size, n_units = size + 1, n_units // _FANOUT
    return size
