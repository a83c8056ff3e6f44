"""The chart of paired differences: per measure a panel, per pair of methods a mean difference with its
interval.

Goes in: which values stand where in a panel. Stays out: ink and export (drawing.py).
"""

from collections.abc import Sequence

import altair as alt
import polars as pl

from baez_pipeline.reports import drawing
from baez_pipeline.reports.drawing import Layout
from baez_pipeline.reports.wording import HEADLINES, Measure, difference_name, percent, signed_number

_ROW = 40
_NAME, _INTERVAL = 11, 27
"""Pixels from the top of a pair's row: its name and difference, its disc and line."""
_COLOUR = "#7b8794"
"""No method's colour: a difference belongs to two."""


DifferencePanel = tuple[Measure, pl.DataFrame]


def difference_panels(comparison: pl.DataFrame) -> list[DifferencePanel]:
    """The rows of MethodComparison with a difference, per headline measure that has any."""
    known = comparison.drop_nulls("mean_difference")
    panels = [
        (measure, known.filter(pl.col("benchmark") == measure.benchmark, pl.col("metric") == measure.metric))
        for measure in HEADLINES
    ]
    return [(measure, rows) for measure, rows in panels if rows.height]


def caption(confidence: float) -> str:
    """What the marks mean, in words."""
    interval = f"{percent(confidence)} interval"
    return f"Disc and line: mean difference over features, first method minus second, and its {interval}."


def draw(panels: Sequence[DifferencePanel], confidence: float, layout: Layout) -> alt.ConcatChart:
    """The chart of all panels. Accuracy and AUROC share one scale, so that panels compare by eye."""
    reach = {signed: _reach([rows for measure, rows in panels if measure.signed == signed]) for signed in (True, False)}
    drawn = [_draw(measure, rows, reach[measure.signed], layout) for measure, rows in panels]
    return drawing.grid(drawn, caption=caption(confidence), layout=layout)


def _draw(measure: Measure, rows: pl.DataFrame, reach: float, layout: Layout) -> alt.LayerChart:
    height = _ROW * rows.height
    means, names = [], []
    for place, row in enumerate(rows.iter_rows(named=True)):
        top = place * _ROW
        pair = difference_name(row["method_a"], row["method_b"])
        names.append({"y": top + _NAME, "name": pair, "figures": signed_number(row["mean_difference"])})
        means.append(drawing.mean_mark(row, "mean_difference", y=top + _INTERVAL, colour=_COLOUR))
    x = alt.X(
        "x:Q",
        scale=alt.Scale(domain=[-reach, reach], nice=False),
        axis=drawing.axis(f"difference in {measure.metric_name}", layout, number_format="+~g"),
    )
    layers = [
        *drawing.reference_line(0, "no difference", x, height, layout),
        *drawing.mean_layers(means, x, height),
        *drawing.row_texts(names, height, layout),
    ]
    return drawing.panel(layers, title=measure.title, height=height, layout=layout)


def _reach(tables: Sequence[pl.DataFrame]) -> float:
    """How far the axis goes to both sides of no difference."""
    columns = ("mean_difference", "interval_low", "interval_high")
    ends = [abs(value) for rows in tables for name in columns for value in rows[name].drop_nulls()]
    return 1.1 * max(ends, default=0.0) or 0.1
