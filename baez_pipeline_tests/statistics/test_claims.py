import numpy as np
import polars as pl
import pytest
from scipy import stats

from baez_pipeline.statistics import feature_claims
from baez_pipeline_tests.statistics.tables import SETTINGS, judged

YES, NO = True, False


def claim(*tables, feature="f0"):
    return feature_claims(pl.concat(tables), SETTINGS).row(by_predicate=pl.col("feature") == feature, named=True)


def test_answers_are_held_to_fishers_exact_test():
    found = claim(judged("f0", active=[YES] * 8 + [NO] * 2, silent=[YES] * 3 + [NO] * 7))
    assert (found["metric"], found["n_positive"], found["n_negative"]) == ("balanced_accuracy", 10, 10)
    assert found["value"] == pytest.approx(0.75)
    assert found["p_value"] == pytest.approx(stats.fisher_exact([[8, 3], [2, 7]], alternative="greater").pvalue)


def test_a_judge_that_says_yes_to_everything_claims_nothing():
    found = claim(judged("f0", active=[YES] * 15, silent=[YES] * 5))
    assert (found["value"], found["p_value"], found["claimed"]) == (0.5, 1.0, False)


def test_probabilities_are_held_to_mann_and_whitneys_exact_test():
    active, silent = [0.9, 0.8, 0.7, 0.35], [0.4, 0.3, 0.2, 0.1, 0.6]
    found = claim(judged("f0", active=active, silent=silent))
    expected = stats.mannwhitneyu(active, silent, alternative="greater", method="exact")
    assert found["metric"] == "auroc"
    assert found["value"] == pytest.approx(expected.statistic / 20) == pytest.approx(18 / 20)
    assert found["p_value"] == pytest.approx(expected.pvalue)


def test_tied_values_take_the_correction_for_ties():
    active, silent = [0.9, 0.9, 0.7, 0.5], [0.5, 0.3, 0.2, 0.2]
    expected = stats.mannwhitneyu(active, silent, alternative="greater", method="asymptotic")
    assert claim(judged("f0", active=active, silent=silent))["p_value"] == pytest.approx(expected.pvalue)


def test_equal_values_everywhere_are_no_evidence():
    found = claim(judged("f0", "baez", "embedding", active=[0.5] * 5, silent=[0.5] * 5))
    assert (found["value"], found["p_value"], found["claimed"]) == (0.5, 1.0, False)


def test_labels_of_other_shapes_do_not_move_a_claim():
    alone = judged("f0", active=[0.9, 0.8, 0.7], silent=[0.1, 0.2, 0.3])
    others = [
        judged("f1", active=[0.9, 0.2], silent=[0.1, 0.3, 0.5]),
        judged("f2", active=[0.9, 0.9], silent=[0.9, 0.3, 0.5]),
        judged("f3", active=[0.2, 0.4, 0.6], silent=[0.5, 0.3, 0.1]),
    ]
    for name in ("value", "p_value"):
        assert claim(alone, *others)[name] == claim(alone)[name]
    assert claim(alone, *others)["q_value"] > claim(alone)["q_value"]


def test_failed_judgements_are_left_out_and_a_label_without_both_kinds_is_told_but_claims_nothing():
    found = feature_claims(
        pl.concat(
            [
                judged("f0", active=[YES, None, YES], silent=[NO, NO, NO, None]),
                judged("f1", active=[None, None], silent=[NO, NO]),
                judged("f2", active=[None], silent=[None]),
            ]
        ),
        SETTINGS,
    )
    assert found.select("n_positive", "n_negative", "claimed").rows() == [(2, 3, False), (0, 2, False), (0, 0, False)]
    assert found["p_value"].is_null().to_list() == [False, True, True]
    assert found["q_value"][0] == found["p_value"][0]


def test_q_values_are_of_one_method_and_benchmark():
    good, bad = {"active": [YES] * 10, "silent": [NO] * 10}, {"active": [YES, NO] * 5, "silent": [NO, YES] * 5}
    tables = [judged("f0", **good), judged("f1", **bad), judged("f0", "baez_last", **good)]
    found = feature_claims(pl.concat(tables), SETTINGS)
    assert found["q_value"].to_numpy() == pytest.approx(found["p_value"].to_numpy() * np.array([2, 1, 1]), rel=0.5)
    assert found["q_value"][0] == pytest.approx(2 * found["p_value"][0])
    assert found["q_value"][2] == found["p_value"][2]


def test_no_judgements_claim_nothing():
    assert feature_claims(judged("f0", active=[], silent=[]), SETTINGS).is_empty()
