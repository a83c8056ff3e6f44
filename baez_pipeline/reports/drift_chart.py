"""The chart of the score history: what the same labels score from round to round, and what changed since the last one.

Goes in: which values stand where in a panel. Stays out: ink and export (drawing.py), the history itself.
"""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import altair as alt
import polars as pl

from baez_pipeline.reports import drawing
from baez_pipeline.reports.drawing import Layout, Mark
from baez_pipeline.reports.measures import Measure
from baez_pipeline.reports.wording import method_colours, percent
from baez_pipeline.scoring.controls import RIGHT
from baez_pipeline.statistics.metrics import benchmarks_in, methods_in

_HEIGHT, _CHANGE_HEIGHT = 210, 130
_NAME_ROOM = 130
"""Pixels to the right of the last round, for the names of the lines."""
_AXIS_ROOM = 46
_ASIDE = 0.14
"""Rounds between the lines of a panel, so that no interval hides another."""
_MOST_TICKS = 8
_CONTROL_DASH = [5, 3]


def caption(confidence: float) -> str:
    """What the marks mean, in words."""
    return (
        f"The same labels scored again, {percent(confidence)} intervals. Dashed: right labels of planted features. "
        "Upright: other judge or settings. Changes: paired by feature."
    )


def drift_picture(history: pl.DataFrame, *, confidence: float) -> bytes:
    """The chart of ScoreHistory as a PNG that stands alone. `confidence` is of its intervals, for the caption."""
    return drawing.to_png(draw(history, confidence, drawing.PICTURE))


def draw(history: pl.DataFrame, confidence: float, layout: Layout) -> alt.ConcatChart:
    """Two panels for each benchmark: scores by round, and changes since the round before."""
    layout = replace(layout, panel_width=layout.panel_width - _AXIS_ROOM)
    colours = method_colours([method for method in methods_in(history) if method != RIGHT])
    panels = []
    for benchmark in benchmarks_in(history):
        rows = history.filter(pl.col("benchmark") == benchmark).sort("number")
        measure = Measure(benchmark, rows["metric"][-1])
        panels += [
            _panel(rows, measure, colours, layout, of_change=False),
            _panel(rows, measure, colours, layout, of_change=True),
        ]
    return drawing.grid(panels, caption=caption(confidence), layout=layout)


def _panel(
    rows: pl.DataFrame, measure: Measure, colours: dict[str, str], layout: Layout, *, of_change: bool
) -> alt.LayerChart:
    columns = ("mean_change", "change_low", "change_high") if of_change else ("mean", "interval_low", "interval_high")
    last = layout.panel_width - _NAME_ROOM
    x = _rounds_axis(rows, layout, last)
    low, high = _reach(rows, columns, of_change=of_change)
    title = f"change in {measure.metric_name}" if of_change else measure.metric_name
    y = alt.Y(
        "y:Q",
        scale=alt.Scale(domain=[low, high], nice=False),
        axis=drawing.axis(title, layout, number_format="+~g" if of_change else "~g"),
    )
    points, names = _marks(rows, columns, colours, low, high)
    colour, dash = alt.Color("colour:N", scale=None), alt.StrokeDash("dash:N", scale=None, legend=None)
    base = drawing.marks(points)
    layers = [
        *_level(0.0 if of_change else measure.chance, low, high, y, last, layout),
        *([] if of_change else _breaks(rows, x, layout)),
        base.mark_rule(strokeWidth=1.4, opacity=0.5).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour),
        *(
            []
            if of_change
            else [base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, detail="of:N", strokeDash=dash)]
        ),
        base.mark_circle(size=34, opacity=1).encode(x=x, y=y, color=colour),
        drawing.marks(names)
        .mark_text(align="left", fontSize=11.5)
        .encode(
            x=alt.value(last + 6),
            y=alt.Y("place:Q", scale=alt.Scale(domain=[low, high], nice=False)),
            text="name:N",
            color=colour,
        ),
    ]
    heading = f"{measure.title}: change since the round before" if of_change else measure.title
    return drawing.panel(layers, title=heading, height=_HEIGHT, layout=layout)


