"""What an experiment of so many features and examples can find, and how many it needs.

Goes in: the figures of `baez plan`. Stays out: what they cost, and how they are printed.
"""

from dataclasses import dataclass

from scipy import stats

from baez_pipeline.statistics.power import detectable_difference, features_for_equivalence, features_to_detect
from baez_pipeline.statistics.spread import Spread

TIMES = (1, 2, 5)
"""Examples per feature that are planned for, next to those there are."""
DIFFERENCES = (0.03, 0.05)
"""Differences that are planned for, next to the margin."""


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What is asked of an experiment."""

    margin: float
    power: float
    alpha: float
    pairs: int
    """Of methods, so that Holm's hardest step holds a difference to alpha / pairs. Equivalence is held to alpha."""

    @property
    def differences(self) -> tuple[float, ...]:
        """Differences to detect, smallest first."""
        return tuple(sorted({self.margin, *DIFFERENCES}))


@dataclass(frozen=True, kw_only=True)
class Need:
    """With so many times the examples."""

    times: int
    sd: float
    """Standard deviation of the paired difference over features."""
    detects: float
    """The difference that the features there are can find."""
    to_detect: tuple[int, ...]
    """Features needed to find each of the aim's differences."""
    for_equivalence: int
    """Features needed to call methods without a difference equivalent."""

    @property
    def for_both(self) -> int:
        """Features needed to find the smallest difference, and to call equivalent what has none."""
        return max(*self.to_detect, self.for_equivalence)


def needs(spread: Spread, n_features: int, aim: Aim) -> list[Need]:
    """What `n_features` features can find and how many are needed, for each of TIMES."""
    found = []
    for times in TIMES:
        sd, hardest = spread.sd(times), aim.alpha / aim.pairs
        found.append(
            Need(
                times=times,
                sd=sd,
                detects=detectable_difference(n_features, sd=sd, alpha=hardest, power=aim.power),
                to_detect=tuple(
                    features_to_detect(difference, sd=sd, alpha=hardest, power=aim.power)
                    for difference in aim.differences
                ),
                for_equivalence=features_for_equivalence(aim.margin, sd=sd, alpha=aim.alpha, power=aim.power),
            )
        )
    return found


def features_factor(n_features: int, *, confidence: float) -> tuple[float, float]:
    """By what factors the needed features may be off, as the variance comes from so few (chi-square, normal values).

    Needed features go with the variance; a pilot of 12 features leaves it between half and 2.9 times what it seems.
    """
    freedom, tail = n_features - 1, (1 - confidence) / 2
    return float(freedom / stats.chi2.isf(tail, freedom)), float(freedom / stats.chi2.ppf(tail, freedom))
