"""What every chart shares: sizes, ink, recurring marks, the grid of panels, and the export to SVG and PNG.

Goes in: layouts and the vega-lite settings behind them. Stays out: what a panel shows (score_chart.py,
difference_chart.py).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from typing import Any

import altair as alt
from markupsafe import Markup

from baez_pipeline.reports.measures import Measure

Mark = dict[str, Any]
"""One row of data of a layer: where a mark stands, in data units along x and in pixels from the top along
y."""
_NAME_LINE = 14
"""Pixels from the name of one line to that of the next, at least."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Size and ink of one rendering of a chart."""

    columns: int
    """Panels side by side."""
    panel_width: int
    """Pixels."""
    ink: str
    """Text and lines; `currentColor` takes the colour of the page that embeds the chart, light or dark."""
    background: str
    captioned: bool
    """The caption is part of the picture; a page sets it as text instead."""


WIDE_PAGE = Layout(columns=2, panel_width=430, ink="currentColor", background="transparent", captioned=False)
NARROW_PAGE = Layout(columns=1, panel_width=320, ink="currentColor", background="transparent", captioned=False)
PICTURE = Layout(columns=2, panel_width=430, ink="#25292e", background="#ffffff", captioned=True)
"""To stand alone: README, Dagster, a slide."""


def axis(title: str, layout: Layout, *, number_format: str, ticks: Sequence[float] | None = None) -> alt.Axis:
    """A quiet x axis: words below it, faint vertical lines at `ticks`, or at about five places of vega's
    choice."""
    ink = layout.ink
    return alt.Axis(
        title=title,
        titleColor=ink,
        titleOpacity=0.75,
        titleFontWeight="normal",
        titleFontSize=11.5,
        titlePadding=6,
        labelColor=ink,
        labelOpacity=0.75,
        labelFontSize=11.5,
        labelFlush=True,
        labelBound=True,
        # d3's sign format writes +0.
        labelExpr="datum.value == 0 ? '0' : datum.label",
        gridColor=ink,
        gridOpacity=0.1,
        domain=False,
        tickColor=ink,
        tickOpacity=0.3,
        tickSize=4,
        format=number_format,
        # Of ticks that are more than this, vega leaves some out, given or not.
        tickCount=5 if ticks is None else len(ticks),
        values=alt.Undefined if ticks is None else list(ticks),
    )


def score_axis(measure: Measure, layout: Layout) -> alt.Axis:
    """The axis of a score between 0 and 1."""
    title = f"{measure.metric_name} per feature"
    return axis(title, layout, ticks=[0, 0.25, 0.5, 0.75, 1], number_format=".2~f")


def decile_axis(ticks: Sequence[float], layout: Layout) -> alt.Axis:
    """The axis of tenths of the largest activation, from 1 to 10; a negative tick stands for negatives."""
    found = axis("activation, tenths of the largest", layout, ticks=ticks, number_format="d")
    found.labelExpr = "datum.value < 0 ? 'neg.' : datum.label"
    found.grid = False
    found.labelFlush = False
    found.labelOverlap = False
    return found


def marks(rows: Iterable[Mark]) -> alt.Chart:
    """A layer over rows of its own, whatever their number (a data frame would be refused past 5,000)."""
    return alt.Chart(alt.InlineData(values=list(rows)))


def from_top(field: str, height: float) -> alt.Y:
    """The y position in pixels from the top of a panel of this height."""
    return alt.Y(field, type="quantitative", scale=alt.Scale(domain=[height, 0], nice=False), axis=None)


def reference_line(value: float, name: str, x: alt.X, height: float, layout: Layout) -> list[alt.Chart]:
    """A dashed upright line over the whole panel, named above it."""
    line, y = marks([{"x": value, "y": 0, "y2": height, "name": name}]), from_top("y", height)
    return [
        line.mark_rule(color=layout.ink, strokeDash=[4, 3], opacity=0.6).encode(x=x, y=y, y2="y2:Q"),
        line.mark_text(color=layout.ink, opacity=0.75, fontSize=11, dy=-7).encode(x=x, y=y, text="name:N"),
    ]


