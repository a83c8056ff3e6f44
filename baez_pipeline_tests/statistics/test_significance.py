from itertools import product

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from baez_pipeline.statistics.significance import benjamini_hochberg, fewest_features, holm, sign_flip_p


def flip(differences, *, resamples=2000, seed=1, **options):
    return sign_flip_p(np.array(differences, dtype=float), resamples=resamples, seed=seed, **options)


def test_for_few_features_every_sign_pattern_is_counted_once():
    differences = np.array([0.1, 0.25, -0.05, 0.3, 0.02, 0.11])
    means = np.array([np.mean(differences * signs) for signs in product([-1, 1], repeat=6)])
    greater = np.mean(means >= differences.mean() - 1e-12)
    assert flip(differences, alternative="greater") == pytest.approx(greater)
    assert flip(differences) == pytest.approx(2 * greater)


def test_a_drawn_p_value_is_near_the_exact_one_and_never_zero():
    differences = np.random.default_rng(0).normal(0.03, 0.1, size=14)
    assert flip(differences, resamples=4000) == pytest.approx(flip(differences, resamples=2**14), abs=0.03)
    assert flip([0.1] * 30, resamples=199) == pytest.approx(2 / 200)


def test_the_sign_of_all_differences_turns_the_one_sided_p_value_round():
    differences = np.array([0.1, 0.2, 0.15, 0.3, 0.05, 0.22])
    assert flip(differences, alternative="greater") == 1 / 2**6
    assert flip(-differences, alternative="greater") == 1


@pytest.mark.parametrize("shift", [0.0, 0.015, 0.03])
@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
def test_of_very_many_differences_the_p_value_is_what_random_signs_come_nearer_to(shift, alternative):
    differences = np.random.default_rng(5).exponential(size=5000) - 1 + shift
    signs = np.random.default_rng(6).integers(0, 2, size=(4000, 5000), dtype=np.int8) * 2 - 1
    flipped = signs.astype(np.float32) @ differences.astype(np.float32)
    side = np.mean(flipped >= differences.sum())
    expected = side if alternative == "greater" else 2 * min(side, 1 - side)
    assert flip(differences, alternative=alternative) == pytest.approx(expected, abs=0.03)
    assert flip(differences, alternative=alternative) == flip(differences, alternative=alternative, seed=2)


def test_of_very_many_differences_a_p_value_may_be_below_any_resamples_and_is_never_zero():
    differences = np.random.default_rng(0).normal(0.1, 1, size=10_000)
    assert 0 < flip(differences) < 1e-15
    assert flip(differences + 5) > 0
    assert flip(-differences, alternative="greater") == pytest.approx(1)


def test_where_a_few_of_very_many_differences_decide_signs_are_drawn():
    differences = np.zeros(4001)
    assert flip(differences, resamples=19) == 1
    differences[:6] = [0.1, 0.25, -0.05, 0.3, 0.02, 0.11]
    assert flip(differences, resamples=499) == pytest.approx(flip(differences[:6]), abs=0.05)


def test_no_difference_at_all_is_no_evidence():
    assert flip([0.0] * 8) == 1


def test_without_features_there_is_no_p_value():
    assert flip([]) is None


def test_the_fewest_features_are_those_at_which_a_p_value_can_reach_alpha():
    for alpha in (0.05, 0.01, 0.1):
        fewest = fewest_features(alpha)
        assert flip([1.0] * fewest, resamples=2**fewest) <= alpha < flip([1.0] * (fewest - 1), resamples=2**fewest)


def test_holm_multiplies_by_the_tests_that_are_left():
    assert holm(np.array([0.04, 0.01, 0.03])) == pytest.approx([0.06, 0.03, 0.06])


def test_holm_is_that_of_statsmodels():
    p_values = np.random.default_rng(0).uniform(size=20) ** 3
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_benjamini_and_hochberg_divide_by_the_rank():
    assert benjamini_hochberg(np.array([0.01, 0.02, 0.5, 0.04])) == pytest.approx([0.04, 0.04, 0.5, 0.16 / 3])


def test_no_p_values_stay_none():
    assert len(holm(np.empty(0))) == len(benjamini_hochberg(np.empty(0))) == 0
