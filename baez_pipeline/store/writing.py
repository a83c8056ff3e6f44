"""Tables on their way into a file: validated and hashed together, since one by one that takes most of the time."""

from collections.abc import Sequence
from typing import NamedTuple

import dataframely as dy
import numpy as np
import polars as pl

from baez_pipeline.errors import TableError
from baez_pipeline.store.address import Address, Entry
from baez_pipeline.store.checking import failures_of, has_outcomes, types_of, validated
from baez_pipeline.store.hashing import content_hashes
from baez_pipeline.store.segments import Unit
from baez_pipeline.tables import Outcome


class Table(NamedTuple):
    """A table to be stored."""

    address: Address
    frame: pl.DataFrame
    fingerprint: str


class Prepared(NamedTuple):
    """Tables as a segment takes them."""

    units: list[tuple[Unit, Entry]]
    """Sorted as they should lie in a segment."""
    rows: pl.DataFrame
    error: TableError | None
    """Of the first table that is not of the schema, and so is not among them."""


def prepared(tables: Sequence[Table], *, schema: type[dy.Schema], written: int, place: str) -> Prepared:
    """Tables of one name, checked and with their entries.

    Args:
        tables: of different addresses.
        schema: of all of them.
        written: ns since 1970.
        place: their folder or file, for messages.
    """
    ordered = sorted(tables, key=lambda table: unit_of(table.address).order)
    try:
        rows, error = _checked([table.frame for table in ordered], schema, place), None
    except TableError:
        ordered, error = _valid(ordered, schema)
        rows = pl.concat([schema.create_empty(), *(table.frame for table in ordered)])
    heights = [table.frame.height for table in ordered]
    failed = (rows["outcome"] != Outcome.OK.value).to_numpy() if has_outcomes(rows) else np.zeros(rows.height, bool)
    units, start = [], 0
    for table, height, hashed in zip(ordered, heights, content_hashes(rows, heights), strict=True):
        n_failed = int(failed[start : start + height].sum())
        failures, why = failures_of(rows.slice(start, height)) if n_failed else ({}, None)
        entry = Entry(
            fingerprint=table.fingerprint,
            content_hash=hashed,
            n_rows=height,
            n_failed=n_failed,
            failures=failures,
            why=why,
            written=written,
        )
        units.append((unit_of(table.address), entry))
        start += height
    return Prepared(units, rows, error)


def unit_of(address: Address) -> Unit:
    """The unit of its table that an address names."""
    return Unit(address.part, address.feature)


def _checked(frames: Sequence[pl.DataFrame], schema: type[dy.Schema], place: str) -> pl.DataFrame:
    types = types_of(schema)
    try:
        rows = _concatenated(frames, types)
        rows = rows if rows.schema == types else _cast(rows, types)
    except pl.exceptions.PolarsError as error:
        raise TableError(str(error)) from error
    return validated(rows, schema=schema, what=place)


def _concatenated(frames: Sequence[pl.DataFrame], types: pl.Schema) -> pl.DataFrame:
    try:
        return pl.concat(frames)
    except pl.exceptions.PolarsError:
        # A column without a value in one of them has no type there.
        return pl.concat(_cast(frame, types) for frame in frames)


def _cast(frame: pl.DataFrame, types: pl.Schema) -> pl.DataFrame:
    return frame.select(*types).cast(types)


def _valid(tables: Sequence[Table], schema: type[dy.Schema]) -> tuple[list[Table], TableError | None]:
    """The tables that are of the schema by themselves, and the first error."""
    valid, error = [], None
    for table in tables:
        try:
            frame = validated(table.frame, schema=schema, what=table.address.path)
            valid.append(table._replace(frame=frame))
        except TableError as found:
            error = error or found
    return valid, error
