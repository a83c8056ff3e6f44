"""The chart of paired differences: per benchmark a panel, per pair of methods a mean difference with its interval.

Goes in: which values stand where in a panel. Stays out: ink and export (drawing.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair as alt
import polars as pl

from baez_pipeline.reports import drawing
from baez_pipeline.reports.drawing import Layout
from baez_pipeline.reports.trust import Trust
from baez_pipeline.reports.wording import conclusion, difference_name, percent, signed_number

_ROW = 40
_NAME, _INTERVAL = 11, 27
"""Pixels from the top of a pair's row: its name and difference, its disc and line."""
_COLOUR = "#7b8794"
"""No method's colour: a difference belongs to two."""


@dataclass(frozen=True)
class DifferencePanel:
    """The pairs of methods on one benchmark."""

    trust: Trust
    rows: pl.DataFrame
    """Of MethodComparison, those with a difference."""

    @property
    def margin(self) -> float | None:
        """Differences within plus and minus this count as none."""
        return self.rows["margin"].drop_nulls().first()  # type: ignore[return-value]


def difference_panels(comparison: pl.DataFrame, trust: Mapping[str, Trust]) -> list[DifferencePanel]:
    """The rows of MethodComparison with a difference, per benchmark by its headline measure.

    `trust` is from `trust_in`, and says which measure that is.
    """
    known = comparison.drop_nulls("mean_difference")
    panels = [
        DifferencePanel(found, known.filter(pl.col("benchmark") == name, pl.col("metric") == found.measure.metric))
        for name, found in trust.items()
    ]
    return [panel for panel in panels if panel.rows.height]


def caption(panels: Sequence[DifferencePanel], confidence: float) -> str:
    """What the marks mean, in words."""
    interval = f"{percent(confidence)} interval"
    marks = f"Disc and line: mean difference over features, first method minus second, and its {interval}."
    margins = [panel.margin for panel in panels if panel.margin is not None]
    band = f" Band: differences up to ±{max(margins):g}, which count as none." if margins else ""
    return marks + band


def draw(panels: Sequence[DifferencePanel], confidence: float, layout: Layout) -> alt.ConcatChart:
    """The chart of all panels, on one scale, so that they compare by eye."""
    reach = _reach(panels)
    drawn = [_draw(panel, reach, layout) for panel in panels]
    return drawing.grid(drawn, caption=caption(panels, confidence), layout=layout)


def _draw(panel: DifferencePanel, reach: float, layout: Layout) -> alt.LayerChart:
    height = _ROW * panel.rows.height
    means, names = [], []
    for place, row in enumerate(panel.rows.iter_rows(named=True)):
        top = place * _ROW
        pair = difference_name(row["method_a"], row["method_b"])
        figures = f"{signed_number(row['mean_difference'])} {conclusion(row['verdict'])}"
        names.append({"y": top + _NAME, "name": pair, "figures": figures})
        means.append(drawing.mean_mark(row, "mean_difference", y=top + _INTERVAL, colour=_COLOUR))
    x = alt.X(
        "x:Q",
        scale=alt.Scale(domain=[-reach, reach], nice=False),
        axis=drawing.axis(f"difference in {panel.trust.measure.metric_name}", layout, number_format="+~g"),
    )
    layers = [
        *drawing.reference_line(0, "no difference", x, height, layout),
        *drawing.mean_layers(means, x, height),
        *drawing.row_texts(names, height, layout),
    ]
    if panel.margin:
        layers.insert(0, drawing.band(-panel.margin, panel.margin, x, height, layout))
    return drawing.panel(layers, title=panel.trust.heading, height=height, layout=layout)


def _reach(panels: Sequence[DifferencePanel]) -> float:
    """How far the axis goes to both sides of no difference."""
    columns = ("mean_difference", "interval_low", "interval_high")
    ends = [abs(value) for panel in panels for name in columns for value in panel.rows[name].drop_nulls()]
    return 1.1 * max([*ends, *(panel.margin or 0 for panel in panels)]) or 0.1
