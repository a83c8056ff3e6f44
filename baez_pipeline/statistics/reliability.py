"""Does a benchmark measure the label, or the examples that happened to be drawn?

Goes in: the table Reliability. Stays out: scoring a label again; agreement between benchmarks.
"""

from typing import Any

import dataframely as dy
import numpy as np
import numpy.typing as npt
import polars as pl

from baez_pipeline.draws import seed_of
from baez_pipeline.experiment import Statistics
from baez_pipeline.statistics.answered import LABEL, answered, pair_scores
from baez_pipeline.statistics.bootstrap import Values, clustered_interval
from baez_pipeline.statistics.metrics import PrimaryMetric, benchmarks_in
from baez_pipeline.tables import Reliability

SPLITS = 50
"""Seeded ways to halve a label's examples; the figure is their mean."""


def icc(repeats: Values) -> float | None:
    """ICC(1,1) of Shrout & Fleiss (1979): how alike repeated scores of one label are, next to those of different ones.

    One-way, as repeats have no order: the first is not a rater of its own. 1 = repeats agree; 0 or less = they
    are no more alike than scores of different labels. statsmodels has no ICC.

    Args:
        repeats: shape (labels, repeats), without missing values; two of each or more.

    Returns:
        None where all scores are equal.

    Raises:
        ValueError: under 2 labels or 2 repeats.
    """
    if repeats.ndim != 2 or min(repeats.shape) < 2:
        raise ValueError(f"icc needs 2 labels and 2 repeats or more, not an array of shape {repeats.shape}")
    n_labels, n_repeats = repeats.shape
    of_labels = repeats.mean(axis=1)
    between = n_repeats * np.var(of_labels, ddof=1)
    within = ((repeats - of_labels[:, None]) ** 2).sum() / (n_labels * (n_repeats - 1))
    total = between + (n_repeats - 1) * within
    return float((between - within) / total) if total else None


def spearman_brown(half: Values) -> Values:
    """The reliability of a measurement twice as long. Source: Spearman (1910), Brown (1910)."""
    return 2 * half / (1 + half)


def reliability(judged: pl.DataFrame, settings: Statistics, seed: int) -> dy.DataFrame[Reliability]:
    """One row per benchmark, by its primary metric: how alike the scores on two halves of a label's examples are.

    Halves are drawn of test examples and negatives apart. What is compared are labels, those of all methods; features
    are resampled with all their labels. For AUROC the figure is a little too low: the part of its noise that comes of
    pairs of examples shrinks by four where the examples are doubled, and Spearman and Brown count with two.
    Of few features the interval is too narrow: at 95 % it held the true figure 89 % of the time for 40 features, 90 %
    for 60, and 95 % for 200 (simulated).

    Args:
        judged: JudgedExamples of own labels (shuffle 0) of real features.
        settings: of the interval.
        seed: of the halves and the resamples.
    """
    rows = []
    for benchmark in benchmarks_in(judged):
        said, metric = answered(judged.filter(pl.col("benchmark") == benchmark))
        rows.append({"benchmark": benchmark, "metric": metric, **_row(said, metric, benchmark, settings, seed)})
    return Reliability.validate(pl.DataFrame(rows, schema=Reliability.create_empty().schema), cast=True)


def _row(said: pl.DataFrame, metric: PrimaryMetric, benchmark: str, settings: Statistics, seed: int) -> dict[str, Any]:
    labels = (
        said.sort("example")
        .group_by(LABEL)
        .agg(positives=pl.col("said").filter("truth"), negatives=pl.col("said").filter(~pl.col("truth")))
        .filter(pl.min_horizontal(pl.col("positives", "negatives").list.len()) >= 2)
        .sort(LABEL)
    )
    n_examples = labels.select((pl.col("positives").list.len() + pl.col("negatives").list.len()).median()).item()
    found: dict[str, Any] = {
        "n_features": labels["feature"].n_unique(),
        "n_labels": labels.height,
        "n_examples": n_examples,
    }
    if found["n_features"] < 3:
        return found
    halves = np.array(
        [
            _halves(
                np.array(row["positives"]),
                np.array(row["negatives"]),
                metric,
                seed_of(seed, "halves", benchmark, row["method"], row["feature"]),
            )
            for row in labels.iter_rows(named=True)
        ]
    )
    half = _half_icc(np.ones((1, labels.height)), halves)
    corrected = spearman_brown(half)
    if not np.isfinite(corrected[0]):
        return found
    low, high = clustered_interval(
        lambda counts: spearman_brown(_half_icc(counts, halves)),
        labels["feature"].rank("dense").to_numpy().astype(np.int64) - 1,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=seed_of(seed, "reliability", benchmark),
    )
    return found | {
        "half_icc": float(half[0]),
        "reliability": float(corrected[0]),
        "interval_low": low,
        "interval_high": high,
    }


def _halves(positives: Values, negatives: Values, metric: PrimaryMetric, seed: int) -> Values:
    """Scores on both halves of a label's examples, shape (splits, 2)."""
    generator = np.random.default_rng(seed)
    of_positives, of_negatives = (_drawn_halves(len(values), generator) for values in (positives, negatives))
    pairs = pair_scores(positives, negatives, metric)
    return np.asarray(((of_positives @ pairs) * of_negatives).sum(axis=2).T)


def _drawn_halves(n_examples: int, generator: np.random.Generator) -> Values:
    """Weights of examples in the two halves of each split, shape (2, splits, examples); a half's weights sum to 1."""
    order = generator.permuted(np.tile(np.arange(n_examples), (SPLITS, 1)), axis=1)
    # Of an odd number, either half gets the odd one as often as the other.
    size = n_examples // 2 + (np.arange(SPLITS)[:, None] % 2) * (n_examples % 2)
    first = order < size
    return np.stack([half / half.sum(axis=1, keepdims=True) for half in (first, ~first)])


def _half_icc(counts: Values, halves: Values) -> npt.NDArray[np.float64]:
    """ICC(1,1) of the halves, mean over splits, with each label drawn so often.

    Args:
        counts: shape (resamples, labels).
        halves: shape (labels, splits, 2).

    Returns:
        Shape (resamples,).
    """
    total = counts.sum(axis=1, keepdims=True)
    middle, apart = halves.mean(axis=2), np.diff(halves, axis=2)[..., 0]
    mean = counts @ middle / total
    between = 2 * (counts @ middle**2 / total - mean**2) * total / (total - 1)
    within = counts @ apart**2 / total / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return ((between - within) / (between + within)).mean(axis=1)
