"""What the controls scored, as the tables of the experiment report show it.

Goes in: rows of text about right, shuffled, generic and empty labels and about metric sanity. Stays out: layout.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from baez_pipeline.reports.method_table import Cell, cell_of
from baez_pipeline.reports.own_labels import label_methods
from baez_pipeline.reports.trust import Trust
from baez_pipeline.reports.wording import MISSING, plain_number
from baez_pipeline.scoring.controls import CONTROLS, RIGHT
from baez_pipeline.tables import PLANTED_KINDS

_SAID = {"right": "right label", "generic": "generic label", "empty": "empty label"}


class ControlRow(NamedTuple):
    """One kind of label over features."""

    label: str
    cells: tuple[Cell, ...]
    """One per benchmark."""


class KindRow(NamedTuple):
    """One kind of planted features."""

    kind: str
    n_features: int
    label: str
    """Whose label: right, or a method's name."""
    means: tuple[str, ...]
    """One per benchmark."""


def control_rows(summary: pl.DataFrame, trust: Mapping[str, Trust]) -> dict[str, list[ControlRow]]:
    """All labels but the methods' own of real features, which are in the method table, by real and planted features.

    Args:
        summary: ScoreSummary.
        trust: from `trust_in`: the columns.
    """
    found = {
        (row["features"], row["labels"], row["method"], row["benchmark"], row["metric"]): row
        for row in summary.iter_rows(named=True)
    }
    kinds = [(RIGHT, "own"), (RIGHT, "shuffled")]
    kinds += [(method, labels) for labels in ("own", "shuffled") for method in label_methods(summary)]
    kinds += [(method, "own") for method in CONTROLS if method != RIGHT]
    groups: dict[str, list[ControlRow]] = {}
    for features in ("planted", "real"):
        for method, labels in kinds:
            if features == "real" and labels == "own" and method not in CONTROLS:
                continue
            rows = [
                found.get((features, labels, method, column.measure.benchmark, column.measure.metric))
                for column in trust.values()
            ]
            if any(rows):
                cells = tuple(cell_of(column, row) for column, row in zip(trust.values(), rows, strict=True))
                groups.setdefault(features, []).append(ControlRow(_label(method, labels), cells))
    return groups


def kind_rows(scores: pl.DataFrame, trust: Mapping[str, Trust], methods: Sequence[str]) -> list[KindRow]:
    """Means over the planted features of each kind: of their right labels, then of the methods' labels.

    Args:
        scores: FeatureScores.
        trust: from `trust_in`: the columns.
        methods: labelling methods, in their order.
    """
    own = scores.filter(pl.col("planted").is_not_null(), pl.col("shuffle") == 0)
    rows = []
    for kind in PLANTED_KINDS:
        of_kind = own.filter(pl.col("planted").cast(pl.String) == kind)
        for label in (RIGHT, *methods):
            chosen = of_kind.filter(pl.col("method") == label)
            if chosen.height:
                means = tuple(_mean(column, chosen) for column in trust.values())
                rows.append(KindRow(kind.replace("_", " "), of_kind["feature"].n_unique(), label, means))
    return rows


def sanity_rows(sanity: pl.DataFrame, trust: Mapping[str, Trust]) -> list[dict[str, str | int]]:
    """MetricSanity as text, in the order of the benchmarks."""
    falls = {True: "✓ yes", False: "✕ no", None: MISSING}
    rows = {row["benchmark"]: row for row in sanity.iter_rows(named=True)}
    return [
        {
            "measure": found.measure.title,
            "n_features": rows[name]["n_features"],
            "score": plain_number(rows[name]["score"]),
            "halved": plain_number(rows[name]["halved"]),
            "doubled": plain_number(rows[name]["doubled"]),
            "falls": falls[rows[name]["falls"]],
        }
        for name, found in trust.items()
        if name in rows
    ]


def _label(method: str, labels: str) -> str:
    own = _SAID.get(method, f"{method}'s label")
    return own if labels == "own" else f"{own} of another feature"


def _mean(column: Trust, scores: pl.DataFrame) -> str:
    of_benchmark = scores.filter(pl.col("benchmark") == column.measure.benchmark)
    return column.mark(plain_number(of_benchmark.select(pl.col(column.measure.metric).mean()).item()))
