"""Figures of the cost table that can be worked out by hand."""

import polars as pl
import pytest

from baez_pipeline.experiment import Statistics
from baez_pipeline.tables import FeatureScores, Labels
from baez_pipeline.tiers.costs import tier_costs, tier_costs_markdown
from baez_pipeline_tests.tiers.test_labels import tiers_of

TIERS = {
    "a": (1, "input"),
    "b": (1, "output"),
    "c": (1, "input"),
    "d": (2, "cross"),
    "e": (3, None),
    "f": (None, None),
}
UNLABELLED = {"f"}
USD = dict.fromkeys(TIERS, 0.01)


def labels():
    rows = [
        {
            "feature": feature,
            "method": "tiers",
            "label": None if feature in UNLABELLED else "x",
            "n_shown": 0,
            "model": "m",
            "outcome": "no_label" if feature in UNLABELLED else "ok",
        }
        for feature in TIERS
    ]
    return pl.DataFrame(rows, schema=Labels.create_empty().schema, orient="row")


def scores(**by_method):
    """FeatureScores by method and feature: AUROC in the benchmark embedding."""
    rows = [
        {
            "feature": feature,
            "method": method,
            "shuffle": 0,
            "benchmark": "embedding",
            "n_answered": 4,
            "n_failed": 0,
            "auroc": auroc,
        }
        for method, values in by_method.items()
        for feature, auroc in values.items()
    ]
    return pl.DataFrame(rows, schema=FeatureScores.create_empty().schema, orient="row")


def costs(usd=USD, reviewed=("e",), by_tier_usd=None):
    by_tier = {"a": 0.9, "b": 0.7, "c": 0.6, "d": 0.8, "e": 0.5, "f": None}
    by_method = {"a": 0.6, "b": 0.5, "c": 0.5, "d": 0.8, "e": 0.6, "f": 0.9}
    table = tier_costs(
        tiers_of(**TIERS),
        labels(),
        scores(tiers=by_tier, eleuther_acts_top5=by_method),
        usd,
        by_tier_usd or {},
        method="eleuther_acts_top5",
        reviewed=set(reviewed),
        settings=Statistics(resamples=200),
        seed=0,
    )
    return table, {row["tier"]: row for row in table.iter_rows(named=True)}


def test_scores_are_compared_on_features_that_both_have():
    _, found = costs()
    assert found["all"]["n_scored"] == 5
    assert found["all"]["mean_by_tier"] == pytest.approx(0.7)
    assert found["all"]["mean_method"] == pytest.approx(0.6)
    assert found["1"]["mean_difference"] == pytest.approx(0.2)
    assert found["1"]["interval_low"] <= 0.2 <= found["1"]["interval_high"]
    assert (found["undetermined"]["n_scored"], found["undetermined"]["mean_difference"]) == (0, None)
    # What by tier has no label for, the method may have labelled.
    assert found["undetermined"]["mean_method_all"] == 0.9
    assert found["all"]["mean_method_all"] == pytest.approx(3.9 / 6)


def test_features_of_each_tier_are_counted_with_those_that_have_a_label():
    _, found = costs()
    assert {tier: row["n_features"] for tier, row in found.items()} == {
        "1": 3,
        "2": 1,
        "3": 1,
        "undetermined": 1,
        "all": 6,
    }
    assert [found["all"][name] for name in ("n_labelled", "n_reviewed")] == [5, 1]
    assert found["1"]["share"] == 0.5
    assert found["1"]["share_low"] == pytest.approx(0.188, abs=1e-3)


def test_only_tier_two_costs_something_by_tier_and_every_feature_by_the_method():
    _, found = costs()
    assert found["1"]["usd_by_tier"] == 0
    assert found["2"]["usd_by_tier"] == found["2"]["usd_method"] == 0.01
    assert found["all"]["usd_by_tier"] == pytest.approx(0.01 / 6)
    assert found["all"]["usd_method"] == pytest.approx(0.01)


def test_a_small_model_of_tier_one_is_paid_by_tier_alone():
    _, found = costs(by_tier_usd={"a": 0.003, "c": 0.003, "d": 0.0})
    assert found["1"]["usd_by_tier"] == pytest.approx(0.002)
    assert found["1"]["usd_method"] == pytest.approx(0.01)
    assert found["2"]["usd_by_tier"] == found["2"]["usd_method"] == 0.01


def test_what_labels_by_tier_asked_first_counts_on_both_sides():
    _, found = costs(usd=USD | {"d": 0.0}, by_tier_usd={"d": 0.02})
    assert found["2"]["usd_by_tier"] == found["2"]["usd_method"] == 0.02


def test_a_persons_label_takes_the_place_of_the_question():
    assert costs(reviewed=["d"])[1]["2"]["usd_by_tier"] == 0


def test_a_writer_in_process_costs_nothing():
    _, found = costs(usd={})
    assert (found["all"]["usd_by_tier"], found["all"]["usd_method"]) == (0, 0)


def test_the_figures_as_markdown():
    table, _ = costs()
    said = tier_costs_markdown(table).splitlines()
    assert "| 1 | 3 | 50% (19% to 81%) | 3 | 0 | 0.000000 | 0.010000 |" in said
    assert "| undetermined | embedding | auroc | 0 | - | - | - |" in said
    assert "no scores" in tier_costs_markdown(table.clear())
