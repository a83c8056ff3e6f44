import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from baez_pipeline.statistics import beats_chance
from baez_pipeline.statistics.chance import shuffles_p
from baez_pipeline_tests.statistics.tables import SETTINGS, score, some_scores, table


def test_shuffles_as_good_as_the_observed_one_count_and_so_does_the_observed_one():
    assert shuffles_p(0.7, np.array([0.5, 0.7, 0.8, 0.6])) == pytest.approx(3 / 5)
    assert shuffles_p(0.9, np.array([0.5] * 199)) == pytest.approx(1 / 200)


def own_and_others(own, others):
    """Features' own AUROCs, and per feature those with labels of others."""
    rows = [score(f"f{place}", "baez", auroc=value) for place, value in enumerate(own)]
    for place, values in enumerate(others):
        for shuffle, value in enumerate(values, start=1):
            rows.append(score(f"f{place}", "baez", auroc=value) | {"shuffle": shuffle})
    return table(*rows)


def test_a_feature_counts_once_against_the_mean_of_its_partners():
    (found,) = beats_chance(own_and_others([0.9, 0.8, 0.7], [[0.5, 0.3], [0.6], [0.4, 0.6]]), SETTINGS, 1).to_dicts()
    assert (found["metric"], found["n_features"], found["n_shuffles"]) == ("auroc", 3, 2)
    assert found["mean_own"] == pytest.approx(0.8)
    assert found["mean_shuffled"] == pytest.approx(0.5)
    assert found["mean_difference"] == pytest.approx((0.5 + 0.2 + 0.2) / 3)
    assert found["p_shuffles"] == pytest.approx(1 / 3)
    assert found["p_paired"] == pytest.approx(1 / 8)


def test_a_feature_without_a_value_on_one_side_is_left_out_on_both():
    (found,) = beats_chance(own_and_others([0.9, None, 0.7], [[0.5], [0.1], [None]]), SETTINGS, 1).to_dicts()
    assert (found["n_features"], found["mean_own"], found["mean_shuffled"]) == (1, 0.9, 0.5)


def test_worse_than_others_labels_does_not_beat_chance():
    (found,) = beats_chance(own_and_others([0.2] * 8, [[0.6]] * 8), SETTINGS, 1).to_dicts()
    assert (found["p_shuffles"], found["p_paired"]) == (1, 1)


def test_every_method_and_benchmark_with_labels_of_others_has_a_row():
    scores = pl.concat([some_scores(shuffles=2), table(score("f000", "generic", auroc=0.5))])
    found = beats_chance(scores, SETTINGS, 1)
    assert found.height == 9
    assert (found["p_paired"] < 0.01).all()
    assert (found["interval_low"] > 0.05).all()


def test_the_order_of_the_rows_moves_nothing():
    scores = some_scores(shuffles=2)
    assert_frame_equal(beats_chance(scores, SETTINGS, 1), beats_chance(scores.reverse(), SETTINGS, 1), check_exact=True)
