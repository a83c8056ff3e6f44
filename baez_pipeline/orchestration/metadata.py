"""What the Dagster UI shows of a table: columns, rows, failures, a preview. Small, since the event log keeps it."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import dataframely as dy
import polars as pl

from baez_pipeline.equipment import Equipment
from baez_pipeline.steps import Step
from baez_pipeline.steps.failures import failures_of
from baez_pipeline.store import Address, Entry

PREVIEW_ROWS = 5
PREVIEW_CHARACTERS = 60


def column_schema(schema: type[dy.Schema]) -> dg.TableSchema:
    """The table's columns with types and meanings."""
    empty = schema.create_empty().schema
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=name,
                type=_short_type(empty[name]),
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for name, column in schema.columns().items()
        ]
    )


def table_metadata(frame: pl.DataFrame, entry: Entry, location: str) -> dict[str, Any]:
    """Metadata of one materialized table."""
    return {
        "dagster/row_count": entry.n_rows,
        "failed_rows": entry.n_failed,
        "preview": dg.MetadataValue.md(markdown_table(frame.head(PREVIEW_ROWS))),
        "path": dg.MetadataValue.path(location),
        "fingerprint": entry.fingerprint,
    }


def feature_metadata(
    step: Step, equipment: Equipment, entries: Mapping[Address, Entry | None], *, preview: bool
) -> dict[str, Any]:
    """Metadata of a feature's tables of a step, from what they say of themselves.

    Args:
        step: whose tables.
        equipment: with the store that they lie in.
        entries: of all parts, at least one of which is there.
        preview: show the first rows; they are read for it.
    """
    there = {address: entry for address, entry in entries.items() if entry}
    first = next(iter(there))
    failures = failures_of(there)
    metadata: dict[str, Any] = {
        "dagster/partition_row_count": failures.rows,
        "failed_rows": failures.failed,
        "path": dg.MetadataValue.path(equipment.store.location(first)),
        "fingerprint": there[first].fingerprint,
    }
    if failures.failed:
        metadata["reason"] = failures.sentence
    if waiting := [address.part or address.table for address in entries if address not in there]:
        metadata["waits_for_another_features_label"] = ", ".join(waiting)
    if preview:
        rows = equipment.store.read(first, schema=step.schema).head(PREVIEW_ROWS)
        metadata["preview"] = dg.MetadataValue.md(markdown_table(rows))
    return metadata


def markdown_table(frame: pl.DataFrame) -> str:
    """The frame as a Markdown table; texts are shortened and cannot leave their cell."""
    rows = [[_cell(value) for value in row] for row in frame.iter_rows()]
    lines = ["| " + " | ".join(frame.columns) + " |", "|" + " --- |" * frame.width]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _cell(value: object) -> str:
    if isinstance(value, list) and len(value) > 3:
        inner = ", ".join(_plain(item) for item in value[:3])
        text = f"[{inner}, … {len(value)} items]"
    elif isinstance(value, float):
        text = f"{value:.4g}"
    else:
        text = "" if value is None else _plain(value)
    # Hostile text: no markup, no HTML, no line break may survive into the page.
    shortened = text if len(text) <= PREVIEW_CHARACTERS else text[: PREVIEW_CHARACTERS - 1] + "…"
    for character, harmless in _HARMLESS.items():
        shortened = shortened.replace(character, harmless)
    return shortened


_HARMLESS: Mapping[str, str] = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "|": "&#124;",
    "`": "&#96;",
    "*": "&#42;",
    "_": "&#95;",
    "[": "&#91;",
    "]": "&#93;",
    "\n": " ",
    "\r": " ",
}


def _plain(value: object) -> str:
    return f"{{{len(value)} fields}}" if isinstance(value, dict) else str(value)


def _short_type(dtype: pl.DataType) -> str:
    text = str(dtype)
    return text if len(text) <= 40 else text.split("(")[0] + "(…)"
