"""How many features an experiment needs, from how much paired differences spread.

Goes in: the arithmetic. Stays out: reading the spread from a pilot (`spread.py`).

Both tests are taken as normal: of n differences of standard deviation sd, the mean has sd / sqrt(n). Under about 30
features the tests need some two features more than that. Source: Chow, Shao & Wang, Sample Size Calculations in
Clinical Research; the field guide's table (evaluation and tiers, section 2) is made of the same formulas.
"""

import math

from scipy import stats
from statsmodels.stats.power import normal_sample_size_one_tail

from baez_pipeline.statistics.significance import fewest_features


def features_to_detect(difference: float, *, sd: float, alpha: float, power: float) -> int:
    """Features at which a two-sided paired test finds a true mean difference.

    Args:
        difference: the true mean difference of two methods, over 0.
        sd: standard deviation of the difference over features.
        alpha: of the test; divided by the number of pairs for Holm's hardest step.
        power: share of experiments that find it, over alpha.
    """
    needed = normal_sample_size_one_tail(difference, power, alpha / 2, std_null=sd)
    return max(math.ceil(needed), fewest_features(alpha))


def features_for_equivalence(margin: float, *, sd: float, alpha: float, power: float) -> int:
    """Features at which TOST calls two methods equivalent whose true mean difference is 0.

    Each of its two one-sided tests may miss with half of 1 - power.

    Args:
        margin: differences under it do not matter.
        sd: standard deviation of the difference over features.
        alpha: of each one-sided test.
        power: share of experiments in which both tests succeed.
    """
    needed = normal_sample_size_one_tail(margin, (1 + power) / 2, alpha, std_null=sd)
    return max(math.ceil(needed), fewest_features(alpha))


def detectable_difference(n_features: int, *, sd: float, alpha: float, power: float) -> float:
    """The smallest true mean difference that a two-sided paired test over n features finds with this power."""
    return float((stats.norm.isf(alpha / 2) + stats.norm.ppf(power)) * sd / math.sqrt(n_features))
