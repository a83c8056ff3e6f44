"""Planted features: what the judge's thresholds are fitted on."""

import re

import numpy as np
import polars as pl
import pytest

from baez_pipeline.embedded import DATA
from baez_pipeline.embedded.judge_calibration import TEXTS, Measured, _accuracy, _fit, shipped_figures
from baez_pipeline.embedded.judge_controls import active_positions, planted_features, rules
from baez_pipeline.embedded.judge_held_out import HELD_OUT
from baez_pipeline.embedded.judge_model import ADAPTER
from baez_pipeline.scoring.judge_threshold import Threshold, thresholds
from baez_pipeline.store import short_hash


@pytest.fixture(scope="module")
def windows() -> pl.DataFrame:
    return pl.concat([pl.read_parquet(DATA / name) for name in TEXTS])


@pytest.fixture(scope="module")
def planted(windows):
    return planted_features(windows)


def test_active_are_the_tokens_that_the_rule_finds_a_part_of():
    tokens = ["<|endoftext|>", " In", " ", "1", "7", "7", "6", " the", " war", "s", " began", " toward"]
    by_label = {rule.label: re.compile(rule.pattern) for rule in rules()}
    assert active_positions(by_label["a year such as 1776 or 1944"], tokens) == [3, 4, 5, 6]
    assert active_positions(by_label["war and battles"], tokens) == [8, 9]
    assert active_positions(re.compile(r"\b\w+(?= began\b)"), tokens) == [8, 9]


@pytest.mark.slow
def test_every_planted_feature_has_windows_of_every_kind(planted):
    for feature in planted:
        assert len(feature.tests) == len(feature.tests_marked_elsewhere) == len(feature.others) == 10
        assert len({window.text for window in feature.tests}) == 10
        assert len(feature.silent) == 20
        for window in (*feature.tests, *feature.tests_marked_elsewhere, *feature.others, *feature.silent):
            assert 0 < len(window.tokens) <= 32
            assert window.marked


@pytest.mark.slow
def test_the_planted_feature_is_silent_in_its_negatives_and_where_fuzz_marks_silent_tokens(planted):
    for feature in planted:
        for window in (*feature.others, *feature.silent):
            assert not active_positions(re.compile(feature.rule.pattern), ["", *window.tokens])
        for own, elsewhere in zip(feature.tests, feature.tests_marked_elsewhere, strict=True):
            assert own.tokens == elsewhere.tokens
            assert own.marked.isdisjoint(elsewhere.marked)


def test_no_planted_text_is_of_an_article_that_lends_examples_to_features(windows):
    articles = pl.read_csv(DATA / "articles.csv")
    lending = articles.filter(pl.col("split") == "features")["title"]
    assert not set(windows["title"]) & set(lending)


def test_no_label_of_the_training_named_what_calibrates_the_judge():
    single = [rule for rule in rules() if rule.kind in ("word", "next word", "mixture")]
    named = {word for rule in single for word in re.findall(r'"(\w+)"', rule.label)}
    assert named <= HELD_OUT
    for rule in rules():
        if rule.kind == "phrase":
            assert set(rule.label.split('"')[1].split()) & HELD_OUT


def test_a_threshold_lies_between_the_two_kinds():
    rng = np.random.default_rng(0)
    ratio = rng.logistic(loc=0.3, scale=0.5, size=2000)
    truth = rng.random(2000) < 1 / (1 + np.exp(-(ratio - 0.3) / 0.2))
    fitted = _fit([Measured(ratio[:800], truth[:800]), Measured(ratio[800:], truth[800:])])
    assert fitted.threshold == pytest.approx(0.3, abs=0.06)
    assert fitted.scale == pytest.approx(0.2, abs=0.04)


def test_accuracy_weighs_both_answers_the_same():
    measured = Measured(np.array([1.0, 1.0, -1.0, -1.0, -1.0, 1.0]), np.array([True, True, False, False, False, False]))
    assert _accuracy(Threshold(threshold=0.0, scale=1.0), measured) == pytest.approx((1 + 0.75) / 2)


def test_the_shipped_thresholds_are_of_the_shipped_adapter_and_these_rules():
    shipped = shipped_figures()
    assert shipped["adapter"] == short_hash(ADAPTER)
    assert shipped["planted_features"] == len(rules())
    assert set(shipped["questions"]) == set(thresholds()) == {"detection", "fuzz"}
    for figures in shipped["measures"].values():
        assert abs(figures["auroc_wrong_labels"] - 0.5) < 0.1
    assert shipped["measures"]["detection"]["auroc_right_labels"] > 0.75
    assert shipped["measures"]["fuzz_contrastive"]["auroc_right_labels"] > 0.85
    assert shipped["measures"]["fuzz_random"]["auroc_right_labels"] > 0.85
