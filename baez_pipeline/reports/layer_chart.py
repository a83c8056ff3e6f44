"""The chart of a profile over layers: shares of tiers by depth, and what needs no embedder beside them.

Goes in: which values stand where in a panel. Stays out: ink and export (drawing.py).
"""

from dataclasses import replace
from typing import Any

import altair as alt
import polars as pl

from baez_pipeline.reports import drawing
from baez_pipeline.reports.drawing import Layout, Mark
from baez_pipeline.reports.layer_tables import AMONG, NAMES, group_of
from baez_pipeline.reports.wording import PALETTE, percent
from baez_pipeline.tables.layers import MEASURES

_HEIGHT = 230
_NAME_ROOM = 140
"""Pixels to the right of the last layer, for the names of the lines."""
_AXIS_ROOM = 46
"""Pixels to the left of the panel, for its upright axis."""
_ASIDE = 0.22
"""Layers between the lines of a panel, so that no interval hides another."""
_COLOURS = {
    "input": PALETTE[0],
    "output": PALETTE[1],
    "cross": PALETTE[2],
    "obscure": PALETTE[3],
    "undetermined": PALETTE[5],
    # Peak tokens are of the input, next tokens of the output.
    "peak_token_agreement": PALETTE[0],
    "next_token_agreement": PALETTE[1],
    "peak_token_in_logits": PALETTE[2],
    "next_token_in_logits": PALETTE[4],
}


def caption(confidence: float) -> str:
    """What the marks mean, in words."""
    return (
        f"Features of each layer, and {percent(confidence)} intervals. Input, output: tier 1 by that window; cross: "
        "tier 2; obscure: tier 3."
    )


def layer_picture(profile: pl.DataFrame, *, confidence: float) -> bytes:
    """The chart of LayerProfile as a PNG that stands alone. `confidence` is of its intervals, for the caption."""
    return drawing.to_png(draw(profile, confidence, drawing.PICTURE))


def draw(profile: pl.DataFrame, confidence: float, layout: Layout) -> alt.ConcatChart:
    """One panel for each group of measures that has a value."""
    known = profile.drop_nulls("value").sort("layer")
    groups: dict[str, list[dict[str, Any]]] = {group: [] for group in AMONG}
    for row in known.iter_rows(named=True):
        groups[group_of(row["measure"], row["among"])].append(row)
    layers = known["layer"].unique().sort().to_list()
    panels = [_draw(AMONG[group], rows, layers, layout) for group, rows in groups.items() if rows]
    return drawing.grid(panels, caption=caption(confidence), layout=layout)


def _draw(title: str, rows: list[dict[str, Any]], layers: list[int], layout: Layout) -> alt.LayerChart:
    layout = replace(layout, panel_width=layout.panel_width - _AXIS_ROOM)
    measures = [measure for measure in MEASURES if any(row["measure"] == measure for row in rows)]
    points: list[Mark] = []
    names: list[Mark] = []
    for place, measure in enumerate(measures):
        aside = (place - (len(measures) - 1) / 2) * _ASIDE
        curve = [row for row in rows if row["measure"] == measure]
        colour = _COLOURS[measure]
        for row in curve:
            low, high = (row["value"] if row[end] is None else row[end] for end in ("interval_low", "interval_high"))
            points.append(
                {"x": row["layer"] + aside, "y": row["value"], "low": low, "high": high, "colour": colour}
                | {"of": measure}
            )
        names.append({"y": curve[-1]["value"], "colour": colour, "name": NAMES[measure]})
    marks = _marks(points, drawing.names_apart(names, height=_HEIGHT), layers, layout)
    return drawing.panel(marks, title=title, height=_HEIGHT, layout=layout)


def _marks(points: list[Mark], names: list[Mark], layers: list[int], layout: Layout) -> list[alt.Chart]:
    last = layout.panel_width - _NAME_ROOM
    scale = alt.Scale(domain=[min(layers) - 1, max(layers) + 1], range=[0, last], nice=False)
    ticks = [float(layer) for layer in layers]
    x = alt.X("x:Q", scale=scale, axis=drawing.axis("layer", layout, ticks=ticks, number_format="d"))
    y = alt.Y(
        "y:Q",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=drawing.axis("share", layout, ticks=[0, 0.25, 0.5, 0.75, 1], number_format=".0%"),
    )
    colour = alt.Color("colour:N", scale=None)
    base = drawing.marks(points)
    return [
        base.mark_rule(strokeWidth=1.2, opacity=0.45).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour),
        base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, detail=alt.Detail("of:N")),
        base.mark_circle(size=30, opacity=1).encode(x=x, y=y, color=colour),
        drawing.marks(names)
        .mark_text(align="left", fontSize=11.5)
        .encode(x=alt.value(last + 4), y=y, text="name:N", color=colour),
    ]
