import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy import stats

from baez_pipeline.errors import TableError
from baez_pipeline.statistics import benchmark_agreement
from baez_pipeline.statistics.agreement import spearman, spearman_of_many
from baez_pipeline.statistics.bootstrap import clustered_interval
from baez_pipeline_tests.statistics.tables import SETTINGS, score, some_scores, table


def agreeing(noise, *, n_features=30, methods=("baez", "baez_last")):
    """Embedding follows detection but for noise."""
    generator = np.random.default_rng(0)
    rows = []
    for place in range(n_features):
        for method in methods:
            quality = generator.uniform(0.2, 0.8)
            rows.append(score(f"f{place}", method, balanced_accuracy=quality))
            rows.append(score(f"f{place}", method, "embedding", auroc=quality + noise * generator.uniform(-0.2, 0.2)))
    return table(*rows)


def test_benchmarks_with_one_order_of_labels_agree_wholly():
    (found,) = benchmark_agreement(agreeing(0), SETTINGS, 1).to_dicts()
    assert (found["benchmark_a"], found["metric_a"]) == ("detection", "balanced_accuracy")
    assert (found["benchmark_b"], found["metric_b"]) == ("embedding", "auroc")
    assert (found["n_features"], found["n_labels"]) == (30, 60)
    assert found["spearman"] == pytest.approx(1)


def test_the_correlation_is_scipys_and_lies_in_its_interval():
    scores = agreeing(1)
    (found,) = benchmark_agreement(scores, SETTINGS, 1).to_dicts()
    a, b = (
        scores.filter(pl.col("benchmark") == name).sort("method", "feature")[metric]
        for name, metric in (("detection", "balanced_accuracy"), ("embedding", "auroc"))
    )
    assert found["spearman"] == pytest.approx(stats.spearmanr(a, b).statistic)
    assert found["interval_low"] < found["spearman"] < found["interval_high"]


def test_benchmarks_that_have_nothing_to_do_with_each_other_have_an_interval_that_holds_zero():
    found = benchmark_agreement(some_scores(n_features=40), SETTINGS, 1)
    assert found.height == 3
    assert ((found["interval_low"] < 0) & (found["interval_high"] > 0)).all()


def test_each_label_counts_as_often_as_its_feature_was_drawn():
    generator = np.random.default_rng(0)
    a, b = generator.integers(0, 6, size=(2, 15)).astype(float)
    counts = generator.integers(0, 4, size=(5, 15)).astype(float)
    drawn = [stats.spearmanr(np.repeat(a, row.astype(int)), np.repeat(b, row.astype(int))).statistic for row in counts]
    assert spearman(counts, a, b) == pytest.approx(drawn)


def two_orders(correlation, *, n_features, ties):
    """Two benchmarks' values of three labels per feature, alike within a feature."""
    generator = np.random.default_rng(0)
    features = np.repeat(np.arange(n_features), 3)
    a = generator.normal(size=n_features)[features] + generator.normal(size=len(features))
    b = correlation * a + np.sqrt(2 - 2 * correlation**2) * generator.normal(size=len(features))
    return (np.round(2 * a), np.round(2 * b), features) if ties else (a, b, features)


@pytest.mark.parametrize(("correlation", "ties"), [(0.0, False), (0.5, True), (0.95, False)])
def test_without_resampling_correlation_and_interval_are_those_of_many_resamples(correlation, ties):
    a, b, features = two_orders(correlation, n_features=300, ties=ties)
    found, interval = spearman_of_many(a, b, features, confidence=0.95)
    assert found == pytest.approx(stats.spearmanr(a, b).statistic)
    low, high = clustered_interval(
        lambda counts: spearman(counts, a, b), features, confidence=0.95, resamples=4000, seed=1
    )
    assert interval == pytest.approx((low, high), abs=0.06 * (high - low))


def test_labels_of_one_feature_are_not_taken_for_independent():
    a, b, features = two_orders(0.5, n_features=300, ties=False)
    _, once = spearman_of_many(a, b, features, confidence=0.95)
    _, repeated = spearman_of_many(*(np.repeat(values, 4) for values in (a, b, features)), confidence=0.95)
    assert repeated == pytest.approx(once, abs=0.001)


def test_without_resampling_like_orders_agree_wholly_and_a_constant_not_at_all():
    a, _, features = two_orders(0.5, n_features=50, ties=True)
    assert spearman_of_many(a, -a, features, confidence=0.95) == (-1, (-1, -1))
    found, interval = spearman_of_many(a, np.ones(len(a)), features, confidence=0.95)
    assert np.isnan(found)
    assert interval == (None, None)


def test_more_features_than_are_resampled_have_the_interval_that_needs_no_resamples(monkeypatch):
    scores = agreeing(1)
    monkeypatch.setattr("baez_pipeline.statistics.agreement.MOST_RESAMPLED", 29)
    (found,) = benchmark_agreement(scores, SETTINGS, 1).to_dicts()
    (other,) = benchmark_agreement(scores, SETTINGS, 2).to_dicts()
    assert found == other
    assert found["interval_low"] < found["spearman"] < found["interval_high"]


def test_a_label_without_a_value_on_one_benchmark_is_left_out():
    rows = [score(f"f{place}", "baez", auroc=place / 10) for place in range(6)]
    rows += [score(f"f{place}", "baez", "embedding", auroc=None if place == 2 else place / 9) for place in range(6)]
    (found,) = benchmark_agreement(table(*rows), SETTINGS, 1).to_dicts()
    assert (found["n_labels"], found["spearman"]) == (5, pytest.approx(1))


def test_a_benchmark_that_scores_all_alike_has_no_correlation():
    rows = [score(f"f{place}", "baez", auroc=place / 10) for place in range(6)]
    rows += [score(f"f{place}", "baez", "embedding", auroc=0.5) for place in range(6)]
    (found,) = benchmark_agreement(table(*rows), SETTINGS, 1).to_dicts()
    assert (found["n_labels"], found["spearman"], found["interval_low"]) == (6, None, None)


@pytest.mark.parametrize("n_features", [0, 1, 2])
def test_under_three_features_there_is_no_interval(n_features):
    found = benchmark_agreement(some_scores(n_features=n_features), SETTINGS, 1)
    assert found.height == (3 if n_features else 0)
    assert found["interval_low"].null_count() == found.height


def test_the_order_of_the_rows_moves_nothing():
    scores = some_scores()
    assert_frame_equal(
        benchmark_agreement(scores, SETTINGS, 1), benchmark_agreement(scores.reverse(), SETTINGS, 1), check_exact=True
    )


def test_labels_of_others_are_refused():
    with pytest.raises(TableError, match="shuffle 0"):
        benchmark_agreement(some_scores(shuffles=1), SETTINGS, 1)
