"""Planted features: what the judge's thresholds are fitted on."""

import numpy as np
import polars as pl
import pytest

from baez_pipeline.embedded import DATA
from baez_pipeline.embedded.judge_calibration import PLANTED, TEXTS, _active, _fit, planted_examples, shipped_figures
from baez_pipeline.scoring.judge_threshold import LEADS


@pytest.fixture(scope="module")
def windows() -> pl.DataFrame:
    return pl.concat([pl.read_parquet(DATA / name) for name in TEXTS])


@pytest.fixture(scope="module")
def planted(windows):
    return planted_examples(windows)


def test_active_are_the_tokens_that_the_rule_finds_a_part_of():
    tokens = ["<|endoftext|>", " In", " ", "1", "7", "7", "6", " the", " war", "s", " began", " toward"]
    assert _active("a year such as 1776 or 1944", tokens) == [3, 4, 5, 6]
    assert _active("war and battles", tokens) == [8, 9]


def test_every_planted_feature_has_ten_examples_of_either_kind(planted):
    for examples in planted.values():
        assert [example.truth for example in examples] == [True] * 10 + [False] * 10
        assert len({example.example for example in examples}) == 20
        for example in examples:
            assert 0 < len(example.tokens) <= 32
            assert max(example.activations) == 1


def test_the_planted_feature_is_silent_in_its_negatives(planted):
    for label, examples in planted.items():
        for example in examples:
            assert bool(_active(label, ["", *example.tokens])) == example.truth


def test_no_planted_text_is_of_an_article_that_lends_examples_to_features(windows):
    articles = pl.read_csv(DATA / "articles.csv")
    lending = articles.filter(pl.col("split") == "features")["title"]
    assert not set(windows["title"]) & set(lending)


def test_a_threshold_lies_between_the_two_kinds():
    rng = np.random.default_rng(0)
    gain = rng.logistic(loc=0.0, scale=0.5, size=1000)
    truth = rng.random(1000) < 1 / (1 + np.exp(-(gain - 0.3) / 0.2))
    fitted = _fit([(gain[:400], truth[:400]), (gain[400:], truth[400:])])
    assert fitted.threshold == pytest.approx(0.3, abs=0.05)
    assert fitted.scale == pytest.approx(0.2, abs=0.04)


def test_the_shipped_thresholds_were_fitted_with_the_words_in_use():
    shipped = shipped_figures()
    assert shipped["planted_features"] == len(PLANTED)
    assert {question: figures["lead"] for question, figures in shipped["questions"].items()} == LEADS
    for figures in shipped["questions"].values():
        assert figures["auroc_right_labels"] > 0.7
        assert abs(figures["auroc_wrong_labels"] - 0.5) < 0.1
