"""The chart of scores, in the manner of the article's figure 4: per benchmark a panel, per method a distribution.

Goes in: which values stand where in a panel. Stays out: ink and export (drawing.py).
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from baez_pipeline.reports import drawing
from baez_pipeline.reports.drawing import Layout, Mark
from baez_pipeline.reports.measures import Measure
from baez_pipeline.reports.own_labels import label_methods, own_scores, own_summary
from baez_pipeline.reports.trust import Trust, trust_in
from baez_pipeline.reports.wording import MISSING, method_colours, percent
from baez_pipeline.statistics.metrics import metric_values

CHANCE = 0.5
"""Of AUROC and of balanced accuracy."""
_BINS = 40
_DOT, _TALLEST = 5.6, 7
"""Pixels from dot to dot, and dots that are stacked at most."""
_NAME, _TO_STACK, _TO_INTERVAL, _TO_NEXT = 11, 11, 10, 22
"""Pixels from a method's top to its name, on to its tallest stack, from its foot to its interval, on to the
next."""


@dataclass(frozen=True)
class ScorePanel:
    """What one panel shows."""

    trust: Trust
    rows: dict[str, dict[str, Any]]
    """Rows of ScoreSummary by method, in the order of the methods."""
    values: dict[str, list[float]]
    """One value per feature, by method."""

    @property
    def measure(self) -> Measure:
        """What its values are."""
        return self.trust.measure

    def stacks(self, method: str) -> list[tuple[float, int]]:
        """The method's values gathered to the nearest of evenly spaced places: (place, number of features)."""
        counts = Counter(round(value * _BINS) for value in self.values[method])
        return [(place / _BINS, count) for place, count in sorted(counts.items())]


def score_panels(scores: pl.DataFrame, summary: pl.DataFrame, verdicts: pl.DataFrame) -> list[ScorePanel]:
    """One panel per benchmark that FeatureScores and ScoreSummary have values of, for real features' own labels."""
    own, of_own = own_scores(scores), own_summary(summary)
    found = []
    for trust in trust_in(of_own, verdicts).values():
        measure = trust.measure
        rows = of_own.filter(pl.col("benchmark") == measure.benchmark, pl.col("metric") == measure.metric)
        by_method = {row["method"]: row for row in rows.iter_rows(named=True)}
        values = {
            method: metric_values(own, method=method, benchmark=measure.benchmark, metric=measure.metric)["value"]
            for method in label_methods(rows)
        }
        if any(len(of_method) for of_method in values.values()):
            found.append(
                ScorePanel(
                    trust=trust,
                    rows={method: by_method[method] for method in values},
                    values={method: of_method.to_list() for method, of_method in values.items()},
                )
            )
    return found


def caption(panels: Sequence[ScorePanel], confidence: float) -> str:
    """What the marks mean, in words."""
    unit = _features_per_dot(panels)
    dot = "One dot: one feature." if unit == 1 else f"One dot: up to {unit:,} features."
    interval = f"mean and its {percent(confidence)} interval"
    return f"{dot} Upright stroke: median. Disc and line: {interval}. Dashed: chance."


def draw(panels: Sequence[ScorePanel], confidence: float, layout: Layout) -> alt.ConcatChart:
    """The chart of all panels."""
    unit = _features_per_dot(panels)
    drawn = [_draw(panel, unit, math.ceil(_tallest(panels) / unit), layout) for panel in panels]
    return drawing.grid(drawn, caption=caption(panels, confidence), layout=layout)


def _draw(panel: ScorePanel, unit: int, stacked: int, layout: Layout) -> alt.LayerChart:
    colours = method_colours(list(panel.rows))
    foot = _NAME + _TO_STACK + _DOT * stacked
    row_height = foot + _TO_INTERVAL + _TO_NEXT
    # Nothing follows the last row but the axis.
    height = row_height * len(panel.rows) - _TO_NEXT / 2
    dots, medians, means, names, feet = [], [], [], [], []
    for place, (method, row) in enumerate(panel.rows.items()):
        top, colour = place * row_height, colours[method]
        dots += [mark | {"colour": colour} for mark in _dots(panel.stacks(method), unit, foot=top + foot)]
        medians.append({"x": row["median"], "y": top + foot - 7, "y2": top + foot + 4})
        means.append(drawing.mean_mark(row, "mean", y=top + foot + _TO_INTERVAL, colour=colour))
        names.append({"y": top + _NAME, "name": method, "figures": _figures(panel.measure, row)})
        feet.append({"y": top + foot})
    x = alt.X("x:Q", scale=alt.Scale(domain=[0, 1], nice=False), axis=drawing.score_axis(panel.measure, layout))
    y, colour_of_mark = drawing.from_top("y", height), alt.Color("colour:N", scale=None)
    layers = [
        *drawing.reference_line(CHANCE, "chance", x, height, layout),
        drawing.marks(feet).mark_rule(color=layout.ink, opacity=0.25).encode(y=y),
        drawing.marks(dots).mark_circle(size=27, opacity=0.8).encode(x=x, y=y, color=colour_of_mark),
        drawing.marks(medians).mark_rule(color=layout.ink, strokeWidth=2).encode(x=x, y=y, y2="y2:Q"),
        *drawing.mean_layers(means, x, height),
        *drawing.row_texts(names, height, layout),
    ]
    return drawing.panel(layers, title=panel.trust.heading, height=height, layout=layout)


def _dots(stacks: Sequence[tuple[float, int]], unit: int, *, foot: float) -> list[Mark]:
    return [
        {"x": place, "y": foot - 1 - _DOT * (level + 0.5)}
        for place, count in stacks
        for level in range(math.ceil(count / unit))
    ]


def _tallest(panels: Sequence[ScorePanel]) -> int:
    return max(count for panel in panels for method in panel.rows for _, count in panel.stacks(method))


def _features_per_dot(panels: Sequence[ScorePanel]) -> int:
    """So many that no stack is taller than `_TALLEST` dots, however many features there are."""
    return math.ceil(_tallest(panels) / _TALLEST)


def _figures(measure: Measure, row: dict[str, Any]) -> str:
    interval = measure.interval(row["interval_low"], row["interval_high"])
    return measure.number(row["mean"]) + (f" ({interval})" if interval != MISSING else "")
