"""P-values of paired differences, and what many tests at once do to p-values.

Goes in: tests that several tables share. Stays out: what is compared, and what is concluded.
"""

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from baez_pipeline.statistics.bootstrap import Values

_FLIPS_AT_ONCE = 2_000_000
"""Differences with a sign that are held in memory at a time (scipy makes some copies)."""


def sign_flip_p(
    differences: Values, *, resamples: int, seed: int, alternative: Literal["two-sided", "greater"] = "two-sided"
) -> float | None:
    """P-value of a mean paired difference (shape: features), by flipping the signs of differences.

    If the two sides of every pair could be exchanged, each difference might as well have the other sign. All 2**n sign
    patterns where there are not more than `resamples`, so that the p-value is exact; else so many random ones, and
    p = (b + 1) / (B + 1), as the observed one is one of them (Phipson & Smyth 2010). Two-sided p-values are twice
    the smaller side. Source: Fisher's randomization test, as scipy.stats.permutation_test has it. None under 2 values.
    """
    if len(differences) < 2:
        return None
    tested = stats.permutation_test(
        (differences,),
        _mean,
        permutation_type="samples",
        alternative=alternative,
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, _FLIPS_AT_ONCE // len(differences)),
        rng=np.random.default_rng(seed),
    )
    return float(tested.pvalue)


def fewest_features(alpha: float) -> int:
    """The fewest features at which a sign-flip test can give p <= alpha: n differences on one side have 2 / 2**n."""
    return math.ceil(1 - math.log2(alpha))


def holm(p_values: Values) -> Values:
    """Holm's (1979) adjusted p-values, shape (tests,): how sure each claim is if all of them are looked at.

    As statsmodels' multipletests has it, which collects garbage on every call: a tenth of a second each.
    """
    order = np.argsort(p_values)
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


def benjamini_hochberg(p_values: Values) -> Values:
    """Benjamini and Hochberg's (1995) q-values, shape (tests,): the share of false claims at a q so low or lower."""
    return np.asarray(stats.false_discovery_control(p_values, method="bh")) if len(p_values) else p_values


def _mean(values: Values, axis: int) -> npt.NDArray[np.float64]:
    return values.mean(axis=axis)
