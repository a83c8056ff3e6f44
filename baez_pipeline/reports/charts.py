"""The charts as the pages and the README show them.

Goes in: which renderings of a chart there are. Stays out: what it shows (score_chart.py and its
neighbours).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import altair as alt
import polars as pl
from markupsafe import Markup

from baez_pipeline.reports import ablation_chart, control_chart, decile_chart, difference_chart, drawing, score_chart
from baez_pipeline.reports.drawing import Layout
from baez_pipeline.reports.trust import Trust

CHART_PICTURE = "method_scores.png"
"""The page name of `chart_picture`."""


@dataclass(frozen=True)
class InlineChart:
    """A chart as SVG to stand in a page, twice: the page shows the one that fits its width, in its own text
    colour."""

    wide: Markup
    narrow: Markup
    caption: str


def score_chart_inline(
    scores: pl.DataFrame, summary: pl.DataFrame, verdicts: pl.DataFrame, *, confidence: float
) -> InlineChart | None:
    """The chart of FeatureScores, their ScoreSummary and BenchmarkVerdicts for a page; None if nothing has a score."""
    panels = score_chart.score_panels(scores, summary, verdicts)
    if not panels:
        return None
    return _inline(lambda layout: score_chart.draw(panels, confidence, layout), score_chart.caption(panels, confidence))


def difference_chart_inline(
    comparison: pl.DataFrame, trust: Mapping[str, Trust], *, confidence: float
) -> InlineChart | None:
    """The chart of MethodComparison for a page; None if no pair has a difference."""
    panels = difference_chart.difference_panels(comparison, trust)
    if not panels:
        return None
    return _inline(
        lambda layout: difference_chart.draw(panels, confidence, layout),
        difference_chart.caption(panels, confidence),
    )


def control_chart_inline(
    verdicts: pl.DataFrame, summary: pl.DataFrame, trust: Mapping[str, Trust], *, confidence: float
) -> InlineChart | None:
    """The chart of the controls for a page; None if no control has a score."""
    panels = control_chart.control_panels(verdicts, summary, trust)
    if not panels:
        return None
    return _inline(lambda layout: control_chart.draw(panels, confidence, layout), control_chart.caption(confidence))


def decile_chart_inline(
    deciles: pl.DataFrame, scores: pl.DataFrame, trust: Mapping[str, Trust], *, confidence: float
) -> InlineChart | None:
    """The chart of DecileCurves for a page; None if no decile has a score."""
    panels = decile_chart.decile_panels(deciles, scores, trust)
    if not panels:
        return None
    return _inline(
        lambda layout: decile_chart.draw(panels, confidence, layout), decile_chart.caption(panels, confidence)
    )


def chart_picture(
    scores: pl.DataFrame, summary: pl.DataFrame, verdicts: pl.DataFrame, *, confidence: float
) -> bytes | None:
    """The chart of scores as a PNG that stands alone, on white, with its caption; None if nothing has a score."""
    panels = score_chart.score_panels(scores, summary, verdicts)
    return drawing.to_png(score_chart.draw(panels, confidence, drawing.PICTURE)) if panels else None


def ablation_chart_inline(effects: pl.DataFrame, group: str, *, confidence: float) -> InlineChart:
    """The chart of one group of labels of AblationEffects, for a page."""
    return _inline(
        lambda layout: ablation_chart.draw(effects, group, confidence, layout),
        ablation_chart.caption(effects, group, confidence),
    )


def _inline(draw: Callable[[Layout], alt.ConcatChart], caption: str) -> InlineChart:
    return InlineChart(
        wide=drawing.to_svg(draw(drawing.WIDE_PAGE)),
        narrow=drawing.to_svg(draw(drawing.NARROW_PAGE)),
        caption=caption,
    )
