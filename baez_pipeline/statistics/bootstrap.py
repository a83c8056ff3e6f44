"""Intervals over features, by bootstrap, and of very many features by what a bootstrap comes to.

Goes in: resampling of features, and its limit. Stays out: which numbers are averaged.

The feature is what is resampled, with all that belongs to it. A mean over features whose feature has several values
(scores with several labels of others, say) takes each feature's own mean first, and `mean_interval` of those: each
feature counts once, and its values are not taken for independent ones. A statistic over labels, of which a feature has
several, takes `clustered_interval`.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special, stats

Values = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

MOST_RESAMPLED = 4_000
"""Features of which more are not resampled: 2,000 resamples of 10,000 values take 2 s, of 262,144 a minute."""

_NUMBERS_AT_ONCE = 4_000_000
"""Resampled numbers held in memory at a time (32 MB); scipy's default holds resamples x features, and for
BCa's jackknife features x features, which is 20 GB at 50,000 features."""


class Interval(NamedTuple):
    """Both ends of an interval, in the unit of the values; None where there are too few values for one."""

    low: float | None
    high: float | None


NO_INTERVAL = Interval(None, None)


def mean_interval(values: Values, *, confidence: float, resamples: int, seed: int) -> Interval:
    """Two-sided interval of the mean of `values` (shape: features), by BCa bootstrap over features.

    Source: Efron (1987), Better bootstrap confidence intervals, as scipy.stats.bootstrap has it. Above MOST_RESAMPLED
    values nothing is drawn, and `resamples` and `seed` have no part: `bca_of_mean` is what ever more resamples come
    nearer to. Degenerate input: under 3 values there is no interval; equal values give that value twice; where BCa
    has no finite answer (values that differ by rounding alone, say) the percentile interval of the same resamples
    takes its place.

    Of few features it is too narrow, as bootstrap intervals are: at 95 % it held the true mean of normal values 85 %
    of the time for 6 features, 91 % for 12, and 94 % for 40 (simulated).

    Raises:
        ValueError: a value is not finite; leave missing scores out first.
    """
    if not np.isfinite(values).all():
        raise ValueError("mean_interval needs finite values: leave missing scores out first")
    if len(values) < 3:
        return NO_INTERVAL
    if np.ptp(values) == 0:
        return Interval(float(values[0]), float(values[0]))
    if len(values) > MOST_RESAMPLED:
        return bca_of_mean(values, confidence=confidence)
    return _bca(values, np.mean, len(values), confidence=confidence, resamples=resamples, seed=seed)


def bca_of_mean(values: Values, *, confidence: float) -> Interval:
    """The BCa interval of a mean without resampling: shape (features,), many features, not all of them equal.

    With skewness g, both BCa's bias correction and its acceleration are g / (6 sqrt n) for a mean (Efron 1987, sections
    4 and 7), and the bootstrap distribution's quantiles follow from its cumulants by Cornish and Fisher's expansion to
    the order 1 / n (Hall 1992, The Bootstrap and Edgeworth Expansion, section 2.5). Time and memory grow as n.

    Measured for seven shapes of values at n = 5,000, from normal ones to reciprocal ranks of skewness 26, against
    scipy's BCa of 100,000 resamples: ends differ by less than 1 % of the interval's width. BCa of 2,000 resamples
    differs from them by up to 4 % of it, by chance.
    """
    centred = values - values.mean()
    squares, n = centred * centred, len(values)
    variance = squares.mean()
    skewness = (squares @ centred) / n / variance**1.5
    excess = (squares @ squares) / n / variance**2 - 3
    correction = skewness / (6 * np.sqrt(n))
    tail = (1 - confidence) / 2
    shifted = correction + special.ndtri(np.array([tail, 1 - tail]))
    z = correction + shifted / (1 - correction * shifted)
    of_kurtosis, of_skewness = (z**3 - 3 * z) * excess / 24, (2 * z**3 - 5 * z) * skewness**2 / 36
    quantiles = z + (z**2 - 1) * correction + (of_kurtosis - of_skewness) / n
    low, high = values.mean() + quantiles * np.sqrt(variance / n)
    return Interval(float(low), float(high))


def clustered_interval(
    statistic: Callable[[Values], Values],
    features: Indices,
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> Interval:
    """Two-sided BCa interval of a statistic over rows of which a feature has several.

    Features are resampled, each with all its rows. scipy.stats.bootstrap resamples numbers one by one; here these
    are the features' places, and the statistic is told how often each row was drawn.

    Args:
        statistic: from counts of shape (resamples, rows) to values of shape (resamples,); NaN where it is undefined.
        features: shape (rows,), the place of each row's feature, 0 to n - 1.
        confidence: of the interval, 0 to 1.
        resamples: how many.
        seed: of the resamples.

    Returns:
        No interval under 3 features, or where the statistic of all rows or of most resamples is undefined.
    """
    n_features = int(features.max()) + 1 if len(features) else 0
    if n_features < 3:
        return NO_INTERVAL

    def of_drawn(places: Indices, axis: int) -> Values:
        drawn = np.moveaxis(places, axis, -1).reshape(-1, places.shape[axis])
        shifted = drawn + np.arange(len(drawn))[:, None] * n_features
        counts = np.bincount(shifted.ravel(), minlength=len(drawn) * n_features).reshape(-1, n_features)
        return statistic(counts[:, features].astype(np.float64)).reshape(np.delete(places.shape, axis))

    return _bca(np.arange(n_features), of_drawn, len(features), confidence=confidence, resamples=resamples, seed=seed)


def _bca(
    sample: Values | Indices,
    statistic: Callable[..., Any],
    rows: int,
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> Interval:
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        drawn = stats.bootstrap(
            (sample,),
            statistic,
            n_resamples=resamples,
            batch=max(1, _NUMBERS_AT_ONCE // rows),
            confidence_level=confidence,
            method="BCa",
            vectorized=True,
            rng=np.random.default_rng(seed),
        )
    ends = drawn.confidence_interval
    if not (np.isfinite(ends.low) and np.isfinite(ends.high)):
        defined = drawn.bootstrap_distribution[np.isfinite(drawn.bootstrap_distribution)]
        if len(defined) < resamples / 2:
            return NO_INTERVAL
        tail = (1 - confidence) / 2
        low, high = np.quantile(defined, [tail, 1 - tail])
        return Interval(float(low), float(high))
    return Interval(float(ends.low), float(ends.high))
