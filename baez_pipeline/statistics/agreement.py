"""Do two benchmarks find the same labels good?

Goes in: the table BenchmarkAgreement. Stays out: whether they are right.
"""

from itertools import combinations
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl

from baez_pipeline.draws import seed_of
from baez_pipeline.experiment import Statistics
from baez_pipeline.statistics.answered import LABEL
from baez_pipeline.statistics.bootstrap import Values, clustered_interval
from baez_pipeline.statistics.metrics import benchmarks_in, primary_metric, require_one_row_each
from baez_pipeline.tables import BenchmarkAgreement


def benchmark_agreement(scores: pl.DataFrame, settings: Statistics, seed: int) -> dy.DataFrame[BenchmarkAgreement]:
    """Every unordered pair of benchmarks: Spearman's correlation of their primary metrics over labels of all methods.

    A label counts where both benchmarks have a value. Features are resampled with all their labels.

    Args:
        scores: FeatureScores of own labels (shuffle 0) of real features.
        settings: of the interval.
        seed: of the resamples.

    Raises:
        TableError: a feature has two rows for one method and benchmark.
    """
    require_one_row_each(scores, "feature", "method", "benchmark")
    rows = []
    for benchmark_a, benchmark_b in combinations(benchmarks_in(scores), 2):
        values_a, values_b = (
            scores.filter(pl.col("benchmark") == benchmark) for benchmark in (benchmark_a, benchmark_b)
        )
        metric_a, metric_b = primary_metric(values_a), primary_metric(values_b)
        both = values_a.select(*LABEL, a=metric_a).join(values_b.select(*LABEL, b=metric_b), on=LABEL, validate="1:1")
        seed_here = seed_of(seed, "benchmark_agreement", benchmark_a, benchmark_b)
        names = {"benchmark_a": benchmark_a, "benchmark_b": benchmark_b, "metric_a": metric_a, "metric_b": metric_b}
        rows.append(names | _row(both.drop_nulls().sort(LABEL), settings, seed_here))
    return BenchmarkAgreement.validate(pl.DataFrame(rows, schema=BenchmarkAgreement.create_empty().schema), cast=True)


def _row(both: pl.DataFrame, settings: Statistics, seed: int) -> dict[str, Any]:
    a, b = both["a"].to_numpy(), both["b"].to_numpy()
    correlation = spearman(np.ones((1, both.height)), a, b)[0] if both.height > 1 else np.nan
    low, high = clustered_interval(
        lambda counts: spearman(counts, a, b),
        both["feature"].rank("dense").to_numpy().astype(np.int64) - 1,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=seed,
    )
    return {
        "n_features": both["feature"].n_unique(),
        "n_labels": both.height,
        "spearman": float(correlation) if np.isfinite(correlation) else None,
        "interval_low": low,
        "interval_high": high,
    }


def spearman(counts: Values, a: Values, b: Values) -> Values:
    """Spearman's correlation of `a` and `b` (shape: labels), each label counted so often (shape: resamples, labels).

    Ranks are those within the resample, ties at their mean rank. It is scipy.stats.spearmanr of the drawn labels,
    without drawing or sorting them anew for each resample. NaN where either side is constant.
    """
    ranks_a, ranks_b = _centred_ranks(counts, a), _centred_ranks(counts, b)
    covariance = (counts * ranks_a * ranks_b).sum(axis=1)
    variances = (counts * ranks_a**2).sum(axis=1) * (counts * ranks_b**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(covariance / np.sqrt(variances), -1, 1)


def _centred_ranks(counts: Values, values: Values) -> Values:
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=np.nan) != 0)
    in_tie = np.add.reduceat(counts[:, order], starts, axis=1)
    ranks = np.cumsum(in_tie, axis=1) - in_tie / 2
    place = np.searchsorted(values[order][starts], values)
    total = counts.sum(axis=1, keepdims=True)
    return ranks[:, place] - total / 2
