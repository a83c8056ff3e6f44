import numpy as np
import pytest
from scipy import stats

from baez_pipeline.statistics import Interval, mean_interval
from baez_pipeline.statistics.bootstrap import MOST_RESAMPLED, clustered_interval


def interval(values, *, seed=1, confidence=0.95, resamples=2000):
    return mean_interval(np.array(values, dtype=float), confidence=confidence, resamples=resamples, seed=seed)


def test_the_interval_is_scipys_bca_interval():
    values = np.random.default_rng(0).normal(0.6, 0.1, size=25)
    expected = stats.bootstrap((values,), np.mean, n_resamples=2000, method="BCa", rng=np.random.default_rng(1))
    assert interval(values) == pytest.approx(tuple(expected.confidence_interval))


def test_for_symmetric_values_the_interval_is_near_the_textbook_one():
    values = np.random.default_rng(0).normal(0.6, 0.1, size=400)
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    low, high = interval(values)
    assert low == pytest.approx(values.mean() - half, abs=0.002)
    assert high == pytest.approx(values.mean() + half, abs=0.002)


def test_about_95_in_100_intervals_hold_the_true_mean():
    generator = np.random.default_rng(2)
    held = 0
    for seed in range(200):
        low, high = interval(generator.normal(0.5, 0.1, size=40), seed=seed, resamples=400)
        held += low <= 0.5 <= high
    assert 0.90 <= held / 200 <= 0.99


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(0).normal(size=20)
    assert interval(values) == interval(values)
    assert interval(values) != interval(values, seed=2)


def test_more_values_than_are_held_at_once_give_the_same_interval(monkeypatch):
    values = np.random.default_rng(0).normal(size=50)
    whole = interval(values)
    monkeypatch.setattr("baez_pipeline.statistics.bootstrap._NUMBERS_AT_ONCE", 500)
    assert interval(values) == pytest.approx(whole)


@pytest.mark.parametrize("values", [[], [0.5], [0.4, 0.6]])
def test_under_three_values_there_is_no_interval(values):
    assert interval(values) == Interval(None, None)


def test_equal_values_give_that_value_twice():
    assert interval([0.65] * 12) == Interval(0.65, 0.65)


@pytest.mark.filterwarnings("error")
def test_where_bca_has_no_answer_the_percentile_interval_takes_its_place_without_a_warning():
    low, high = interval([0.1 + 0.2, 0.3, 0.3])
    assert 0.3 <= low <= high <= 0.1 + 0.2


def test_missing_values_are_refused():
    with pytest.raises(ValueError, match="finite"):
        interval([0.5, float("nan"), 0.6, 0.7])


def test_up_to_the_largest_number_that_is_resampled_the_interval_is_scipys():
    values = np.random.default_rng(0).exponential(size=MOST_RESAMPLED)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=50, method="BCa", batch=400, rng=np.random.default_rng(1)
    ).confidence_interval
    assert interval(values, resamples=50) == pytest.approx(tuple(expected))


SHAPES = {
    "shares of 20": lambda drawn, n: drawn.binomial(20, 0.7, n) / 20,
    "two-ended": lambda drawn, n: np.round(drawn.beta(0.3, 0.1, n), 2),
    "reciprocal ranks": lambda drawn, n: 1 / np.ceil(drawn.pareto(1, n) + 0.5),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_above_it_the_interval_is_what_resamples_come_nearer_to(shape):
    values = SHAPES[shape](np.random.default_rng(3), 5000)
    # BCa of a mean by its definition. A resample is how often it has each distinct value: 10,000 of them are quick.
    distinct, counts = np.unique(values, return_counts=True)
    drawn = np.random.default_rng(4).multinomial(5000, counts / 5000, size=10_000) @ distinct / 5000
    correction = stats.skew(values) / (6 * np.sqrt(5000))
    shifted = correction + stats.norm.ppf([0.025, 0.975])
    low, high = np.quantile(drawn, stats.norm.cdf(correction + shifted / (1 - correction * shifted)))
    assert interval(values) == pytest.approx((low, high), abs=0.03 * (high - low))


def test_above_it_neither_seed_nor_resamples_have_a_part():
    values = np.random.default_rng(0).exponential(size=MOST_RESAMPLED + 1)
    assert interval(values) == interval(values, seed=2, resamples=10)
    low, high = interval(values)
    assert high - values.mean() > values.mean() - low


def test_the_interval_of_a_quarter_of_a_million_values_is_narrow():
    low, high = interval(np.random.default_rng(0).uniform(size=262_144))
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(12 * 262_144), rel=0.01)
    assert interval([0.5] * 10_000) == Interval(0.5, 0.5)


def weighted_mean(values):
    return lambda counts: counts @ values / counts.sum(axis=1)


def clustered(values, features, *, resamples=2000, seed=1):
    return clustered_interval(
        weighted_mean(np.array(values, dtype=float)),
        np.array(features),
        confidence=0.95,
        resamples=resamples,
        seed=seed,
    )


def test_with_one_row_per_feature_the_clustered_interval_is_the_plain_one():
    values = np.random.default_rng(0).normal(size=25)
    assert clustered(values, np.arange(25)) == pytest.approx(interval(values))


def test_repeating_every_row_narrows_no_clustered_interval():
    values = np.random.default_rng(0).normal(size=25)
    assert clustered(np.repeat(values, 4), np.repeat(np.arange(25), 4)) == pytest.approx(interval(values))


def test_a_clustered_interval_in_batches_is_the_same(monkeypatch):
    values, features = np.random.default_rng(0).normal(size=60), np.repeat(np.arange(20), 3)
    whole = clustered(values, features)
    monkeypatch.setattr("baez_pipeline.statistics.bootstrap._NUMBERS_AT_ONCE", 500)
    assert clustered(values, features) == pytest.approx(whole)


@pytest.mark.parametrize("features", [[], [0, 0, 0], [0, 0, 1, 1]])
def test_under_three_features_there_is_no_clustered_interval(features):
    assert clustered(np.arange(len(features)), features) == Interval(None, None)


def test_a_statistic_that_is_undefined_for_most_resamples_has_no_interval():
    found = clustered_interval(
        lambda counts: np.full(len(counts), np.nan), np.arange(5), confidence=0.95, resamples=100, seed=1
    )
    assert found == Interval(None, None)
