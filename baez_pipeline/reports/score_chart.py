"""The chart of scores, in the manner of the article's figure 4: per measure a panel, per method a
distribution.

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
from baez_pipeline.reports.wording import HEADLINES, MISSING, Measure, method_colours, percent
from baez_pipeline.statistics.metrics import methods_in, metric_values

_BINS = 40
_DOT, _TALLEST = 5.6, 7
"""Pixels from dot to dot, and dots that are stacked at most."""
_NAME, _TO_STACK, _TO_INTERVAL, _TO_NEXT = 11, 11, 10, 22
"""Pixels from a method's top to its name, on to its tallest stack, from its foot to its interval, on to the
next."""


@dataclass(frozen=True)
class ScorePanel:
    """What one panel shows."""

    measure: Measure
    rows: dict[str, dict[str, Any]]
    """Rows of ScoreSummary by method, in the order of the methods."""
    values: dict[str, list[float]]
    """One value per feature, by method."""
    low: float
    high: float
    """Ends of the x axis."""

    def stacks(self, method: str) -> list[tuple[float, int]]:
        """The method's values gathered to the nearest of evenly spaced places: (place, number of
        features)."""
        width = (self.high - self.low) / _BINS
        counts = Counter(round((value - self.low) / width) for value in self.values[method])
        return [(self.low + place * width, count) for place, count in sorted(counts.items())]


def score_panels(scores: pl.DataFrame, summary: pl.DataFrame) -> list[ScorePanel]:
    """One panel per headline measure that FeatureScores and ScoreSummary have values of."""
    found = []
    for measure in HEADLINES:
        rows = summary.filter(pl.col("benchmark") == measure.benchmark, pl.col("metric") == measure.metric)
        methods = methods_in(rows)
        values = {
            method: metric_values(scores, method=method, benchmark=measure.benchmark, metric=measure.metric)["value"]
            for method in methods
        }
        if not any(len(of_method) for of_method in values.values()):
            continue
        low, high = _ends(measure, [value for of_method in values.values() for value in of_method])
        by_method = {row["method"]: row for row in rows.iter_rows(named=True)}
        found.append(
            ScorePanel(
                measure=measure,
                rows={method: by_method[method] for method in methods},
                values={method: of_method.to_list() for method, of_method in values.items()},
                low=low,
                high=high,
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
    x = alt.X("x:Q", scale=alt.Scale(domain=[panel.low, panel.high], nice=False), axis=_axis(panel, layout))
    y, colour_of_mark = drawing.from_top("y", height), alt.Color("colour:N", scale=None)
    layers = [
        *drawing.reference_line(panel.measure.chance, "chance", x, height, layout),
        drawing.marks(feet).mark_rule(color=layout.ink, opacity=0.25).encode(y=y),
        drawing.marks(dots).mark_circle(size=27, opacity=0.8).encode(x=x, y=y, color=colour_of_mark),
        drawing.marks(medians).mark_rule(color=layout.ink, strokeWidth=2).encode(x=x, y=y, y2="y2:Q"),
        *drawing.mean_layers(means, x, height),
        *drawing.row_texts(names, height, layout),
    ]
    return drawing.panel(layers, title=panel.measure.title, height=height, layout=layout)


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


def _ends(measure: Measure, values: Sequence[float]) -> tuple[float, float]:
    if not measure.signed:
        return 0.0, 1.0
    # A similarity gap has no natural ends: from the data, with chance in view and a little air.
    low, high = min(0.0, *values), max(0.0, *values)
    air = 0.08 * (high - low) or 0.1
    return low - air, high + air


def _axis(panel: ScorePanel, layout: Layout) -> alt.Axis:
    if panel.measure.signed:
        return drawing.axis(panel.measure.axis_title, layout, number_format="+~g")
    return drawing.axis(panel.measure.axis_title, layout, ticks=[0, 0.25, 0.5, 0.75, 1], number_format=".2~f")
