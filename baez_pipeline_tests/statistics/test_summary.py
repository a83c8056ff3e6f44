import polars as pl
import pytest
from polars.testing import assert_frame_equal

from baez_pipeline.errors import TableError
from baez_pipeline.statistics import score_summary
from baez_pipeline_tests.statistics.tables import SETTINGS, accuracies, score, some_scores, table


def row(summary, **key):
    return summary.row(by_predicate=pl.all_horizontal(pl.col(name) == value for name, value in key.items()), named=True)


def test_mean_median_and_spread_are_over_the_features_that_have_a_value():
    found = row(score_summary(accuracies(baez=[0.4, 0.5, None, 0.9]), SETTINGS, 1), metric="accuracy")
    assert found["n_features"] == 3
    assert found["mean"] == pytest.approx(0.6)
    assert found["median"] == pytest.approx(0.5)
    assert found["standard_deviation"] == pytest.approx(((0.2**2 + 0.1**2 + 0.3**2) / 2) ** 0.5)
    assert found["interval_low"] < 0.6 < found["interval_high"]


def test_failures_count_in_the_failure_rate_and_nowhere_else():
    scores = table(
        score("f0", "baez", accuracy=0.8, n_answered=15, n_failed=5),
        score("f1", "baez", accuracy=None, n_answered=0, n_failed=20),
    )
    found = row(score_summary(scores, SETTINGS, 1), metric="accuracy")
    assert (found["mean"], found["n_features"]) == (0.8, 1)
    assert (found["n_answered"], found["n_failed"], found["failure_rate"]) == (15, 25, 25 / 40)


def test_the_share_of_negative_gaps_is_given_for_the_gap_alone():
    scores = table(
        *(score(f"f{place}", "baez", "embedding", gap=gap, auroc=0.5) for place, gap in enumerate([-0.1, 0, 0.1, 0.2]))
    )
    summary = score_summary(scores, SETTINGS, 1)
    assert row(summary, metric="gap")["share_negative"] == 0.25
    assert row(summary, metric="auroc")["share_negative"] is None


def test_each_benchmark_has_its_own_metrics_and_methods_keep_their_order():
    summary = score_summary(some_scores(), SETTINGS, 1)
    assert summary["method"].unique(maintain_order=True).to_list() == ["baez", "baez_last", "eleuther_acts_top5"]
    found = summary.filter(pl.col("method") == "baez").select("benchmark", "metric").rows()
    assert found == [
        ("detection", "accuracy"),
        ("detection", "balanced_accuracy"),
        ("detection", "auroc"),
        ("fuzz_random", "accuracy"),
        ("fuzz_random", "balanced_accuracy"),
        ("fuzz_random", "auroc"),
        ("embedding", "auroc"),
        ("embedding", "gap"),
    ]


def test_a_method_without_any_value_still_has_its_rows():
    found = row(score_summary(accuracies(baez=[None, None]), SETTINGS, 1), metric="accuracy")
    assert found["n_features"] == 0
    assert [found[name] for name in ("mean", "median", "standard_deviation", "interval_low")] == [None] * 4


def test_a_feature_judged_with_several_labels_of_others_counts_once_with_their_mean():
    scores = table(
        *(
            score(f"f{place}", "baez", accuracy=value) | {"shuffle": shuffle}
            for place, values in enumerate([[0.9], [0.8, 0.2, 0.5], [0.8, 0.6, 0.7], [0.9, 0.4]])
            for shuffle, value in enumerate(values)
        )
    )
    summary = score_summary(scores, SETTINGS, 1)
    assert row(summary, labels="own", metric="accuracy")["mean"] == pytest.approx(0.85)
    found = row(summary, labels="shuffled", metric="accuracy")
    assert (found["n_features"], found["n_answered"]) == (3, 100)
    assert found["mean"] == pytest.approx((0.35 + 0.65 + 0.4) / 3)


def test_planted_features_are_summed_up_apart():
    scores = table(score("f0", "baez", accuracy=0.6), score("p0", "baez", accuracy=0.9) | {"planted": "keyword"})
    summary = score_summary(scores, SETTINGS, 1).filter(pl.col("metric") == "accuracy")
    assert summary.select("features", "labels", "mean").rows() == [("real", "own", 0.6), ("planted", "own", 0.9)]


def test_no_scores_give_an_empty_table():
    assert score_summary(table(), SETTINGS, 1).is_empty()


def test_the_order_of_the_rows_moves_nothing():
    scores = some_scores()
    shuffled = scores.sample(fraction=1, shuffle=True, seed=4)
    assert_frame_equal(score_summary(scores, SETTINGS, 1), score_summary(shuffled, SETTINGS, 1), check_exact=True)


def test_another_method_moves_no_interval():
    scores = some_scores()
    alone = score_summary(scores.filter(pl.col("method") == "baez_last"), SETTINGS, 1)
    together = score_summary(scores, SETTINGS, 1).filter(pl.col("method") == "baez_last")
    assert_frame_equal(alone, together, check_exact=True)


def test_a_feature_that_stands_twice_is_refused_by_name():
    with pytest.raises(TableError, match="f0 / baez / 0 / detection"):
        score_summary(table(score("f0", "baez"), score("f0", "baez")), SETTINGS, 1)
