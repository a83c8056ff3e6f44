"""The statistics held to data whose truth is known: how often intervals hold it, how often tests are wrong or miss it.

Bounds are about three standard errors of the simulation beside what theory says, so that a wrong tail, a missing
factor or features taken for independent rows fall outside. Where features are few or scores skewed, bootstrap intervals
are known to hold the truth less often than they say; bounds there are round what longer simulations found. All are
seeded.
"""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from baez_pipeline.experiment import Statistics
from baez_pipeline.statistics import feature_claims, mean_interval, method_comparison, reliability
from baez_pipeline.statistics.agreement import spearman
from baez_pipeline.statistics.bootstrap import clustered_interval
from baez_pipeline.statistics.chance import shuffles_p
from baez_pipeline.statistics.power import features_for_equivalence, features_to_detect
from baez_pipeline.statistics.significance import holm, sign_flip_p
from baez_pipeline_tests.statistics.tables import SETTINGS, judged_many, score, table

RESAMPLES = 200


def coverage(intervals, truth):
    """Shares of intervals that lie below, hold and lie above the truth."""
    low, high = np.array(intervals, dtype=float).T
    return np.mean(high < truth), np.mean((low <= truth) & (truth <= high)), np.mean(low > truth)


def test_intervals_of_skewed_scores_hold_the_true_mean_and_miss_it_on_both_sides_alike():
    generator = np.random.default_rng(0)
    intervals = [
        mean_interval(generator.exponential(size=60), confidence=0.9, resamples=RESAMPLES, seed=seed)
        for seed in range(400)
    ]
    below, held, above = coverage(intervals, 1)
    # 1,500 such intervals held it in 87.4 % of cases.
    assert held == pytest.approx(0.874, abs=3 * (0.874 * 0.126 / 400) ** 0.5)
    # Symmetric intervals (mean +- 1.645 standard errors) lie below four times as often as above.
    assert below <= 2.2 * above


def test_intervals_over_features_hold_the_true_mean_where_rows_taken_for_independent_do_not():
    generator = np.random.default_rng(1)
    by_feature, by_row = [], []
    for seed in range(200):
        rows = generator.normal(0.5, 0.1, size=(30, 1)) + generator.normal(0, 0.05, size=(30, 5))
        settings = {"confidence": 0.95, "resamples": RESAMPLES, "seed": seed}
        by_feature.append(mean_interval(rows.mean(axis=1), **settings))
        by_row.append(mean_interval(rows.ravel(), **settings))
    assert 0.89 <= coverage(by_feature, 0.5)[1] <= 0.98
    assert coverage(by_row, 0.5)[1] < 0.75


def test_intervals_of_a_correlation_hold_the_true_one_though_features_have_three_labels():
    generator = np.random.default_rng(2)
    correlation = 0.6
    truth = 6 / np.pi * np.arcsin(correlation / 2)
    features = np.repeat(np.arange(50), 3)
    intervals = []
    for seed in range(200):
        shared = generator.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], size=50)[features]
        own = generator.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], size=150)
        a, b = (shared * 0.8 + own * 0.6).T
        intervals.append(
            clustered_interval(
                lambda counts, a=a, b=b: spearman(counts, a, b),
                features,
                confidence=0.95,
                resamples=RESAMPLES,
                seed=seed,
            )
        )
    assert 0.89 <= coverage(intervals, truth)[1] <= 0.985


@pytest.mark.slow
def test_intervals_of_the_reliability_hold_the_true_one_and_are_as_wide_as_estimates_spread():
    generator = np.random.default_rng(3)
    truth = np.arange(20) < 10
    # Accuracy over labels has variance .01; that of 20 answers about it is .7 * .3 - .01 over 20.
    known = 0.01 / (0.01 + (0.21 - 0.01) / 20)
    intervals, estimates = [], []
    for seed in range(60):
        quality = generator.normal(0.7, 0.1, size=(200, 1))
        right = generator.uniform(size=(200, 20)) < quality
        found = reliability(judged_many(right == truth, truth), SETTINGS, seed).row(0, named=True)
        intervals.append((found["interval_low"], found["interval_high"]))
        estimates.append(found["reliability"])
    assert coverage(intervals, known)[1] >= 0.95 - 3 * (0.95 * 0.05 / 60) ** 0.5
    assert np.mean(estimates) == pytest.approx(known, abs=3 * np.std(estimates) / 60**0.5)
    assert np.mean(np.diff(intervals)) == pytest.approx(2 * 1.96 * np.std(estimates), rel=0.28)


@pytest.mark.parametrize("n_features", [7, 20])
def test_the_sign_flip_test_is_wrong_as_often_as_alpha_says(n_features):
    generator = np.random.default_rng(4)
    drawn = generator.normal(0, 0.1, size=(700, n_features))
    p_values = np.array([sign_flip_p(row, resamples=199, seed=seed) for seed, row in enumerate(drawn)])
    expected = 0.05 if n_features == 20 else 6 / 2**7
    assert np.mean(p_values <= 0.05) == pytest.approx(expected, abs=0.025)


def test_the_sign_flip_test_finds_a_difference_as_often_as_was_planned():
    generator = np.random.default_rng(5)
    needed = features_to_detect(0.03, sd=0.1, alpha=0.05, power=0.8)
    drawn = generator.normal(0.03, 0.1, size=(400, needed))
    found = [sign_flip_p(row, resamples=399, seed=seed) <= 0.05 for seed, row in enumerate(drawn)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.06)


