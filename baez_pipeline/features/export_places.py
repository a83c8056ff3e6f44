"""In which batch of an export a feature lies.

Batches usually hold ranges of indices, one after the other: then the first line of each says where a feature is, and
nothing else is read to find it. Every batch that is read is checked against that. Where it does not hold, the indices
of all batches are read once, and kept.
"""

import bisect
import functools
import io
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

import polars as pl

from baez_pipeline.answers import Answers
from baez_pipeline.errors import SourceError
from baez_pipeline.features.export_files import ExportFiles


class Places:
    """Where the features of an export lie, and how many there are."""

    def __init__(self, files: ExportFiles, firsts: dict[int, int], answers: Answers, *, kept_as: str) -> None:
        """Places by the first index of each batch, or as they were found before.

        Args:
            files: the export.
            firsts: first feature index by batch, in the order of the batches' numbers.
            answers: where the places that were found by reading all batches are kept.
            kept_as: the key under which.
        """
        self._files, self._answers, self._kept_as = files, answers, kept_as
        self._batches, self._firsts = list(firsts), list(firsts.values())
        found = answers.kept(kept_as)
        self._found: dict[int, int] | None = _unpacked(found) if found is not None else None
        if self._found is None and any(a >= b for a, b in pairwise(self._firsts)):
            self._read_all()

    @functools.cached_property
    def width(self) -> int:
        """One more than the highest index. In an export with gaps, the features between are missing ones.

        Raises:
            SourceError: a batch is damaged.
        """
        if self._found is None:
            last = self._files.read("features", self._batches[-1], ()).indices
            if last.is_sorted() and last.first() == self._firsts[-1]:
                return int(last.to_list()[-1]) + 1
            self._read_all()
        return max(self._found or {}) + 1

    @property
    def surely(self) -> bool:
        """Whether the places were read, so that a feature without one is not in the export."""
        return self._found is not None

    def by_batch(self, indices: Iterable[int]) -> dict[int, list[int]]:
        """The batches to read for some features, with what to look for in each; features without a batch left out."""
        batches: dict[int, list[int]] = defaultdict(list)
        for index in indices:
            if self._found is not None:
                batch = self._found.get(index)
            else:
                place = bisect.bisect_right(self._firsts, index)
                batch = self._batches[place - 1] if place else None
            if batch is not None:
                batches[batch].append(index)
        return dict(sorted(batches.items()))

    def check(self, batch: int, indices: pl.Series) -> None:
        """Compare a batch that was read with where its features were thought to lie; if need be, read all batches.

        Raises:
            SourceError: a batch is damaged, or there are more features than was thought.
        """
        if self._found is not None:
            return
        place = self._batches.index(batch)
        beyond = self._firsts[place + 1] if place + 1 < len(self._firsts) else self.width
        if not indices.is_between(self._firsts[place], beyond, closed="left").all():
            self.look_everywhere()

    def look_everywhere(self) -> None:
        """Read the indices of all batches, and keep them.

        Raises:
            SourceError: a batch is damaged, or there are more features than was thought.
        """
        thought = self.__dict__.pop("width", None)
        self._read_all()
        if thought not in (None, self.width):
            raise SourceError(
                f"The batches of the export at {self._files.url} are not in the order of their features, so that it "
                f"seemed to have {thought} of them and has {self.width}. Where they lie is known now: run again."
            )

    def _read_all(self) -> None:
        found: dict[int, int] = {}
        for batch in self._batches:
            for index in self._files.read("features", batch, ()).indices.to_list():
                found.setdefault(index, batch)
        self._answers.keep(self._kept_as, _packed(found))
        self._found = found


def _packed(found: dict[int, int]) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame({"index": list(found), "batch": list(found.values())}).write_parquet(buffer)
    return buffer.getvalue()


def _unpacked(body: bytes) -> dict[int, int]:
    return dict(pl.read_parquet(io.BytesIO(body)).select("index", "batch").iter_rows())
