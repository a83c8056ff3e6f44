"""Scores taken apart: by the kind of negatives, and by the strength of test examples.

Goes in: values per feature, worked out from single judgements. Stays out: statistics over features.
"""

import polars as pl

from baez_pipeline.scoring.feature_scores import KEYS, Failures, feature_scores, with_ranks
from baez_pipeline.tables import NEGATIVE_KINDS, Outcome

DECILES = 10


def scores_against(judged: pl.DataFrame, kind: str, *, failures: Failures = "excluded") -> pl.DataFrame:
    """FeatureScores with one kind of negatives only; labels whose examples have none of it are left out.

    Args:
        judged: JudgedExamples.
        kind: of negatives: same_text, random, hard or other_peak.
        failures: as of `feature_scores`.
    """
    has_kind = judged.filter(pl.col("kind").cast(pl.String) == kind).select(KEYS).unique()
    chosen = judged.filter(pl.col("truth") | (pl.col("kind").cast(pl.String) == kind))
    return feature_scores(chosen.join(has_kind, on=KEYS, how="semi"), failures=failures)


def scores_by_negatives(judged: pl.DataFrame, *, failures: Failures = "excluded") -> pl.DataFrame:
    """`scores_against` every kind of negatives: the columns of FeatureScores after `negatives`, the kind."""
    return pl.concat(
        scores_against(judged, kind, failures=failures).select(pl.lit(kind).alias("negatives"), pl.all())
        for kind in ("same_text", *NEGATIVE_KINDS)
    )


def decile_rates(judged: pl.DataFrame) -> pl.DataFrame:
    """How test examples of each strength are told, by feature, own labels only (shuffle 0).

    Args:
        judged: JudgedExamples.

    Returns:
        feature, method, benchmark, decile (1 = up to a tenth of the feature's largest activation), metric, n_examples
        (answered test examples), value: by the metric the share that was answered "active", or for embedding the
        AUROC of the decile's test examples against all negatives (null without any). Sorted by these.
    """
    keys = ["feature", "method", "benchmark"]
    own = judged.filter((pl.col("shuffle") == 0) & (pl.col("outcome").cast(pl.String) == Outcome.OK.value))
    by_embedding = pl.col("benchmark") == "embedding"
    return (
        with_ranks(
            own.select(*KEYS, "truth", "answer", "probability", "similarity", "relative_activation", "outcome"), KEYS
        )
        .filter(pl.col("truth"))
        .with_columns(
            decile=(pl.col("relative_activation") * DECILES).ceil().clip(1, DECILES).cast(pl.Int64),
            metric=pl.when(by_embedding).then(pl.lit("auroc")).otherwise(pl.lit("true_positive_rate")),
            value=pl.when(by_embedding).then("share_below").otherwise(pl.col("answer").cast(pl.Float64)),
        )
        .group_by(*keys, "decile", "metric")
        .agg(n_examples=pl.len().cast(pl.Int64), value=pl.col("value").mean())
        .sort(*keys, "decile")
    )
