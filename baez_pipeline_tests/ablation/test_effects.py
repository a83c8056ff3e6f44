"""Effects of faults, from scores whose truth is known."""

import polars as pl
import pytest

from baez_pipeline.ablation.effects import ablation_effects
from baez_pipeline.ablation.faults import VARIANTS
from baez_pipeline.experiment import Statistics
from baez_pipeline.tables import AblationScores

STATISTICS = Statistics(resamples=300)


def scores():
    """Real features at .7, planted ones at .9 under right labels, .5 with others'; whole contexts take .1 away."""
    rows = []
    for variant in VARIANTS.values():
        loss = 0.1 * ("whole_contexts" in variant.faults) + 0.05 * ("failures_are_wrong" in variant.faults)
        for index in range(12):
            noise = 0.01 * (index % 4)
            common = {"benchmark": "detection", "variant": variant.name, "n_answered": 20, "n_failed": 0}
            real = common | {"feature": f"20-topk_{index:06d}", "planted": None}
            planted = common | {"feature": f"planted-keyword_{index:06d}", "planted": "keyword"}
            for method, gain in (("baez", 0.02), ("baez_last", -0.02)):
                rows.append(real | {"method": method, "shuffle": 0, "accuracy": 0.7 + gain + noise - loss})
                rows.append(real | {"method": method, "shuffle": 1, "accuracy": 0.5 + noise})
            rows.append(planted | {"method": "right", "shuffle": 0, "accuracy": 0.9 + noise - loss})
            rows.append(planted | {"method": "baez", "shuffle": 0, "accuracy": 0.0})
    return pl.DataFrame(rows, schema=dict(AblationScores.create_empty().schema))


def effect(variant, labels="right"):
    found = ablation_effects(scores(), STATISTICS, 0)
    (row,) = found.filter(labels=labels, benchmark="detection", metric="accuracy", variant=variant).rows(named=True)
    return row


def test_a_fault_that_is_added_is_measured_from_no_fault():
    row = effect("with_whole_contexts")
    assert row["compared_with"] == "corrected"
    assert row["change"] == pytest.approx(-0.1)
    assert row["change_low"] == pytest.approx(-0.1), "paired by feature: the features' own spread is no part of it"
    assert row["interval_low"] < row["mean"] < row["interval_high"]


def test_a_fault_that_is_taken_away_is_measured_from_all_of_them():
    row = effect("without_whole_contexts")
    assert row["compared_with"] == "article"
    assert row["change"] == pytest.approx(0.1)


def test_all_faults_together_add_up_here():
    assert effect("article")["change"] == pytest.approx(-0.15)


def test_methods_count_once_per_real_feature_and_planted_features_only_by_their_right_label():
    row = effect("corrected", "methods")
    assert row["n_features"] == 12
    assert row["mean"] == pytest.approx(0.715)
    assert effect("corrected", "methods, of others")["mean"] == pytest.approx(0.515)
    assert effect("corrected")["mean"] == pytest.approx(0.915), "other labels of planted features have no part in it"


def test_a_benchmark_without_scores_has_no_mean():
    found = ablation_effects(scores(), STATISTICS, 0).filter(labels="right", benchmark="embedding")
    assert found["mean"].null_count() == found.height
    assert found["n_features"].sum() == 0
