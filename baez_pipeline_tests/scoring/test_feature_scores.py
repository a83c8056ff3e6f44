"""Scores against numbers worked out by hand."""

import polars as pl
import pytest

from baez_pipeline.scoring.feature_scores import feature_scores
from baez_pipeline.tables import JudgedExamples


def judged(*rows: tuple, benchmark: str = "detection", feature: str = "toy_000001") -> pl.DataFrame:
    """Rows of (truth, answer, probability, similarity), or of (truth, outcome) for failed ones."""
    table = []
    for index, row in enumerate(rows):
        truth, answer, probability, similarity = row if len(row) == 4 else (row[0], None, None, None)
        table.append(
            {
                "feature": feature,
                "method": "baez",
                "benchmark": benchmark,
                "example": f"{index}",
                "truth": truth,
                "answer": answer,
                "probability": probability,
                "similarity": similarity,
                "judge": "by hand",
                "outcome": "ok" if len(row) == 4 else row[1],
            }
        )
    return JudgedExamples.validate(pl.DataFrame(table, schema=JudgedExamples.create_empty().schema))


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
    assert found["auroc"] == pytest.approx(3 / 6)  # .9 over both, .6 over .4
    assert found["gap"] is None


def test_failures_are_counted_and_never_scored():
    right = [(True, True, 0.9, None), (False, False, 0.2, None)]
    failures = [(True, "unparsable"), (False, "timed_out"), (True, "error"), (False, "no_evidence")]
    found = scores(*right, *failures)
    assert (found["accuracy"], found["auroc"]) == (1.0, 1.0)
    assert (found["n_answered"], found["n_failed"]) == (2, 4)


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
    assert all(found[name] is None for name in ("accuracy", "true_positive_rate", "true_negative_rate", "auroc", "gap"))


def test_one_kind_of_example_has_no_auroc_and_no_gap():
    found = scores((True, True, 0.9, None), (True, False, 0.2, None), (False, "timed_out"))
    assert (found["accuracy"], found["true_positive_rate"], found["true_negative_rate"]) == (0.5, 0.5, None)
    assert found["auroc"] is None
    assert scores((True, None, None, 0.5), (False, "error"), benchmark="embedding")["gap"] is None


def test_answers_without_probabilities_have_an_accuracy_and_no_auroc():
    found = scores((True, True, None, None), (False, True, None, None))
    assert (found["accuracy"], found["auroc"]) == (0.5, None)


def test_every_feature_and_benchmark_has_its_row():
    table = pl.concat(
        [
            judged((True, True, 0.9, None), feature="toy_000002"),
            judged((True, False, 0.9, None), feature="toy_000001"),
            judged((True, None, None, 0.9), benchmark="embedding"),
        ]
    )
    found = feature_scores(table)
    assert found.select("benchmark", "feature", "accuracy").rows() == [
        ("detection", "toy_000001", 0.0),
        ("detection", "toy_000002", 1.0),
        ("embedding", "toy_000001", None),
    ]


def test_no_judgements_give_an_empty_table():
    assert feature_scores(JudgedExamples.create_empty()).height == 0