def _marks(
    rows: pl.DataFrame, columns: tuple[str, str, str], colours: dict[str, str], low: float, high: float
) -> tuple[list[Mark], list[Mark]]:
    """The points of all lines, and the names at their ends."""
    value, lower, upper = columns
    methods = methods_in(rows)
    points: list[Mark] = []
    names: list[Mark] = []
    for place, method in enumerate(methods):
        aside = (place - (len(methods) - 1) / 2) * _ASIDE
        colour = colours.get(method, "#71718c")
        line = rows.filter(pl.col("method") == method).drop_nulls(value)
        points += [
            {
                "x": row["number"] + aside,
                "y": row[value],
                "low": row[value] if row[lower] is None else row[lower],
                "high": row[value] if row[upper] is None else row[upper],
                "colour": colour,
                "of": method,
                "dash": _CONTROL_DASH if method == RIGHT else [1, 0],
            }
            for row in line.iter_rows(named=True)
        ]
        if line.height:
            share = (line[value][-1] - low) / (high - low)
            names.append({"y": share, "colour": colour, "name": "right labels" if method == RIGHT else method})
    placed = drawing.names_apart(names, height=_HEIGHT)
    return points, [name | {"place": low + name["y"] * (high - low)} for name in placed]


def _reach(rows: pl.DataFrame, columns: tuple[str, str, str], *, of_change: bool) -> tuple[float, float]:
    found: list[float] = [float(value) for name in columns for value in rows[name].drop_nulls()]
    if of_change:
        most = 1.15 * max([abs(value) for value in found], default=0.0) or 0.1
        return -most, most
    if rows["metric"][-1] == "gap":
        return min([0.0, *found]), 1.1 * max([*found, 0.05])
    return min([0.4, *(value - 0.02 for value in found)]), 1.0


def _rounds_axis(rows: pl.DataFrame, layout: Layout, last: float) -> alt.X:
    rounds = dict(rows.select("number", "round").unique().sort("number").iter_rows())
    every = -(-len(rounds) // _MOST_TICKS)
    ticks = [number for number in rounds if (max(rounds) - number) % every == 0]
    axis = drawing.axis("round", layout, ticks=[float(number) for number in ticks], number_format="d")
    named = " : ".join(f"datum.value == {number} ? '{_short(name)}'" for number, name in rounds.items())
    axis.labelExpr = f"{named} : ''"
    axis.labelFlush = False
    # Names of weeks stand close; each second one left out would look like a missed round.
    axis.labelOverlap = False
    scale = alt.Scale(domain=[min(rounds) - 0.6, max(rounds) + 0.6], range=[0, last], nice=False)
    return alt.X("x:Q", scale=scale, axis=axis)


def _short(round: str) -> str:
    """2026-W48 as W48, with the year on the first week alone."""
    year, _, week = round.partition("-")
    return f"{year} {week}" if week == "W01" else week or round


def _level(value: float, low: float, high: float, y: alt.Y, last: float, layout: Layout) -> list[alt.Chart]:
    """A dashed level line: chance, or no change."""
    if not low <= value <= high:
        return []
    return [
        drawing.marks([{"y": value}])
        .mark_rule(color=layout.ink, strokeDash=[4, 3], opacity=0.6)
        .encode(y=y, x=alt.value(0), x2=alt.value(last))
    ]


def _breaks(rows: pl.DataFrame, x: alt.X, layout: Layout) -> list[alt.Chart]:
    """An upright line before each round that was judged by others, or under other settings, than the last."""
    judged: list[dict[str, Any]] = rows.select("number", "judge", "settings").unique().sort("number").to_dicts()
    places = [
        {"x": (before["number"] + after["number"]) / 2}
        for before, after in pairwise(judged)
        if (before["judge"], before["settings"]) != (after["judge"], after["settings"])
    ]
    if not places:
        return []
    return [drawing.marks(places).mark_rule(color=layout.ink, opacity=0.45, strokeWidth=1.5).encode(x=x)]
