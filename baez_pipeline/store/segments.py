"""Segments: Parquet files that hold the rows of many features and parts of one table, with an index in the footer.

A segment never changes once it is there. Its index says of each unit (feature and part) which rows are its own, and all
that an `Entry` holds, so that neither needs the rows to be read.
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import polars as pl

from baez_pipeline.store.address import Entry
from baez_pipeline.store.files import File, Files

_INDEX = "baez"
_COLUMNS = ("part", "feature", "fingerprint", "content_hash", "n_rows", "n_failed", "written")
_GROUP_BYTES = 2 * 1024 * 1024
"""Of a Parquet row group in memory: what is decoded, at least, to read one feature."""


class Unit(NamedTuple):
    """Whose rows: a part and a feature of one table."""

    part: str | None
    feature: str | None

    @property
    def order(self) -> tuple[str, str]:
        """Within a segment: the parts of a feature lie together, and features that are read together near."""
        return self.feature or "", self.part or ""


@dataclass(eq=False, slots=True)
class Segment:
    """A segment whose index was read."""

    file: File
    units: dict[Unit, Place] = field(default_factory=dict)
    n_rows: int = 0
    n_live: int = 0
    """Units whose newest rows are these."""

    @property
    def name(self) -> str:
        """Sorts by time."""
        return self.file.path.rpartition("/")[2]

    @property
    def latest(self) -> int:
        """The latest time in its name and its index, in ns since 1970."""
        named = self.name.partition("-")[0]
        written = max((place.entry.written for place in self.units.values()), default=0)
        return max(written, int(named) if named.isdecimal() else 0)

    @classmethod
    def of(cls, file: File, entries: Iterable[tuple[Unit, Entry]]) -> Segment:
        """A segment that holds the units in this order."""
        segment, first_row = cls(file), 0
        for unit, entry in entries:
            segment.units[unit] = Place(entry, segment, first_row)
            first_row += entry.n_rows
        segment.n_rows = first_row
        return segment


@dataclass(frozen=True, eq=False, slots=True)
class Place:
    """Where a unit's rows lie."""

    entry: Entry
    segment: Segment
    first_row: int

    @property
    def end(self) -> int:
        """The row after its last one."""
        return self.first_row + self.entry.n_rows

    @property
    def order(self) -> tuple[int, str]:
        """Of two places of a unit the greater counts. Copies of the same rows are told apart by their segments."""
        return self.entry.written, self.segment.name


def new_name(written: int) -> str:
    """A name that no other segment has, sorted by time."""
    return f"{written:020d}-{uuid.uuid4().hex[:8]}.parquet"


def as_segment(units: Sequence[tuple[Unit, Entry]], rows: pl.DataFrame) -> bytes:
    """The file's content.

    Args:
        units: what it holds, in the order of the rows.
        rows: of all of them, one unit's after another's.
    """
    index: dict[str, Any] = {"part": [unit.part for unit, _ in units], "feature": [unit.feature for unit, _ in units]}
    index |= {name: [getattr(entry, name) for _, entry in units] for name in _COLUMNS[2:]}
    index["failed"] = {
        place: {"failures": entry.failures, "why": entry.why}
        for place, (_, entry) in enumerate(units)
        if entry.n_failed
    }
    buffer = io.BytesIO()
    said = json.dumps(index, separators=(",", ":"))
    n_groups = max(1, int(rows.estimated_size()) // _GROUP_BYTES)
    in_group = max(1, -(-rows.height // n_groups))
    rows.write_parquet(buffer, compression="zstd", metadata={_INDEX: said}, row_group_size=in_group)
    return buffer.getvalue()


def read_index(files: Files, file: File) -> Segment:
    """A segment by its footer.

    Raises:
        OSError: it is not there, or cannot be read.
        ValueError: it is damaged, or not one of ours.
    """
    try:
        index: Mapping[str, Any] = json.loads(pl.read_parquet_metadata(files.footer(file))[_INDEX])
        return Segment.of(file, _entries(index))
    except (pl.exceptions.PolarsError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error).partition("\n")[0] or type(error).__name__) from error


def _entries(index: Mapping[str, Any]) -> Iterator[tuple[Unit, Entry]]:
    rows = zip(*(index[name] for name in _COLUMNS), strict=True)
    for place, (part, feature, *values) in enumerate(rows):
        said = index["failed"].get(str(place), {})
        yield Unit(part, feature), Entry(**dict(zip(_COLUMNS[2:], values, strict=True)), **said)
