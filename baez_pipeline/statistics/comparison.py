"""Methods against each other on the same features.

Goes in: the table MethodComparison. Stays out: a verdict; the difference with its interval is what there is
to say.
"""

from itertools import combinations
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
    require_one_row_each,
)
from baez_pipeline.tables import MethodComparison


def method_comparison(scores: pl.DataFrame, settings: Statistics, seed: int) -> dy.DataFrame[MethodComparison]:
    """Every unordered pair of methods on every metric of every benchmark, from FeatureScores.

    Paired by feature: a feature counts where both methods have a value. Pairs come in the order of the
    methods, so `method_a` is the earlier one, and a positive difference speaks for it.

    Raises:
        TableError: a feature has two rows for one method and benchmark.
    """
    require_one_row_each(scores)
    rows = []
    for benchmark in benchmarks_in(scores):
        judged = scores.filter(pl.col("benchmark") == benchmark)
        for metric in METRICS[benchmark]:
            for method_a, method_b in combinations(methods_in(judged), 2):
                rows.append(_row(judged, benchmark, metric, method_a, method_b, settings, seed))
    return MethodComparison.validate(pl.DataFrame(rows, schema=MethodComparison.create_empty().schema), cast=True)


def _row(
    scores: pl.DataFrame, benchmark: str, metric: Metric, a: str, b: str, settings: Statistics, seed: int
) -> dict[str, Any]:
    values_a = metric_values(scores, method=a, benchmark=benchmark, metric=metric)
    values_b = metric_values(scores, method=b, benchmark=benchmark, metric=metric)
    # metric_values are sorted; the join must not undo that, as the seeded resamples go by position.
    paired = values_a.join(values_b, on="feature", suffix="_b", validate="1:1").sort("feature")
    differences = paired["value"] - paired["value_b"]
    low, high = mean_interval(
        differences.to_numpy(),
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=seed_of(seed, "method_comparison", benchmark, metric, a, b),
    )
    better = (paired["value"] > paired["value_b"]).cast(pl.Float64) + (paired["value"] == paired["value_b"]) * 0.5
    return {
        "benchmark": benchmark,
        "metric": metric,
        "method_a": a,
        "method_b": b,
        "n_features": paired.height,
        "mean_difference": differences.mean(),
        "interval_low": low,
        "interval_high": high,
        "share_a_better": better.mean(),
    }
