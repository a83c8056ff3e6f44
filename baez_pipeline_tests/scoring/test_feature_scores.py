"""Scores against numbers worked out by hand."""

import math
import random

import polars as pl
import pytest
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    matthews_corrcoef,
    roc_auc_score,
)

from baez_pipeline.scoring.feature_scores import feature_scores
from baez_pipeline_tests.scoring.judged_rows import judged, judged_rows, judged_table


def scores(*rows: tuple, **settings) -> dict:
    return feature_scores(judged(*rows, **settings)).row(0, named=True)


def test_answers():
    found = scores(
        (True, True, 0.9, None),
        (True, True, 0.6, None),
        (True, False, 0.3, None),
        (False, False, 0.4, None),
        (False, True, 0.7, None),
    )
    assert (found["n_answered"], found["n_failed"]) == (5, 0)
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["true_positive_rate"] == pytest.approx(2 / 3)
    assert found["true_negative_rate"] == pytest.approx(1 / 2)
    assert found["balanced_accuracy"] == pytest.approx(7 / 12)
    assert found["mcc"] == pytest.approx((2 * 1 - 1 * 1) / math.sqrt(3 * 3 * 2 * 2))
    assert found["brier"] == pytest.approx((0.01 + 0.16 + 0.49 + 0.16 + 0.49) / 5)
    assert found["auroc"] == pytest.approx(3 / 6)  # .9 over both, .6 over .4
    assert found["auprc"] == pytest.approx((1 / 1 + 2 / 3 + 3 / 5) / 3)
    assert found["gap"] is None
    assert found["n_truncated"] is None


def judgement(rng: random.Random) -> tuple:
    truth, probability = rng.random() < 0.5, rng.choice([0.0, 0.2, 0.5, 0.5, 0.9, 1.0])
    return (truth, "unparsable") if rng.random() < 0.2 else (truth, probability > 0.4, probability, None)


def test_all_is_as_scikit_learn_has_it():
    """On labels of all kinds: few examples, ties, failures, one kind of example only, one answer only."""
    rng = random.Random(1)
    labels = [[judgement(rng) for _ in range(rng.randint(1, 12))] for _ in range(120)]
    tables = [judged_rows(*rows, feature=f"toy_{index:06d}") for index, rows in enumerate(labels)]
    table = feature_scores(judged_table([row for rows in tables for row in rows]))
    for rows, found in zip(labels, table.iter_rows(named=True), strict=True):
        ok = [row for row in rows if len(row) == 4]
        truths, answers, chances = ([row[i] for row in ok] for i in range(3))
        assert found["n_answered"] == len(ok)
        assert found["brier"] == (pytest.approx(brier_score_loss(truths, chances, pos_label=True)) if ok else None)
        if len(set(truths)) < 2:
            assert [found[name] for name in ("balanced_accuracy", "mcc", "auroc", "auprc")] == [None] * 4
            continue
        assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truths, answers))
        assert found["mcc"] == pytest.approx(matthews_corrcoef(truths, answers), abs=1e-12)
        assert found["auroc"] == pytest.approx(roc_auc_score(truths, chances))
        assert found["auprc"] == pytest.approx(average_precision_score(truths, chances))


def test_all_answers_alike_are_no_correlation():
    found = scores((True, True, 0.9, None), (False, True, 0.9, None))
    assert (found["mcc"], found["balanced_accuracy"], found["auroc"]) == (0.0, 0.5, 0.5)


def test_failures_are_counted_and_never_scored():
    right = [(True, True, 0.9, None), (False, False, 0.2, None)]
    failures = [(True, "unparsable"), (False, "timed_out"), (True, "error"), (False, "no_evidence")]
    found = scores(*right, *failures)
    assert (found["accuracy"], found["auroc"]) == (1.0, 1.0)
    assert (found["n_answered"], found["n_failed"]) == (2, 4)


def test_failures_count_as_wrong_where_the_articles_arithmetic_is_asked_for():
    rows = [(True, True, 0.9, None), (True, False, 0.2, None), (False, False, 0.2, None)]
    rows += [(True, "unparsable"), (False, "timed_out")]
    found = feature_scores(judged(*rows), failures="wrong").row(0, named=True)
    assert found["accuracy"] == pytest.approx(2 / 5)
    assert (found["true_positive_rate"], found["true_negative_rate"]) == (pytest.approx(1 / 3), 0.5)
    assert (found["n_answered"], found["n_failed"]) == (3, 2)
    assert found["auroc"] == scores(*rows)["auroc"]