def test_holm_is_wrong_anywhere_as_often_as_alpha_says_where_single_tests_are_twice_as_often():
    generator = np.random.default_rng(6)
    single, together = [], []
    for seed in range(200):
        methods = generator.normal(size=(4, 15))
        pairs = [methods[a] - methods[b] for a, b in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))]
        p_values = np.array([sign_flip_p(pair, resamples=299, seed=seed) for pair in pairs])
        single.append(p_values.min() <= 0.05)
        together.append(holm(p_values).min() <= 0.05)
    assert 0.01 <= np.mean(together) <= 0.095
    assert np.mean(single) > 0.12


def verdicts(mean, *, sd, n_features, experiments, seed):
    """Verdicts on experiments in which one method is better by so much."""
    generator = np.random.default_rng(seed)
    settings = Statistics(resamples=RESAMPLES)
    found = []
    for number in range(experiments):
        differences = generator.normal(mean, sd, size=n_features)
        rows = [
            score(f"f{place:04d}", method, "embedding", auroc=0.5 + difference * (method == "baez"))
            for place, difference in enumerate(differences)
            for method in ("baez", "baez_last")
        ]
        compared = method_comparison(table(*rows), settings, number).filter(pl.col("metric") == "auroc")
        found.append(compared["verdict"].item())
    return {verdict: found.count(verdict) / experiments for verdict in ("different", "equivalent", "undecided")}


def test_equal_methods_are_called_equivalent_as_often_as_was_planned_and_rarely_different():
    needed = features_for_equivalence(0.02, sd=0.06, alpha=0.05, power=0.8)
    shares = verdicts(0, sd=0.06, n_features=needed, experiments=60, seed=7)
    assert shares["equivalent"] == pytest.approx(0.8, abs=3 * (0.8 * 0.2 / 60) ** 0.5)
    assert shares["different"] <= 0.05 + 3 * (0.05 * 0.95 / 60) ** 0.5


def test_methods_at_the_margin_are_called_equivalent_as_often_as_alpha_says():
    drawn = np.random.default_rng(8).normal(0.02, 0.04, size=(400, 40))
    narrower = [mean_interval(row, confidence=0.9, resamples=RESAMPLES, seed=seed) for seed, row in enumerate(drawn)]
    within = np.mean([low > -0.02 and high < 0.02 for low, high in narrower])
    assert within == pytest.approx(0.05, abs=0.03)


TRUTH = np.arange(20) < 10


def answers(generator, n_features, *, right, leaning=0.5):
    """Answers that are right with this probability, or have nothing to do with the truth and lean to yes."""
    at_random = generator.uniform(size=(n_features, 20)) < leaning
    knows = generator.uniform(size=(n_features, 20)) < 2 * (right - 0.5)
    return np.where(knows, TRUTH, at_random)


@pytest.mark.parametrize("leaning", [0.5, 0.8])
def test_a_judge_that_guesses_beats_chance_no_more_often_than_alpha_says_whatever_its_leaning(leaning):
    said = answers(np.random.default_rng(10), 3000, right=0.5, leaning=leaning)
    claims = feature_claims(judged_many(said, TRUTH), SETTINGS)
    assert 0.005 < (claims["p_value"] <= 0.05).mean() <= 0.05 + 3 * (0.05 * 0.95 / 3000) ** 0.5
    assert claims["claimed"].mean() < 0.002


def test_probabilities_without_information_beat_chance_as_often_as_alpha_says():
    said = np.random.default_rng(11).uniform(size=(3000, 20))
    claims = feature_claims(judged_many(said, TRUTH), SETTINGS)
    assert (claims["p_value"] <= 0.05).mean() == pytest.approx(0.05, abs=0.015)


def test_one_claim_in_twenty_is_false_at_most_where_single_tests_have_one_in_seven():
    generator = np.random.default_rng(12)
    false_claims, false_single, found = [], [], []
    is_good = np.arange(400) < 80
    for _ in range(30):
        shift = is_good[:, None] * TRUTH * 2.0
        said = stats.norm.cdf(generator.normal(size=(400, 20)) + shift)
        claims = feature_claims(judged_many(said, TRUTH), SETTINGS)
        claimed, single = claims["claimed"].to_numpy(), (claims["p_value"] <= 0.05).to_numpy()
        false_claims.append(np.mean(~is_good[claimed]))
        false_single.append(np.mean(~is_good[single]))
        found.append(np.mean(claimed[is_good]))
    assert 0.02 < np.mean(false_claims) <= 0.05
    assert np.mean(false_single) > 0.12
    assert np.mean(found) > 0.9


def test_shuffles_as_good_as_own_labels_give_small_p_values_no_more_often_than_they_say():
    drawn = np.random.default_rng(13).normal(size=(4000, 20))
    p_values = np.array([shuffles_p(row[0], row[1:]) for row in drawn])
    assert p_values.min() == 1 / 20
    for alpha in (0.05, 0.1, 0.5):
        assert np.mean(p_values <= alpha) == pytest.approx(alpha, abs=3 * (alpha * (1 - alpha) / 4000) ** 0.5)
