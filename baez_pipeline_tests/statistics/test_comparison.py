import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from baez_pipeline.errors import TableError
from baez_pipeline.statistics import method_comparison
from baez_pipeline_tests.statistics.tables import SETTINGS, accuracies, score, some_scores, table


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
    pairs = method_comparison(some_scores(), SETTINGS, 1).select("benchmark", "metric", "method_a", "method_b")
    assert pairs.height == 3 * 8
    assert pairs.rows()[:3] == [
        ("detection", "accuracy", "baez", "baez_last"),
        ("detection", "accuracy", "baez", "eleuther_acts_top5"),
        ("detection", "accuracy", "baez_last", "eleuther_acts_top5"),
    ]


def test_one_method_alone_gives_an_empty_table():
    assert method_comparison(accuracies(baez=[0.9, 0.8]), SETTINGS, 1).is_empty()


def test_the_order_of_the_rows_moves_nothing():
    scores = some_scores()
    assert_frame_equal(
        method_comparison(scores, SETTINGS, 1), method_comparison(scores.reverse(), SETTINGS, 1), check_exact=True
    )


def test_a_feature_that_stands_twice_is_refused_by_name():
    with pytest.raises(TableError, match="f0 / baez / detection"):
        method_comparison(table(score("f0", "baez"), score("f0", "baez")), SETTINGS, 1)


def drawn(mean, *, sd, n_features, seed=0):
    """Two methods whose accuracies differ by exactly this mean."""
    noise = np.random.default_rng(seed).normal(size=n_features)
    differences = mean + sd * (noise - noise.mean()) / noise.std(ddof=1)
    return accuracies(baez=list(0.6 + differences), baez_last=[0.6] * n_features)


@pytest.mark.parametrize(
    ("mean", "sd", "verdict"),
    [
        (0.10, 0.1, "different"),
        (0.00, 0.03, "equivalent"),
        (0.00, 0.2, "undecided"),
        (0.02, 0.08, "undecided"),
    ],
)
def test_the_verdict_says_what_forty_features_can(mean, sd, verdict):
    (found,) = accuracy_rows(drawn(mean, sd=sd, n_features=40))
    assert found["verdict"] == verdict
    assert found["significant"] == (verdict == "different")
    assert found["within_margin"] == (verdict == "equivalent")


def test_a_sure_difference_within_the_margin_is_different_and_both_facts_are_told():
    (found,) = accuracy_rows(drawn(0.01, sd=0.01, n_features=40))
    assert (found["verdict"], found["significant"], found["within_margin"]) == ("different", True, True)


def test_the_margin_is_the_experiments():
    scores = drawn(0.0, sd=0.08, n_features=40)
    verdicts = [
        method_comparison(scores, SETTINGS.model_copy(update={"margin": margin}), 1).row(0, named=True)["verdict"]
        for margin in (0.02, 0.05)
    ]
    assert verdicts == ["undecided", "equivalent"]


def test_the_interval_of_equivalence_lies_within_the_other():
    (found,) = accuracy_rows(drawn(0.01, sd=0.1, n_features=40))
    assert found["interval_low"] < found["equivalence_low"] < found["equivalence_high"] < found["interval_high"]


def test_five_features_are_too_few_for_a_verdict_and_six_are_not():
    five = accuracies(baez=[0.9, 0.91, 0.92, 0.93, 0.94], baez_last=[0.1] * 5)
    six = accuracies(baez=[0.9, 0.91, 0.92, 0.93, 0.94, 0.95], baez_last=[0.1] * 6)
    assert [found["verdict"] for scores in (five, six) for found in accuracy_rows(scores)] == ["too_few", "different"]


def test_the_gap_has_a_p_value_but_no_verdict():
    rows = method_comparison(some_scores(), SETTINGS, 1).filter(pl.col("metric") == "gap")
    assert rows["p_value"].null_count() == 0
    for column in ("margin", "equivalence_low", "equivalence_high", "within_margin", "verdict"):
        assert rows[column].null_count() == rows.height == 3


def test_holm_counts_the_pairs_of_one_benchmark_and_metric():
    rows = method_comparison(some_scores(), SETTINGS, 1).filter(
        pl.col("benchmark") == "detection", pl.col("metric") == "auroc"
    )
    p_values = sorted(rows["p_value"])
    stepped = np.maximum.accumulate([min(1, p * (3 - place)) for place, p in enumerate(p_values)])
    assert sorted(rows["p_holm"]) == pytest.approx(list(stepped))


def test_a_difference_that_is_sure_alone_but_not_among_three_pairs_is_not_called_different():
    generator = np.random.default_rng(0)
    noise = generator.normal(size=40)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    values = {"baez": 0.5 + 0.1 * (noise + 0.36), "baez_last": np.full(40, 0.5)}
    alone = accuracy_rows(accuracies(**{name: list(of_method) for name, of_method in values.items()}))[0]
    among = accuracy_rows(
        accuracies(**{name: list(of_method) for name, of_method in values.items()}, eleuther_acts_top5=[0.52] * 40)
    )[0]
    assert (alone["verdict"], among["verdict"]) == ("different", "undecided")
    assert among["p_value"] <= 0.05 < among["p_holm"]
