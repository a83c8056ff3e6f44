"""Which metrics a benchmark has, what chance scores on them, and how their values are read from the scores.

Goes in: what the summary, the comparison and the reports must agree on. Stays out: words shown to people.
"""

from collections.abc import Iterable
from typing import Literal

import polars as pl

from baez_pipeline import experiment
from baez_pipeline.errors import TableError

Metric = Literal["accuracy", "balanced_accuracy", "auroc", "gap"]
PrimaryMetric = Literal["auroc", "balanced_accuracy"]

_OF_ANSWERS: tuple[Metric, ...] = ("accuracy", "balanced_accuracy", "auroc")
METRICS: dict[str, tuple[Metric, ...]] = {
    "detection": _OF_ANSWERS,
    "fuzz_random": _OF_ANSWERS,
    "fuzz_contrastive": _OF_ANSWERS,
    "embedding": ("auroc", "gap"),
}
"""The columns of FeatureScores that say something, per benchmark."""

CHANCE: dict[Metric, float] = {"accuracy": 0.5, "balanced_accuracy": 0.5, "auroc": 0.5, "gap": 0.0}
"""What a label that tells nothing scores on average. For accuracy: of a judge that guesses, whatever its
leaning, where there are as many test examples as negatives."""


def primary_metric(scores: pl.DataFrame) -> PrimaryMetric:
    """AUROC where the judge gives probabilities or similarities, balanced accuracy where it gives answers alone.

    Args:
        scores: FeatureScores of one benchmark.
    """
    return "auroc" if scores["auroc"].is_not_null().any() else "balanced_accuracy"


def methods_in(frame: pl.DataFrame) -> list[str]:
    """The methods of a table: in the order of `experiment.METHODS`, any others after them by name."""
    return _in_order(frame["method"].unique().to_list(), experiment.METHODS)


def benchmarks_in(frame: pl.DataFrame) -> list[str]:
    """The benchmarks of a table in the order of `experiment.BENCHMARKS`."""
    return _in_order(frame["benchmark"].unique().to_list(), experiment.BENCHMARKS)


def numbered(scores: pl.DataFrame) -> pl.DataFrame:
    """The same rows with features, methods and benchmarks as numbers in the order of their names: Enums.

    Each table filters, sorts and joins by them some fifty times; at 262,144 features by name that takes half a minute.
    """
    return scores.with_columns(
        pl.col(name).cast(pl.Enum(scores[name].unique().sort())) for name in ("feature", "method", "benchmark")
    )


def require_one_row_each(scores: pl.DataFrame, *key: str) -> None:
    """Check that FeatureScores has one row per value of these columns, of which the first is the feature.

    Raises:
        TableError: a row stands there twice, which would count its feature twice in every mean.
    """
    feature, *others = key
    # Within groups: among all rows at once it takes five times as long.
    if scores.group_by(others).agg(again=pl.col(feature).n_unique() < pl.len())["again"].any():
        repeated = scores.filter(scores.select(key).is_duplicated())
        first = " / ".join(str(repeated.row(0, named=True)[name]) for name in key)
        raise TableError(
            f"FeatureScores holds more than one row for {first}; expected one per {', '.join(key)}. "
            "Read each feature's scores once; where no shuffle is named, those of its own labels (shuffle 0)."
        )


def metric_values(scores: pl.DataFrame, *, method: str, benchmark: str, metric: Metric) -> pl.DataFrame:
    """The values of one metric where there are any: columns `feature`, `value`, sorted by feature.

    A feature with several rows (its examples judged with several labels of others) counts once, with their mean: rows
    of one feature are not independent. Sorted, because the order of the values decides which of them a seeded resample
    draws.
    """
    return (
        scores.filter(pl.col("method") == method, pl.col("benchmark") == benchmark)
        .select("feature", "shuffle", value=pl.col(metric).fill_nan(None))
        .drop_nulls("value")
        .sort("feature", "shuffle")
        .group_by("feature", maintain_order=True)
        .agg(pl.col("value").mean())
    )


def _in_order(found: Iterable[str], known: Iterable[str]) -> list[str]:
    present = set(found)
    first = [name for name in known if name in present]
    return first + sorted(present.difference(first))
