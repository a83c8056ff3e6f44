"""Means over features by kind of negatives, by decile and by method."""

import polars as pl
import pytest

from baez_pipeline.experiment import Statistics
from baez_pipeline.statistics.curves import decile_curves, label_specificity, scores_by_negatives

STATISTICS = Statistics(resamples=300)


def scores(values, *, negatives="random"):
    return pl.DataFrame(
        {
            "negatives": negatives,
            "method": "baez",
            "benchmark": "detection",
            "feature": [f"f{place}" for place in range(len(values))],
            "true_negative_rate": values,
            "auroc": pl.Series([None] * len(values), dtype=pl.Float64),
        }
    )


def test_each_kind_of_negatives_has_its_own_mean_and_interval():
    both = pl.concat([scores([0.8, 0.9, 1.0], negatives="random"), scores([0.4, 0.5, 0.6], negatives="hard")])
    found = scores_by_negatives(both, STATISTICS, 0)
    by_kind = {row["negatives"]: row for row in found.iter_rows(named=True)}
    assert by_kind["random"]["mean"] == pytest.approx(0.9)
    assert by_kind["hard"]["mean"] == pytest.approx(0.5)
    assert 0.4 <= by_kind["hard"]["interval_low"] < 0.5 < by_kind["hard"]["interval_high"] <= 0.6
    assert {row["metric"] for row in found.iter_rows(named=True)} == {"true_negative_rate"}, "no value, no row"


def test_no_judgement_at_all_gives_an_empty_table():
    assert scores_by_negatives(scores([]), STATISTICS, 0).height == 0


def test_a_decile_counts_its_features_and_examples():
    rates = pl.DataFrame(
        {
            "feature": ["f0", "f1", "f0"],
            "method": "baez",
            "benchmark": "detection",
            "metric": "true_positive_rate",
            "decile": [3, 3, 10],
            "n_examples": [2, 4, 1],
            "value": [0.5, 1.0, 1.0],
        }
    )
    found = decile_curves(rates, STATISTICS, 0).sort("decile").rows(named=True)
    assert [(row["decile"], row["n_features"], row["n_examples"]) for row in found] == [(3, 2, 6), (10, 1, 1)]
    assert found[0]["mean"] == pytest.approx(0.75), "features count alike, however many examples they have"
    assert found[0]["interval_low"] is None, "two features have no interval"


def test_specificity_is_told_apart_from_a_random_order():
    labels = pl.DataFrame(
        {
            "feature": ["f0", "f1", "f2", "f3"],
            "method": "baez",
            "reciprocal_rank": [1.0, 1.0, 0.5, 0.25],
            "n_candidates": 4,
            "first": [True, True, False, False],
            "words": [3, 5, 4, 4],
        }
    )
    (row,) = label_specificity(labels, {"baez": 0.2}, STATISTICS, 0).rows(named=True)
    assert row["mean_reciprocal_rank"] == pytest.approx(0.6875)
    assert row["chance"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    assert (row["top_1"], row["mean_words"], row["mean_label_cosine"]) == (0.5, 4.0, 0.2)
