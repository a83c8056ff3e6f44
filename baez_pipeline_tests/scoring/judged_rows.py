"""Rows of judged examples by hand, for the tests of scores."""

from typing import Any

import polars as pl

from baez_pipeline.tables import JudgedExamples


def judged_table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """JudgedExamples of rows that say only what a test is about."""
    whole = [
        {
            "feature": "toy_000001",
            "method": "baez",
            "shuffle": 0,
            "label_from": row.get("feature", "toy_000001"),
            "label": "a label",
            "benchmark": "detection",
            "example": f"{index}",
            "kind": "active" if row["truth"] else "other_peak",
            "relative_activation": 1.0 if row["truth"] else None,
            "judge": "by hand",
            "outcome": "ok",
            **row,
        }
        for index, row in enumerate(rows)
    ]
    return JudgedExamples.validate(pl.DataFrame(whole, schema=JudgedExamples.create_empty().schema))


def judged_rows(*rows: tuple[Any, ...], **common: Any) -> list[dict[str, Any]]:
    """Of (truth, answer, probability, similarity), or of (truth, outcome) for what failed."""
    names = ("truth", "answer", "probability", "similarity")
    return [common | dict(zip(names if len(row) == 4 else ("truth", "outcome"), row, strict=True)) for row in rows]


def judged(*rows: tuple[Any, ...], **common: Any) -> pl.DataFrame:
    """The table of such rows."""
    return judged_table(judged_rows(*rows, **common))