def test_what_was_never_asked_is_wrong_in_no_arithmetic():
    rows = [(True, True, 0.9, None), (True, "no_label"), (False, "no_evidence")]
    found = feature_scores(judged(*rows), failures="wrong").row(0, named=True)
    assert (found["accuracy"], found["n_failed"]) == (1.0, 2)
    similar = judged((True, None, None, 0.5), (False, "error"), benchmark="embedding")
    assert feature_scores(similar, failures="wrong")["accuracy"].item() is None


def test_texts_that_were_cut_are_counted():
    table = judged((True, None, None, 0.5), (False, None, None, 0.3), (False, None, None, 0.1), benchmark="embedding")
    cut = table.with_columns(truncated=pl.Series([True, False, True]))
    assert feature_scores(cut)["n_truncated"].item() == 2
    assert feature_scores(table.with_columns(truncated=pl.lit(False)))["n_truncated"].item() == 0


def test_planted_features_are_told_by_their_keys():
    keys = ["planted-next_token_000004", "planted-keyword_000001", "toy_000001", "planted-nonsense_000001"]
    table = feature_scores(pl.concat(judged((True, True, 0.9, None), feature=key) for key in keys))
    assert dict(table.select("feature", "planted").rows()) == dict(
        zip(keys, ["next_token", "keyword", None, None], strict=True)
    )


def test_similarities():
    found = scores(
        (True, None, None, 0.5),
        (True, None, None, 0.2),
        (False, None, None, 0.3),
        (False, None, None, -0.2),
        (False, "error"),
        benchmark="embedding",
    )
    assert found["gap"] == pytest.approx(0.35 - 0.05)
    assert found["auroc"] == pytest.approx(3 / 4)
    assert (found["accuracy"], found["true_positive_rate"], found["true_negative_rate"]) == (None, None, None)
    assert (found["n_answered"], found["n_failed"]) == (4, 1)


def test_nothing_answered_is_null_and_not_zero():
    found = scores((True, "no_label"), (False, "no_label"))
    assert (found["n_answered"], found["n_failed"]) == (0, 2)
    counted = {"feature", "method", "shuffle", "benchmark", "n_answered", "n_failed"}
    assert all(value is None for name, value in found.items() if name not in counted)


def test_one_kind_of_example_has_no_auroc_and_no_gap():
    found = scores((True, True, 0.9, None), (True, False, 0.2, None), (False, "timed_out"))
    assert (found["accuracy"], found["true_positive_rate"], found["true_negative_rate"]) == (0.5, 0.5, None)
    assert found["auroc"] is None
    assert scores((True, None, None, 0.5), (False, "error"), benchmark="embedding")["gap"] is None


def test_answers_without_probabilities_have_an_accuracy_and_no_auroc():
    found = scores((True, True, None, None), (False, True, None, None))
    assert (found["accuracy"], found["auroc"]) == (0.5, None)


def test_every_label_has_its_row():
    table = pl.concat(
        [
            judged((True, True, 0.9, None), feature="toy_000002"),
            judged((True, False, 0.9, None), feature="toy_000001"),
            judged((True, True, 0.9, None), feature="toy_000001", shuffle=1),
            judged((True, True, 0.9, None), feature="toy_000001", method="other"),
            judged((True, None, None, 0.9), benchmark="embedding"),
        ]
    )
    found = feature_scores(table.sample(fraction=1, shuffle=True, seed=1))
    assert found.select("benchmark", "method", "shuffle", "feature", "accuracy").rows() == [
        ("detection", "baez", 0, "toy_000001", 0.0),
        ("detection", "baez", 0, "toy_000002", 1.0),
        ("detection", "baez", 1, "toy_000001", 1.0),
        ("detection", "other", 0, "toy_000001", 1.0),
        ("embedding", "baez", 0, "toy_000001", None),
    ]


def test_no_judgements_give_an_empty_table():
    assert feature_scores(judged_table([])).height == 0
