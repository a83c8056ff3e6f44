"""The chart of deciles: how well examples are told by how strongly they activate the feature.

Goes in: which values stand where in a panel. Stays out: ink and export (drawing.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import altair as alt
import polars as pl

from baez_pipeline.reports import drawing
from baez_pipeline.reports.drawing import Layout, Mark
from baez_pipeline.reports.own_labels import own_scores
from baez_pipeline.reports.trust import Trust
from baez_pipeline.reports.wording import method_colours, percent
from baez_pipeline.scoring.controls import RIGHT
from baez_pipeline.statistics.metrics import methods_in

_HEIGHT = 190
_NAME_ROOM = 125
"""Pixels to the right of the last decile, for the names of the lines."""
_AXIS_ROOM = 46
"""Pixels to the left of the panel, for its upright axis."""
_NEGATIVES = -0.5
"""Where negatives stand on the x axis, left of the first decile."""
_NO_METHOD = "#7b8794"


@dataclass(frozen=True)
class DecilePanel:
    """The curves of one benchmark."""

    trust: Trust
    curves: dict[str, list[dict[str, Any]]]
    """Rows of DecileCurves with a mean, by decile, by method."""
    false_positives: dict[str, float]
    """Share of negatives answered active, by method; none for embedding."""

    @property
    def metric(self) -> str:
        """What the curves show: true_positive_rate or auroc."""
        return str(next(iter(self.curves.values()))[0]["metric"])


def decile_panels(deciles: pl.DataFrame, scores: pl.DataFrame, trust: Mapping[str, Trust]) -> list[DecilePanel]:
    """One panel per benchmark with a curve.

    Args:
        deciles: DecileCurves.
        scores: FeatureScores, for what is answered on negatives.
        trust: from `trust_in`.
    """
    known = deciles.drop_nulls("mean").sort("decile")
    panels = []
    for name, found in trust.items():
        of_benchmark = known.filter(pl.col("benchmark") == name)
        curves = {
            method: of_benchmark.filter(pl.col("method") == method).to_dicts() for method in methods_in(of_benchmark)
        }
        if curves:
            panels.append(DecilePanel(found, curves, _false_positives(scores.filter(pl.col("benchmark") == name))))
    return panels


def caption(panels: Sequence[DecilePanel], confidence: float) -> str:
    """What the marks mean, in words."""
    sentences = [
        "Each line: a method's own labels, mean over features by the example's activation relative to the feature's "
        f"largest, in tenths; upright strokes: {percent(confidence)} intervals; {RIGHT}: the right labels of planted "
        "features."
    ]
    if any(panel.false_positives for panel in panels):
        sentences.append("Rings at neg.: share of negatives answered active, which should be low.")
    return " ".join(sentences)


def draw(panels: Sequence[DecilePanel], confidence: float, layout: Layout) -> alt.ConcatChart:
    """The chart of all panels."""
    return drawing.grid([_draw(panel, layout) for panel in panels], caption=caption(panels, confidence), layout=layout)


def _false_positives(scores: pl.DataFrame) -> dict[str, float]:
    right = scores.filter(pl.col("method") == RIGHT, pl.col("shuffle") == 0)
    means = (
        pl.concat([own_scores(scores), right])
        .drop_nulls("true_negative_rate")
        .group_by("method")
        .agg(share=1 - pl.col("true_negative_rate").mean())
    )
    return dict(means.iter_rows())


def _draw(panel: DecilePanel, layout: Layout) -> alt.LayerChart:
    layout = replace(layout, panel_width=layout.panel_width - _AXIS_ROOM)
    methods = list(panel.curves)
    colours = method_colours([method for method in methods if method != RIGHT]) | {RIGHT: _NO_METHOD}
    points, rings, names = [], [], []
    for place, (method, curve) in enumerate(panel.curves.items()):
        # A little apart from one another, so that no interval hides another.
        aside = (place - (len(methods) - 1) / 2) * 0.13
        for row in curve:
            ends = {"low": row["interval_low"], "high": row["interval_high"]}
            known = {end: row["mean"] if value is None else value for end, value in ends.items()}
            points.append(
                {"x": row["decile"] + aside, "y": row["mean"], "colour": colours[method], "of": method} | known
            )
        if method in panel.false_positives:
            rings.append({"x": _NEGATIVES + aside, "y": panel.false_positives[method], "colour": colours[method]})
        names.append({"y": curve[-1]["mean"], "colour": colours[method], "name": method})
    return drawing.panel(
        _layers(points, rings, drawing.names_apart(names, height=_HEIGHT), panel.metric, layout),
        title=panel.trust.heading,
        height=_HEIGHT,
        layout=layout,
    )


def _layers(points: list[Mark], rings: list[Mark], names: list[Mark], metric: str, layout: Layout) -> list[alt.Chart]:
    last = layout.panel_width - _NAME_ROOM
    scale = alt.Scale(domain=[-1, 10.5], range=[0, last], nice=False)
    # Embedding answers nothing, so there is no share of negatives to show.
    ticks = [_NEGATIVES] * bool(rings) + [float(decile) for decile in range(1, 11)]
    x = alt.X("x:Q", scale=scale, axis=drawing.decile_axis(ticks, layout))
    y = alt.Y(
        "y:Q",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=drawing.axis(
            {"true_positive_rate": "share answered active", "auroc": "AUROC against negatives"}[metric],
            layout,
            ticks=[0, 0.25, 0.5, 0.75, 1],
            number_format=".2~f",
        ),
    )
    colour, of = alt.Color("colour:N", scale=None), alt.Detail("of:N")
    base = drawing.marks(points)
    layers = [
        base.mark_rule(strokeWidth=1.2, opacity=0.35).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour),
        base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, detail=of),
        base.mark_circle(size=26, opacity=1).encode(x=x, y=y, color=colour),
        drawing.marks(names)
        .mark_text(align="left", fontSize=11.5)
        .encode(x=alt.value(last + 2), y=y, text="name:N", color=colour),
    ]
    if rings:
        layers.append(drawing.marks(rings).mark_point(size=34, strokeWidth=1.8).encode(x=x, y=y, color=colour))
    return layers
