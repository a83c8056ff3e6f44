"""What the controls scored, apart from what methods scored.

Goes in: choosing rows of FeatureScores and ScoreSummary by whose label and which features. Stays out: words and layout.
"""

import polars as pl

from baez_pipeline.scoring.controls import CONTROLS
from baez_pipeline.statistics.metrics import methods_in


def label_methods(frame: pl.DataFrame) -> list[str]:
    """The labelling methods of a table in their order, controls left out."""
    return [method for method in methods_in(frame) if method not in CONTROLS]


def own_scores(scores: pl.DataFrame) -> pl.DataFrame:
    """FeatureScores of real features' own labels by the labelling methods."""
    return scores.filter(pl.col("planted").is_null(), pl.col("shuffle") == 0, pl.col("method").is_in(CONTROLS).not_())


def own_summary(summary: pl.DataFrame) -> pl.DataFrame:
    """ScoreSummary of real features' own labels by the labelling methods."""
    return summary.filter(
        pl.col("features") == "real", pl.col("labels") == "own", pl.col("method").is_in(CONTROLS).not_()
    )
