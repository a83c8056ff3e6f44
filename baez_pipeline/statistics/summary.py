"""Every metric of every method and control on every benchmark, over all features.

Goes in: the table ScoreSummary. Stays out: differences between methods.
"""

from typing import Any

import dataframely as dy
import polars as pl

from baez_pipeline.draws import seed_of
from baez_pipeline.experiment import Statistics
from baez_pipeline.statistics.bootstrap import mean_interval
from baez_pipeline.statistics.metrics import (
    METRICS,
    Metric,
    benchmarks_in,
    methods_in,
    metric_values,
    numbered,
    require_one_row_each,
)
from baez_pipeline.tables import ScoreSummary

GROUPS = {
    ("real", "own"): pl.col("planted").is_null() & (pl.col("shuffle") == 0),
    ("real", "shuffled"): pl.col("planted").is_null() & (pl.col("shuffle") > 0),
    ("planted", "own"): pl.col("planted").is_not_null() & (pl.col("shuffle") == 0),
    ("planted", "shuffled"): pl.col("planted").is_not_null() & (pl.col("shuffle") > 0),
}
"""Features and labels that are summed up apart: rows of FeatureScores."""


def score_summary(scores: pl.DataFrame, settings: Statistics, seed: int) -> dy.DataFrame[ScoreSummary]:
    """One row per group, method, benchmark and metric of the benchmark, from FeatureScores of any features.

    A feature that was judged with several labels of others counts once, with their mean. A method that was judged on a
    benchmark has its rows even where no feature got a value: the mean is null then, and the failure rate says why.
    Features without a value count in the failure rate alone.

    Raises:
        TableError: a feature has two rows for one method, shuffle and benchmark.
    """
    scores = numbered(scores)
    require_one_row_each(scores, "feature", "method", "shuffle", "benchmark")
    rows = []
    for (features, labels), is_of_group in GROUPS.items():
        group = scores.filter(is_of_group)
        for method in methods_in(group):
            judged = group.filter(pl.col("method") == method)
            for benchmark in benchmarks_in(judged):
                names = {"features": features, "labels": labels, "method": method, "benchmark": benchmark}
                rows += [_row(judged, names, metric, settings, seed) for metric in METRICS[benchmark]]
    return ScoreSummary.validate(pl.DataFrame(rows, schema=ScoreSummary.create_empty().schema), cast=True)


def _row(
    judged: pl.DataFrame, names: dict[str, str], metric: Metric, settings: Statistics, seed: int
) -> dict[str, Any]:
    method, benchmark = names["method"], names["benchmark"]
    values = metric_values(judged, method=method, benchmark=benchmark, metric=metric)["value"]
    low, high = mean_interval(
        values.to_numpy(),
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=seed_of(seed, "score_summary", *names.values(), metric),
    )
    counts = judged.filter(pl.col("benchmark") == benchmark).select(pl.col("n_answered", "n_failed").sum())
    n_answered, n_failed = counts.row(0)
    return {
        **names,
        "metric": metric,
        "n_features": len(values),
        "mean": values.mean(),
        "median": values.median(),
        "standard_deviation": values.std(),
        "interval_low": low,
        "interval_high": high,
        "share_negative": (values < 0).mean() if metric == "gap" else None,
        "n_answered": n_answered,
        "n_failed": n_failed,
        "failure_rate": n_failed / (n_answered + n_failed) if n_answered + n_failed else None,
    }
