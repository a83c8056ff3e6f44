"""Which labels go to Neuronpedia, and in what words."""

from collections import Counter
from dataclasses import dataclass

import polars as pl

from baez_pipeline.tables import Outcome


@dataclass(frozen=True, kw_only=True)
class Description:
    """A label as Neuronpedia keeps it."""

    feature: str
    method: str
    model: str
    """The label writer, with revision."""
    text: str
    """On one line, without a full stop at its end; never empty."""


def descriptions(labels: pl.DataFrame) -> tuple[list[Description], Counter[str]]:
    """The labels that can be told, by feature and method, and how many were left out for which reason.

    Args:
        labels: Labels of any methods. One whose outcome is not ok is left out.
    """
    told: list[Description] = []
    left_out: Counter[str] = Counter()
    for row in labels.sort("feature", "method").iter_rows(named=True):
        text = description_of(row["label"] or "")
        if row["outcome"] != Outcome.OK:
            left_out[f"label with outcome {row['outcome']}"] += 1
        elif not text:
            left_out["label without a word"] += 1
        else:
            told.append(Description(feature=row["feature"], method=row["method"], model=row["model"], text=text))
    return told, left_out


def description_of(label: str) -> str:
    """A label on one line and without the full stop at its end, as Neuronpedia's own labels are stored."""
    lines = (line.strip() for line in label.splitlines())
    return " ".join(line for line in lines if line).removesuffix(".").rstrip()
