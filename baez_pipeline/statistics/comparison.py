"""Methods against each other on the same features, and what may be concluded.

Goes in: the table MethodComparison. Stays out: which features and labels are compared; words shown to people.
"""

from itertools import combinations
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl

from baez_pipeline.draws import seed_of
from baez_pipeline.experiment import Statistics
from baez_pipeline.statistics.bootstrap import NO_INTERVAL, Interval, Values, mean_interval
from baez_pipeline.statistics.metrics import (
    METRICS,
    Metric,
    benchmarks_in,
    methods_in,
    metric_values,
    numbered,
    require_one_row_each,
)
from baez_pipeline.statistics.significance import fewest_features, holm, sign_flip_p
from baez_pipeline.tables import MethodComparison


def method_comparison(scores: pl.DataFrame, settings: Statistics, seed: int) -> dy.DataFrame[MethodComparison]:
    """Every unordered pair of methods on every metric of every benchmark, from FeatureScores.

    Paired by feature: a feature counts where both methods have a value. Pairs come in the order of the
    methods, so `method_a` is the earlier one, and a positive difference speaks for it.

    The verdict. `different`: the sign-flip test with Holm over the metric's pairs gives p <= alpha. `equivalent`: not
    that, and the interval at 1 - 2 alpha lies within the margin, which is TOST (Schuirmann 1987) by bootstrap.
    `undecided`: neither. `too_few`: under the number of features at which the test can find anything. A difference
    can be sure and within the margin at once; it is called different then, and `within_margin` says that it may
    be too small to matter. Holm guards a metric's pairs, not all metrics and benchmarks together, and equivalence is
    tested pair by pair.

    The gap has no verdict: it is a difference of cosines, whose scale depends on the embedder, so the margin, which is
    meant for shares and AUROCs, says nothing about it.

    Args:
        scores: one row per feature, method and benchmark: own labels of real features.
        settings: confidence, resamples and margin.
        seed: of the resamples.

    Raises:
        TableError: a feature has two rows for one method and benchmark.
    """
    scores = numbered(scores)
    require_one_row_each(scores, "feature", "method", "benchmark")
    rows = []
    for benchmark in benchmarks_in(scores):
        judged = scores.filter(pl.col("benchmark") == benchmark)
        for metric in METRICS[benchmark]:
            pairs = [_row(judged, benchmark, metric, *pair, settings, seed) for pair in _pairs(judged)]
            _adjust(pairs, settings.alpha)
            rows += [{**row, "verdict": _verdict(row, settings)} for row in pairs]
    return MethodComparison.validate(pl.DataFrame(rows, schema=MethodComparison.create_empty().schema), cast=True)


def _pairs(judged: pl.DataFrame) -> list[tuple[str, str]]:
    return list(combinations(methods_in(judged), 2))


def _row(
    scores: pl.DataFrame, benchmark: str, metric: Metric, a: str, b: str, settings: Statistics, seed: int
) -> dict[str, Any]:
    values_a = metric_values(scores, method=a, benchmark=benchmark, metric=metric)
    values_b = metric_values(scores, method=b, benchmark=benchmark, metric=metric)
    # metric_values are sorted; the join must not undo that, as the seeded resamples go by position. They have one row
    # per feature, and to have that checked again would take most of the time.
    paired = values_a.join(values_b, on="feature", suffix="_b").sort("feature")
    differences = (paired["value"] - paired["value_b"]).to_numpy()
    seed = seed_of(seed, "method_comparison", benchmark, metric, a, b)
    margin = None if metric == "gap" else settings.margin
    interval, narrower = _intervals(differences, settings, seed)
    low, high = narrower if margin is not None else NO_INTERVAL
    better = (paired["value"] > paired["value_b"]).cast(pl.Float64) + (paired["value"] == paired["value_b"]) * 0.5
    return {
        "benchmark": benchmark,
        "metric": metric,
        "method_a": a,
        "method_b": b,
        "n_features": paired.height,
        "mean_difference": float(differences.mean()) if paired.height else None,
        "interval_low": interval.low,
        "interval_high": interval.high,
        "share_a_better": better.mean(),
        "p_value": sign_flip_p(differences, resamples=settings.resamples, seed=seed),
        "margin": margin,
        "equivalence_low": low,
        "equivalence_high": high,
        "within_margin": None if margin is None or low is None or high is None else -margin < low and high < margin,
    }


def _intervals(differences: Values, settings: Statistics, seed: int) -> tuple[Interval, Interval]:
    """At the confidence that is asked for, and with twice as much outside, as TOST needs; of the same resamples."""
    return (
        mean_interval(differences, confidence=settings.confidence, resamples=settings.resamples, seed=seed),
        mean_interval(differences, confidence=1 - 2 * settings.alpha, resamples=settings.resamples, seed=seed),
    )


def _adjust(pairs: list[dict[str, Any]], alpha: float) -> None:
    """Fill in what depends on the other pairs of the same metric."""
    tested = [row for row in pairs if row["p_value"] is not None]
    for row, p_holm in zip(tested, holm(np.array([row["p_value"] for row in tested])), strict=True):
        row |= {"p_holm": float(p_holm), "significant": bool(p_holm <= alpha)}


def _verdict(row: dict[str, Any], settings: Statistics) -> str | None:
    if row["margin"] is None:
        return None
    if row["n_features"] < fewest_features(settings.alpha):
        return "too_few"
    if row["significant"]:
        return "different"
    return "equivalent" if row["within_margin"] else "undecided"
