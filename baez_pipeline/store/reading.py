"""Rows out of segments, in the order that is asked for."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import dataframely as dy
import numpy as np
import polars as pl

from baez_pipeline.errors import TableError
from baez_pipeline.store.checking import types_of, validated
from baez_pipeline.store.files import File, Files
from baez_pipeline.store.segments import Place, Segment

_AHEAD = 64
"""Tables read with one that is asked for alone: whoever reads one feature after the other asks for the next ones."""

_SLICES = 8
"""Kept of what was read ahead."""


class _Slice(NamedTuple):
    """Rows of a segment, from the first on."""

    file: File
    schema: type[dy.Schema]
    first: int
    rows: pl.DataFrame


class Reader:
    """Reads the rows of one store."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._ahead: deque[_Slice] = deque(maxlen=_SLICES)

    def rows_at(
        self, places: Sequence[Place], *, schema: type[dy.Schema], columns: Sequence[str] | None
    ) -> pl.DataFrame:
        """The rows at these places, one place's after another's.

        Args:
            places: one or more.
            schema: of the rows. Its rules were checked when they were written; its types are checked here.
            columns: of them only these; None = all.

        Raises:
            FileNotFoundError: a segment is no longer there: look again where the rows are.
            TableError: a segment is damaged, or not of the schema.
        """
        if len(places) == 1 and columns is None:
            return self._rows_of_one(places[0], schema)
        wanted: dict[Segment, list[Place]] = {}
        for place in places:
            wanted.setdefault(place.segment, []).append(place)
        frames, starts, height = [], {}, 0
        for segment, inside in wanted.items():
            first = min(place.first_row for place in inside)
            end = max(place.end for place in inside)
            frames.append(_slice(self._files, segment.file, first, end, schema=schema, columns=columns))
            starts[segment] = height - first
            height += end - first
        return _in_order(
            frames[0] if len(frames) == 1 else pl.concat(frames),
            np.array([starts[place.segment] + place.first_row for place in places]),
            np.array([place.entry.n_rows for place in places]),
        )

    def _rows_of_one(self, place: Place, schema: type[dy.Schema]) -> pl.DataFrame:
        file = place.segment.file
        for ahead in tuple(self._ahead):
            has_it = ahead.first <= place.first_row and place.end <= ahead.first + ahead.rows.height
            if ahead.file == file and ahead.schema is schema and has_it:
                return ahead.rows.slice(place.first_row - ahead.first, place.entry.n_rows)
        rows_each = place.segment.n_rows / len(place.segment.units)
        end = min(max(place.end, place.first_row + round(_AHEAD * rows_each)), place.segment.n_rows)
        rows = _slice(self._files, file, place.first_row, end, schema=schema, columns=None)
        self._ahead.append(_Slice(file, schema, place.first_row, rows))
        return rows.head(place.entry.n_rows)


def _in_order(frame: pl.DataFrame, starts: np.ndarray, heights: np.ndarray) -> pl.DataFrame:
    """Pieces of a frame, each of so many rows from a start on."""
    ends = np.cumsum(heights)
    if len(starts) == 1 or (starts == ends - heights).all():
        return frame.slice(int(starts[0]), int(ends[-1]))
    rows = np.arange(ends[-1]) + np.repeat(starts - (ends - heights), heights)
    return frame[rows.astype(np.uint32)]


def _slice(
    files: Files, file: File, first: int, end: int, *, schema: type[dy.Schema], columns: Sequence[str] | None
) -> pl.DataFrame:
    try:
        rows = pl.scan_parquet(files.readable(file), glob=False).slice(first, end - first)
        frame = (rows.select(columns) if columns else rows).collect()
    except pl.exceptions.ColumnNotFoundError as error:
        raise TableError(f"{file.path} is not a {schema.__name__} table: it has no column {error}.") from error
    except FileNotFoundError:
        raise
    except (pl.exceptions.PolarsError, OSError) as error:
        raise damaged(file, str(error)) from error
    types = types_of(schema)
    if columns:
        return frame.cast({name: types[name] for name in columns if frame.schema[name] != types[name]})
    return frame if frame.schema == types else validated(frame, schema=schema, what=file.path)


def damaged(file: File, reason: str) -> TableError:
    """The error of a file that cannot be read."""
    said = reason.partition("\n")[0]
    return TableError(
        f"Table {file.path} is damaged or not one of this pipeline's ({said}): delete the file and run again; "
        "only what it held is made anew."
    )
