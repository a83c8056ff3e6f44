"""How much paired differences spread over features, and how much of that more examples would take away.

Goes in: variance components of a pilot, and what to assume without one. Stays out: what they mean for the number of
features (`power.py`).
"""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import polars as pl

from baez_pipeline.statistics.answered import answered, pair_scores
from baez_pipeline.statistics.bootstrap import Values
from baez_pipeline.statistics.metrics import PrimaryMetric, benchmarks_in, methods_in

ASSUMED_DIFFERENCE_SD = 0.08
ASSUMED_ANSWER_VARIANCE = 0.388
"""What the field guide's simulation assumes (evaluation and tiers, section 2): the quality of two methods differs over
features with sd .08, and two independent answers about an example differ with this variance. It is 2 (a (1 - a) - v):
mean accuracy a = .7, and v = .12 ** 2 + (.08 / 2) ** 2 the variance of accuracy over features."""


class Spread(NamedTuple):
    """Variance of a paired difference over features."""

    between: float
    """Of true differences: no number of examples takes it away."""
    within: float
    """From the draw of examples, at the number of examples there is."""

    def sd(self, times: float = 1) -> float:
        """Standard deviation over features with so many times the examples."""
        return math.sqrt(self.between + self.within / times)


@dataclass(frozen=True, kw_only=True)
class PairedSpread:
    """Of two methods on one benchmark, by its primary metric, in a pilot."""

    benchmark: str
    metric: PrimaryMetric
    method_a: str
    method_b: str
    n_features: int
    """With two answered examples or more of each kind for both methods."""
    n_examples: float
    """Of such a feature, median."""
    mean_difference: float
    spread: Spread


def assumed_spread(*, n_examples: int, shared: float) -> Spread:
    """The field guide's assumption, for experiments without a pilot.

    Args:
        n_examples: judged examples per feature.
        shared: share of examples about which two methods get the same answer because it is about the example and not
            about the label; 0 to 1.
    """
    return Spread(
        between=((1 - shared) * ASSUMED_DIFFERENCE_SD) ** 2, within=(1 - shared) * ASSUMED_ANSWER_VARIANCE / n_examples
    )


def paired_spreads(judged: pl.DataFrame) -> list[PairedSpread]:
    """Every unordered pair of methods on every benchmark; pairs with under 2 features are left out.

    The spread over features is what it is; how much of it comes from the draw of examples is estimated within features,
    from differences on the same examples, with test examples and negatives drawn apart.

    Args:
        judged: JudgedExamples of own labels (shuffle 0) of real features.
    """
    found = []
    for benchmark in benchmarks_in(judged):
        rows, metric = answered(judged.filter(pl.col("benchmark") == benchmark))
        for method_a, method_b in combinations(methods_in(rows), 2):
            features = _features(rows, metric, method_a, method_b)
            if len(features) < 2:
                continue
            differences, noise, n_examples = np.array(features).T
            variance = float(np.var(differences, ddof=1))
            within = min(max(float(noise.mean()), 0.0), variance)
            found.append(
                PairedSpread(
                    benchmark=benchmark,
                    metric=metric,
                    method_a=method_a,
                    method_b=method_b,
                    n_features=len(features),
                    n_examples=float(np.median(n_examples)),
                    mean_difference=float(differences.mean()),
                    spread=Spread(between=variance - within, within=within),
                )
            )
    return found


def _features(
    rows: pl.DataFrame, metric: PrimaryMetric, method_a: str, method_b: str
) -> list[tuple[float, float, int]]:
    """Per feature: difference, variance of it from the draw of examples, number of examples."""
    a, b = (rows.filter(pl.col("method") == method) for method in (method_a, method_b))
    both = a.join(b, on=["feature", "example", "truth"], suffix="_b", validate="1:1").sort("feature")
    lists = both.group_by("feature", maintain_order=True).agg(
        pl.col(column).filter(pl.col("truth") == is_active).alias(f"{column} {is_active}")
        for column in ("said", "said_b")
        for is_active in (True, False)
    )
    found = []
    for _, *said in lists.iter_rows():
        positives_a, negatives_a, positives_b, negatives_b = map(np.array, said)
        if min(len(positives_a), len(negatives_a)) >= 2:
            differences = pair_scores(positives_a, negatives_a, metric) - pair_scores(positives_b, negatives_b, metric)
            found.append(
                (float(differences.mean()), _variance(differences), differences.shape[0] + differences.shape[1])
            )
    return found


def _variance(pairs: Values) -> float:
    """Unbiased variance of the mean over pairs of m test examples and n negatives, of which either are drawn anew.

    DeLong, DeLong & Clarke-Pearson (1988) have the first two terms, which count the part that is neither the test
    example's nor the negative's twice: with 10 of each, that makes the variance of an AUROC some 6 % too large. The
    last term takes it away (two-way analysis of variance). A single estimate can be negative.

    Args:
        pairs: shape (m, n), both 2 or more.
    """
    m, n = pairs.shape
    of_positives, of_negatives = pairs.mean(axis=1), pairs.mean(axis=0)
    rest = pairs - of_positives[:, None] - of_negatives + pairs.mean()
    return float(
        np.var(of_positives, ddof=1) / m
        + np.var(of_negatives, ddof=1) / n
        - (rest**2).sum() / ((m - 1) * (n - 1)) / (m * n)
    )
