"""Own labels against labels of other features: is a method better than chance, with everything else as it is?

Goes in: the table ChanceComparison. Stays out: drawing the partners, and the verdict on a benchmark.
"""

from typing import Any

import dataframely as dy
import numpy as np
import polars as pl

from baez_pipeline.draws import seed_of
from baez_pipeline.experiment import Statistics
from baez_pipeline.statistics.bootstrap import Values, mean_interval
from baez_pipeline.statistics.metrics import PrimaryMetric, benchmarks_in, methods_in, primary_metric
from baez_pipeline.statistics.significance import sign_flip_p
from baez_pipeline.tables import ChanceComparison


def shuffles_p(observed: float, shuffled: Values) -> float:
    """How often labels given to the wrong features do as well as own ones: (b + 1) / (B + 1).

    Source: Phipson & Smyth (2010), Permutation p-values should never be zero.

    Args:
        observed: mean over features with their own labels.
        shuffled: shape (shuffles,), the same mean with each feature judged by another's label.
    """
    return float((np.count_nonzero(shuffled >= observed) + 1) / (len(shuffled) + 1))


def beats_chance(scores: pl.DataFrame, settings: Statistics, seed: int) -> dy.DataFrame[ChanceComparison]:
    """One row per benchmark and method that was judged with labels of others, on the benchmark's primary metric.

    Args:
        scores: FeatureScores of the same features with own labels (shuffle 0) and with those of their partners; a
            feature with several partners counts once, with their mean.
        settings: of interval and p-value.
        seed: of the resamples.
    """
    rows = []
    for benchmark in benchmarks_in(scores):
        group = scores.filter(pl.col("benchmark") == benchmark)
        metric = primary_metric(group)
        for method in methods_in(group.filter(pl.col("shuffle") > 0)):
            rows.append(_row(group.filter(pl.col("method") == method), benchmark, method, metric, settings, seed))
    return ChanceComparison.validate(pl.DataFrame(rows, schema=ChanceComparison.create_empty().schema), cast=True)


def _row(
    scores: pl.DataFrame, benchmark: str, method: str, metric: PrimaryMetric, settings: Statistics, seed: int
) -> dict[str, Any]:
    valued = scores.select("feature", "shuffle", value=pl.col(metric)).drop_nulls("value").sort("feature", "shuffle")
    own = valued.filter(pl.col("shuffle") == 0)
    others = valued.filter(pl.col("shuffle") > 0).join(own, on="feature", how="semi")
    partners = others.group_by("feature").agg(pl.col("value").mean())
    paired = own.join(partners, on="feature", suffix="_other", validate="1:1").sort("feature")
    differences = (paired["value"] - paired["value_other"]).to_numpy()
    by_shuffle = others.group_by("shuffle").agg(pl.col("value").mean())
    mean_own = paired["value"].mean()
    seed = seed_of(seed, "beats_chance", benchmark, method)
    low, high = mean_interval(differences, confidence=settings.confidence, resamples=settings.resamples, seed=seed)
    return {
        "method": method,
        "benchmark": benchmark,
        "metric": metric,
        "n_features": paired.height,
        "n_shuffles": by_shuffle.height,
        "mean_own": mean_own,
        "mean_shuffled": paired["value_other"].mean(),
        "mean_difference": float(differences.mean()) if paired.height else None,
        "interval_low": low,
        "interval_high": high,
        "p_shuffles": shuffles_p(mean_own, by_shuffle["value"].to_numpy()) if isinstance(mean_own, float) else None,
        "p_paired": sign_flip_p(differences, resamples=settings.resamples, seed=seed, alternative="greater"),
    }
