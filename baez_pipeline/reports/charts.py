"""The charts as the pages and the README show them.

Goes in: which renderings of a chart there are. Stays out: what it shows (score_chart.py,
difference_chart.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

import altair as alt
import polars as pl
from markupsafe import Markup

from baez_pipeline.reports import difference_chart, drawing, score_chart
from baez_pipeline.reports.drawing import Layout

CHART_PICTURE = "method_scores.png"
"""The page name of `chart_picture`."""


@dataclass(frozen=True)
class InlineChart:
    """A chart as SVG to stand in a page, twice: the page shows the one that fits its width, in its own text
    colour."""

    wide: Markup
    narrow: Markup
    caption: str


def score_chart_inline(scores: pl.DataFrame, summary: pl.DataFrame, *, confidence: float) -> InlineChart | None:
    """The chart of FeatureScores and their ScoreSummary for a page; None if nothing has a score."""
    panels = score_chart.score_panels(scores, summary)
    if not panels:
        return None
    return _inline(lambda layout: score_chart.draw(panels, confidence, layout), score_chart.caption(panels, confidence))


def difference_chart_inline(comparison: pl.DataFrame, *, confidence: float) -> InlineChart | None:
    """The chart of MethodComparison for a page; None if no pair has a difference."""
    panels = difference_chart.difference_panels(comparison)
    if not panels:
        return None
    return _inline(
        lambda layout: difference_chart.draw(panels, confidence, layout), difference_chart.caption(confidence)
    )


def chart_picture(scores: pl.DataFrame, summary: pl.DataFrame, *, confidence: float) -> bytes | None:
    """The chart of scores as a PNG that stands alone, on white, with its caption; None if nothing has a
    score."""
    panels = score_chart.score_panels(scores, summary)
    return drawing.to_png(score_chart.draw(panels, confidence, drawing.PICTURE)) if panels else None


def _inline(draw: Callable[[Layout], alt.ConcatChart], caption: str) -> InlineChart:
    return InlineChart(
        wide=drawing.to_svg(draw(drawing.WIDE_PAGE)),
        narrow=drawing.to_svg(draw(drawing.NARROW_PAGE)),
        caption=caption,
    )
