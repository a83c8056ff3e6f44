import numpy as np
import pytest
from scipy import stats

from baez_pipeline.statistics.power import detectable_difference, features_for_equivalence, features_to_detect

SPREADS = (0.05, 0.08, 0.10, 0.12, 0.15)
USUAL = {"alpha": 0.05, "power": 0.8}


@pytest.mark.parametrize(
    ("difference", "needed"),
    [(0.02, (50, 126, 197, 283, 442)), (0.03, (22, 56, 88, 126, 197)), (0.05, (8, 21, 32, 46, 71))],
)
def test_features_to_detect_are_those_of_the_field_guide(difference, needed):
    assert tuple(features_to_detect(difference, sd=sd, **USUAL) for sd in SPREADS) == needed


def test_features_for_equivalence_are_those_of_the_field_guide():
    found = tuple(features_for_equivalence(0.02, sd=sd, **USUAL) for sd in SPREADS)
    assert found == (54, 138, 215, 309, 482)


def test_what_forty_features_detect_is_what_the_field_guide_says():
    found = [round(detectable_difference(40, sd=sd, **USUAL), 3) for sd in SPREADS]
    assert found == [0.022, 0.035, 0.044, 0.053, 0.066]


def test_needed_features_and_detectable_difference_are_each_others_inverse():
    needed = features_to_detect(0.03, sd=0.1, **USUAL)
    assert detectable_difference(needed, sd=0.1, **USUAL) <= 0.03 < detectable_difference(needed - 1, sd=0.1, **USUAL)


def test_never_fewer_features_than_the_test_needs_to_find_anything():
    assert features_to_detect(0.5, sd=0.01, **USUAL) == 6
    assert features_for_equivalence(0.02, sd=0.0, **USUAL) == 6


def test_a_t_test_finds_as_often_as_was_planned():
    needed = features_to_detect(0.03, sd=0.1, **USUAL)
    drawn = np.random.default_rng(0).normal(0.03, 0.1, size=(4000, needed))
    assert np.mean(stats.ttest_1samp(drawn, 0, axis=1).pvalue <= 0.05) == pytest.approx(0.8, abs=0.025)


def test_two_one_sided_t_tests_call_equivalent_as_often_as_was_planned():
    needed = features_for_equivalence(0.02, sd=0.1, **USUAL)
    drawn = np.random.default_rng(0).normal(0, 0.1, size=(4000, needed))
    above = stats.ttest_1samp(drawn, -0.02, axis=1, alternative="greater").pvalue
    below = stats.ttest_1samp(drawn, 0.02, axis=1, alternative="less").pvalue
    assert np.mean(np.maximum(above, below) <= 0.05) == pytest.approx(0.8, abs=0.025)
