"""Verdicts on benchmarks from generated scores with a known truth."""

import numpy as np
import polars as pl
import pytest

from baez_pipeline.experiment import Statistics
from baez_pipeline.statistics.verdicts import benchmark_verdicts
from baez_pipeline.tables import FeatureScores, MetricSanity

STATISTICS = Statistics(resamples=500)


def scores(right, shuffled, *, others=None, metric="auroc", generic=0.5, spread=0.05, n=20, benchmark="detection"):
    """FeatureScores of planted features' right labels and of other features' labels, normal around the means."""
    random = np.random.default_rng(7)
    rows = []
    for index in range(n):
        planted = {"feature": f"planted-keyword_{index:06d}", "planted": "keyword", "benchmark": benchmark}
        rows.append(planted | {"method": "right", "shuffle": 0, metric: random.normal(right, spread)})
        rows.append(planted | {"method": "right", "shuffle": 1, metric: random.normal(others or shuffled, spread)})
        real = {"feature": f"20-topk_{index:06d}", "planted": None, "benchmark": benchmark}
        rows += [
            real | {"method": method, "shuffle": 1, metric: random.normal(shuffled, spread)} for method in ("a", "b")
        ]
        rows += [real | {"method": method, "shuffle": 0, metric: generic} for method in ("generic", "empty")]
    empty = FeatureScores.create_empty()
    rows = [row | {"n_answered": 20, "n_failed": 0} for row in rows]
    return pl.DataFrame(rows, schema={name: empty.schema[name] for name in empty.columns}, orient="row")


def sanity(*, falls, benchmark="detection"):
    row = {"benchmark": benchmark, "metric": "auroc", "n_features": 20, "falls": falls}
    return MetricSanity.validate(pl.DataFrame([row], schema=MetricSanity.create_empty().schema))


def verdict(table, *, falls=True):
    return benchmark_verdicts(table, sanity(falls=falls), STATISTICS, 0).row(0, named=True)


def test_right_labels_over_the_threshold_and_others_at_chance_discriminate():
    found = verdict(scores(0.93, 0.5))
    assert found["verdict"] == "discriminates"
    assert found["right_mean"] == pytest.approx(0.93, abs=0.03)
    assert found["right_low"] < found["right_mean"] < found["right_high"]
    assert found["shuffled_low"] < 0.5 < found["shuffled_high"]
    assert found["n_shuffled"] == 40, "real and planted features count once each"
    assert "0.9" in found["reason"]


def test_a_judge_that_always_says_yes_is_broken():
    found = verdict(scores(0.5, 0.5, metric="balanced_accuracy", spread=1e-3))
    assert found["verdict"] == "broken"
    assert found["metric"] == "balanced_accuracy"
    assert "not above chance" in found["reason"]


def test_a_benchmark_that_scores_any_label_high_is_broken():
    found = verdict(scores(0.93, 0.93))
    assert found["verdict"] == "broken"
    assert "no better than those of other planted features" in found["reason"]


def test_a_benchmark_that_turns_answers_round_is_broken():
    assert verdict(scores(0.1, 0.5))["verdict"] == "broken"


def test_a_metric_that_does_not_fall_with_worse_predictions_is_broken():
    found = verdict(scores(0.93, 0.5), falls=False)
    assert found["verdict"] == "broken"
    assert "does not fall" in found["reason"]


def test_right_labels_between_chance_and_the_threshold_are_weak():
    found = verdict(scores(0.7, 0.5))
    assert found["verdict"] == "weak"
    assert "0.85" in found["reason"]


def test_balanced_accuracy_has_a_threshold_of_its_own():
    assert verdict(scores(0.8, 0.5, metric="balanced_accuracy"))["verdict"] == "discriminates"
    assert verdict(scores(0.8, 0.5, metric="auroc"))["verdict"] == "weak"


def test_labels_of_others_above_chance_make_a_benchmark_weak():
    found = verdict(scores(0.95, 0.6, others=0.5))
    assert found["verdict"] == "weak"
    assert "above chance" in found["reason"]


def test_without_a_score_of_a_right_label_nothing_shows_that_it_works():
    found = verdict(scores(0.9, 0.5).filter(pl.col("method") != "right"))
    assert found["verdict"] == "broken"
    assert found["right_mean"] is None


def test_controls_that_say_nothing_are_reported_beside():
    found = verdict(scores(0.93, 0.5, generic=0.48))
    assert (found["generic_mean"], found["empty_mean"]) == (pytest.approx(0.48), pytest.approx(0.48))