def band(low: float, high: float, x: alt.X, height: float, layout: Layout) -> alt.Chart:
    """A faint upright band over the whole panel."""
    area, y = marks([{"x": low, "x2": high, "y": 0, "y2": height}]), from_top("y", height)
    return area.mark_rect(color=layout.ink, opacity=0.1).encode(x=x, x2="x2:Q", y=y, y2="y2:Q")


def mean_mark(row: dict[str, Any], mean: str, *, y: float, colour: str) -> Mark:
    """The mark of a table's row for `mean_layers`: its mean and both ends of its interval.

    Without an interval the line shrinks to the disc; without a mean vega leaves the mark out.
    """
    low, high = (row[mean] if row[end] is None else row[end] for end in ("interval_low", "interval_high"))
    return {"x": row[mean], "low": low, "high": high, "y": y, "colour": colour}


def mean_layers(rows: Iterable[Mark], x: alt.X, height: float) -> list[alt.Chart]:
    """A disc at every mean on the line of its interval."""
    base, y, colour = marks(rows), from_top("y", height), alt.Color("colour:N", scale=None)
    return [
        base.mark_rule(strokeWidth=2.5, strokeCap="round").encode(x=alt.X("low:Q"), x2="high:Q", y=y, color=colour),
        base.mark_circle(size=62, opacity=1).encode(x=x, y=y, color=colour),
    ]


def row_texts(rows: Iterable[Mark], height: float, layout: Layout) -> list[alt.Chart]:
    """Each row's `name` at its left end and its `figures` at its right end."""
    base, y = marks(rows), from_top("y", height)
    return [
        base.mark_text(align="left", color=layout.ink, fontSize=12).encode(x=alt.value(0), y=y, text="name:N"),
        base.mark_text(align="right", color=layout.ink, fontSize=12).encode(
            x=alt.value(layout.panel_width), y=y, text="figures:N"
        ),
    ]


def names_apart(names: Sequence[Mark], *, height: float) -> list[Mark]:
    """The names of lines at their `y`, shares of a panel, moved so that none covers another and all stay inside."""
    line = _NAME_LINE / height
    placed: list[Mark] = []
    for name in sorted(names, key=lambda mark: mark["y"]):
        lowest = placed[-1]["y"] + line if placed else 0.0
        placed.append(name | {"y": max(name["y"], lowest)})
    over = placed[-1]["y"] - 1 if placed else 0.0
    ceiling = 1.0
    for place in reversed(range(len(placed))):
        if over > 0:
            placed[place]["y"] = min(placed[place]["y"], ceiling)
            ceiling = placed[place]["y"] - line
    return placed


def panel(layers: Sequence[alt.Chart], *, title: str, height: float, layout: Layout) -> alt.LayerChart:
    """Layers on one another under the panel's title."""
    heading = alt.TitleParams(
        title, anchor="start", frame="group", color=layout.ink, fontSize=13.5, fontWeight=600, offset=8
    )
    return alt.LayerChart(layer=list(layers), width=layout.panel_width, height=height, title=heading)


def grid(panels: Sequence[alt.LayerChart], *, caption: str, layout: Layout) -> alt.ConcatChart:
    """Panels in rows of the layout's columns, each with its own scales."""
    together: alt.ConcatChart = alt.concat(
        *panels, columns=layout.columns, spacing={"row": 26, "column": 44}
    ).configure(
        background=layout.background,
        font="sans-serif",
        padding=16 if layout.captioned else 1,
        aria=False,
        view=alt.ViewConfig(stroke=None),
    )
    if not layout.captioned:
        return together
    heading = alt.TitleParams(caption, anchor="start", color=layout.ink, fontSize=12, fontWeight="normal", offset=18)
    captioned: alt.ConcatChart = together.properties(title=heading)
    return captioned


def to_svg(chart: alt.ConcatChart) -> Markup:
    """The chart as an <svg> element: the same chart gives the same bytes."""
    buffer = StringIO()
    chart.save(buffer, format="svg")
    return Markup(buffer.getvalue())


def to_png(chart: alt.ConcatChart) -> bytes:
    """The chart as a PNG at twice its size, for sharp text on dense screens."""
    buffer = BytesIO()
    chart.save(buffer, format="png", scale_factor=2)
    return buffer.getvalue()
