import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from baez_pipeline.statistics import icc, reliability
from baez_pipeline.statistics.reliability import spearman_brown
from baez_pipeline_tests.statistics.tables import SETTINGS, judged, judged_many

SHROUT_AND_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)
TRUTH = np.arange(20) < 10


def only(*tables, settings=SETTINGS, seed=1):
    (found,) = reliability(pl.concat(tables), settings, seed).to_dicts()
    return found


def test_the_icc_is_that_of_the_example_of_shrout_and_fleiss():
    assert icc(SHROUT_AND_FLEISS) == pytest.approx(0.17, abs=0.005)


def test_equal_repeats_of_different_labels_have_an_icc_of_one_and_equal_scores_have_none():
    assert icc(np.array([[0.1, 0.1], [0.5, 0.5], [0.8, 0.8]])) == pytest.approx(1)
    assert icc(np.full((4, 3), 0.5)) is None


@pytest.mark.parametrize("shape", [(5,), (5, 1), (1, 5)])
def test_one_repeat_or_one_label_has_no_icc(shape):
    with pytest.raises(ValueError, match="2 labels and 2 repeats"):
        icc(np.zeros(shape))


def test_a_measurement_twice_as_long_is_more_reliable_by_spearman_and_browns_formula():
    assert spearman_brown(np.array([0.0, 0.5, 1.0])) == pytest.approx([0, 2 / 3, 1])


def similarities(spread, *, n_features=60, seed=0, method="baez"):
    """Similarities of test examples raised by each label's own quality, over noise of sd 1."""
    generator = np.random.default_rng(seed)
    quality = generator.normal(1, spread, size=(n_features, 1))
    return judged_many(generator.normal(size=(n_features, 20)) + quality * TRUTH, TRUTH, method=method)


def test_labels_of_one_quality_have_scores_that_are_noise():
    found = only(similarities(0, n_features=200))
    assert found["interval_low"] < 0 < found["interval_high"]
    assert abs(found["reliability"]) < 0.2


def test_labels_that_are_right_or_useless_are_told_apart_reliably():
    good = [judged(f"f{place}", active=[True] * 9 + [False], silent=[False] * 10) for place in range(10)]
    bad = [judged(f"g{place}", active=[True, False] * 5, silent=[False, True] * 5) for place in range(10)]
    found = only(*good, *bad)
    assert (found["metric"], found["n_labels"], found["n_examples"]) == ("balanced_accuracy", 20, 20)
    assert found["reliability"] > 0.8
    assert found["reliability"] == pytest.approx(2 * found["half_icc"] / (1 + found["half_icc"]))


def test_the_reliability_is_the_correlation_of_scores_on_other_examples():
    generator = np.random.default_rng(3)
    quality = generator.normal(0.75, 0.1, size=(1500, 1))
    first, again = (generator.uniform(size=(1500, 20)) < quality for _ in range(2))
    found = only(judged_many(first == TRUTH, TRUTH), settings=SETTINGS.model_copy(update={"resamples": 100}))
    assert found["reliability"] == pytest.approx(np.corrcoef(first.mean(axis=1), again.mean(axis=1))[0, 1], abs=0.04)


def test_labels_of_one_feature_are_not_taken_for_independent_ones():
    """Three methods whose labels are equally good narrow no interval: the features are the same."""
    generator = np.random.default_rng(5)
    quality = generator.normal(1, 1, size=(40, 1))
    said = generator.normal(size=(40, 20)) + quality * TRUTH
    alone = only(judged_many(said, TRUTH))
    together = only(*(judged_many(said, TRUTH, method=method) for method in ("a", "b", "c")))
    assert (together["n_features"], together["n_labels"]) == (40, 120)
    widths = [found["interval_high"] - found["interval_low"] for found in (alone, together)]
    assert widths[1] == pytest.approx(widths[0], rel=0.15)


def test_labels_with_one_answered_example_of_a_kind_are_left_out():
    rest = [judged(f"f{place}", active=[0.9, 0.8 - place / 10], silent=[0.1, 0.85]) for place in range(3)]
    short = judged("f9", active=[0.9, None], silent=[0.1, 0.2])
    assert only(*rest, short)["n_labels"] == 3


def test_under_three_features_there_is_no_figure():
    found = only(*(judged(f"f{place}", active=[0.9, 0.8], silent=[0.1, 0.2]) for place in range(2)))
    assert (found["n_features"], found["half_icc"], found["reliability"], found["interval_low"]) == (
        2,
        None,
        None,
        None,
    )


def test_equal_scores_everywhere_have_no_reliability():
    found = only(*(judged(f"f{place}", active=[0.9, 0.8], silent=[0.1, 0.2]) for place in range(5)))
    assert (found["n_features"], found["reliability"], found["interval_low"]) == (5, None, None)


def test_the_order_of_the_rows_moves_nothing_and_the_seed_does():
    rows = similarities(0.8)
    whole = reliability(rows, SETTINGS, 1)
    assert_frame_equal(whole, reliability(rows.sample(fraction=1, shuffle=True, seed=3), SETTINGS, 1), check_exact=True)
    assert whole["half_icc"][0] != reliability(rows, SETTINGS, 2)["half_icc"][0]
