import polars as pl
import pytest
from polars.testing import assert_frame_equal

from baez_pipeline.errors import TableError
from baez_pipeline.statistics import method_comparison
from baez_pipeline_tests.reports.made_up import made_up_scores
from baez_pipeline_tests.statistics.tables import SETTINGS, accuracies, score, table


def accuracy_rows(scores):
    return method_comparison(scores, SETTINGS, 1).filter(pl.col("metric") == "accuracy").to_dicts()


def test_differences_are_paired_by_feature():
    (found,) = accuracy_rows(accuracies(baez=[0.9, 0.5, 0.7], baez_last=[0.8, 0.3, 0.4]))
    assert (found["method_a"], found["method_b"], found["n_features"]) == ("baez", "baez_last", 3)
    assert found["mean_difference"] == pytest.approx(0.2)
    assert found["interval_low"] == pytest.approx(0.1, abs=0.05)
    assert found["interval_high"] == pytest.approx(0.3, abs=0.05)


def test_a_feature_without_a_value_for_both_is_left_out():
    (found,) = accuracy_rows(accuracies(baez=[0.9, None, 0.7], baez_last=[0.8, 0.3, None]))
    assert (found["n_features"], found["mean_difference"]) == (1, pytest.approx(0.1))
    assert (found["interval_low"], found["interval_high"]) == (None, None)


def test_ties_count_half():
    (found,) = accuracy_rows(accuracies(baez=[0.9, 0.5, 0.5, 0.1], baez_last=[0.8, 0.5, 0.5, 0.2]))
    assert found["share_a_better"] == 0.5


def test_methods_without_a_feature_in_common_have_a_row_that_says_so():
    (found,) = accuracy_rows(accuracies(baez=[0.9, None], baez_last=[None, 0.3]))
    assert found["n_features"] == 0
    assert (found["mean_difference"], found["share_a_better"]) == (None, None)


def test_every_unordered_pair_comes_once_in_the_order_of_the_methods():
    pairs = method_comparison(made_up_scores(), SETTINGS, 1).select("benchmark", "metric", "method_a", "method_b")
    assert pairs.height == 3 * 6
    assert pairs.rows()[:3] == [
        ("detection", "accuracy", "baez", "baez_last"),
        ("detection", "accuracy", "baez", "eleuther_acts_top5"),
        ("detection", "accuracy", "baez_last", "eleuther_acts_top5"),
    ]


def test_one_method_alone_gives_an_empty_table():
    assert method_comparison(accuracies(baez=[0.9, 0.8]), SETTINGS, 1).is_empty()


def test_the_order_of_the_rows_moves_nothing():
    scores = made_up_scores()
    assert_frame_equal(
        method_comparison(scores, SETTINGS, 1), method_comparison(scores.reverse(), SETTINGS, 1), check_exact=True
    )


def test_a_feature_that_stands_twice_is_refused_by_name():
    with pytest.raises(TableError, match="f0 / baez / detection"):
        method_comparison(table(score("f0", "baez"), score("f0", "baez")), SETTINGS, 1)
