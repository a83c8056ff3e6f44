"""The chart of controls: per benchmark a panel, per control a mean with its interval, beside chance and what is needed.

Goes in: which values stand where in a panel. Stays out: ink and export (drawing.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from baez_pipeline.reports import drawing
from baez_pipeline.reports.drawing import Layout
from baez_pipeline.reports.score_chart import CHANCE
from baez_pipeline.reports.trust import Trust
from baez_pipeline.reports.wording import percent
from baez_pipeline.scoring.controls import EMPTY, GENERIC
from baez_pipeline.statistics.verdicts import DISCRIMINATES

_ROW = 34
_NAME, _INTERVAL = 11, 24
"""Pixels from the top of a control's row: its name and mean, its disc and line."""
_RIGHT, _WRONG = "#229a74", "#7b8794"
"""Labels that should score high, and labels that should score chance."""


@dataclass(frozen=True)
class ControlPanel:
    """The controls of one benchmark."""

    trust: Trust
    rows: tuple[dict[str, Any], ...]
    """Each with name, mean, interval_low, interval_high and colour."""


def control_panels(verdicts: pl.DataFrame, summary: pl.DataFrame, trust: Mapping[str, Trust]) -> list[ControlPanel]:
    """One panel per benchmark that has a verdict and a control with a score.

    Args:
        verdicts: BenchmarkVerdicts.
        summary: ScoreSummary, for the intervals of the generic and the empty label.
        trust: from `trust_in`.
    """
    by_benchmark = {row["benchmark"]: row for row in verdicts.iter_rows(named=True)}
    panels = []
    for name, found in trust.items():
        if verdict := by_benchmark.get(name):
            of_measure = summary.filter(
                pl.col("benchmark") == name,
                pl.col("metric") == found.measure.metric,
                pl.col("features") == "real",
                pl.col("labels") == "own",
            )
            rows = [row for row in _rows(verdict, of_measure) if row["mean"] is not None]
            if rows:
                panels.append(ControlPanel(found, tuple(rows)))
    return panels


def caption(confidence: float) -> str:
    """What the marks mean, in words."""
    return (
        f"Disc and line: mean over features and its {percent(confidence)} interval. Right labels should lie beyond the "
        "dashed line of what is needed, all others on chance. Right labels are those of planted features, others' "
        "labels those of all features, generic and empty labels those of real features."
    )


def draw(panels: Sequence[ControlPanel], confidence: float, layout: Layout) -> alt.ConcatChart:
    """The chart of all panels."""
    return drawing.grid([_draw(panel, layout) for panel in panels], caption=caption(confidence), layout=layout)


def _rows(verdict: Mapping[str, Any], summary: pl.DataFrame) -> list[dict[str, Any]]:
    rows = [
        {
            "name": name,
            "mean": verdict[f"{column}_mean"],
            "interval_low": verdict[f"{column}_low"],
            "interval_high": verdict[f"{column}_high"],
            "colour": colour,
        }
        for name, column, colour in (("right labels", "right", _RIGHT), ("others' labels", "shuffled", _WRONG))
    ]
    of_method = {row["method"]: row for row in summary.iter_rows(named=True)}
    for name, method in (("generic label", GENERIC), ("empty label", EMPTY)):
        if row := of_method.get(method):
            rows.append({key: row[key] for key in ("mean", "interval_low", "interval_high")} | {"name": name})
            rows[-1]["colour"] = _WRONG
    return rows


def _draw(panel: ControlPanel, layout: Layout) -> alt.LayerChart:
    height = _ROW * len(panel.rows)
    measure = panel.trust.measure
    means, names = [], []
    for place, row in enumerate(panel.rows):
        top = place * _ROW
        means.append(drawing.mean_mark(row, "mean", y=top + _INTERVAL, colour=row["colour"]))
        names.append({"y": top + _NAME, "name": row["name"], "figures": measure.number(row["mean"])})
    x = alt.X("x:Q", scale=alt.Scale(domain=[0, 1], nice=False), axis=drawing.score_axis(measure, layout))
    layers = [
        *drawing.reference_line(CHANCE, "chance", x, height, layout),
        *drawing.reference_line(DISCRIMINATES[measure.metric], "needed", x, height, layout),
        *drawing.mean_layers(means, x, height),
        *drawing.row_texts(names, height, layout),
    ]
    return drawing.panel(layers, title=panel.trust.heading, height=height, layout=layout)
