"""The interval of a mean over features, by bootstrap.

Goes in: resampling of features. Stays out: which numbers are averaged.
"""

import warnings
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

Values = npt.NDArray[np.float64]

_NUMBERS_AT_ONCE = 4_000_000
"""Resampled numbers held in memory at a time (32 MB); scipy's default holds resamples x features, and for
BCa's jackknife features x features, which is 20 GB at 50,000 features."""


class Interval(NamedTuple):
    """Both ends of an interval, in the unit of the values; None where there are too few values for one."""

    low: float | None
    high: float | None


def mean_interval(values: Values, *, confidence: float, resamples: int, seed: int) -> Interval:
    """Two-sided interval of the mean of `values` (shape: features), by BCa bootstrap over features.

    Source: Efron (1987), Better bootstrap confidence intervals, as scipy.stats.bootstrap has it. Degenerate
    input: under 3 values there is no interval; equal values give that value twice; where BCa has no finite
    answer (values that differ by rounding alone, say) the percentile interval of the same resamples takes
    its place.

    Raises:
        ValueError: a value is not finite; leave missing scores out first.
    """
    if not np.isfinite(values).all():
        raise ValueError("mean_interval needs finite values: leave missing scores out first")
    if len(values) < 3:
        return Interval(None, None)
    if np.ptp(values) == 0:
        return Interval(float(values[0]), float(values[0]))
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        drawn = stats.bootstrap(
            (values,),
            np.mean,
            n_resamples=resamples,
            batch=max(1, _NUMBERS_AT_ONCE // len(values)),
            confidence_level=confidence,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    ends = drawn.confidence_interval
    if not (np.isfinite(ends.low) and np.isfinite(ends.high)):
        tail = (1 - confidence) / 2
        low, high = np.quantile(drawn.bootstrap_distribution, [tail, 1 - tail])
        return Interval(float(low), float(high))
    return Interval(float(ends.low), float(ends.high))
