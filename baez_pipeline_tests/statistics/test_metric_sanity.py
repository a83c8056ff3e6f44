"""Does the score of right labels fall when their predictions are made worse?"""

import polars as pl
import pytest

from baez_pipeline.statistics.metric_sanity import metric_sanity
from baez_pipeline.tables import JudgedExamples


def judged(answers, *, by="answer", benchmark="detection", features=6):
    """Ten test examples and ten negatives of some features; `answers` is what the judge says of each."""
    empty = JudgedExamples.create_empty()
    rows = [
        {
            "feature": f"planted-keyword_{feature:06d}",
            "method": "right",
            "shuffle": 0,
            "benchmark": benchmark,
            "example": str(index),
            "truth": index < 10,
            by: answer,
            "outcome": "ok",
        }
        for feature in range(features)
        for index, answer in enumerate(answers)
    ]
    return pl.DataFrame(rows, schema=dict(empty.schema))


RIGHT = [True] * 10 + [False] * 10


def test_right_answers_fall_when_halved_and_when_doubled():
    found = metric_sanity(judged(RIGHT), seed=1).row(0, named=True)
    assert found["metric"] == "balanced_accuracy"
    assert found["score"] == 1.0
    assert found["halved"] == pytest.approx(0.75), "half of the test examples are missed"
    assert found["doubled"] == pytest.approx(0.5), "every negative is taken for a test example"
    assert found["falls"] is True


def test_a_judge_that_says_yes_to_all_does_not_fall():
    found = metric_sanity(judged([True] * 20), seed=1).row(0, named=True)
    assert found["score"] == 0.5
    assert found["falls"] is False


def test_probabilities_are_judged_by_auroc():
    values = [0.9 - 0.01 * index for index in range(10)] + [0.1 + 0.01 * index for index in range(10)]
    table = judged(RIGHT).with_columns(probability=pl.Series(values * 6))
    found = metric_sanity(table, seed=1).row(0, named=True)
    assert found["metric"] == "auroc"
    assert found["score"] == 1.0
    assert found["halved"] == pytest.approx(0.5), "half of them now rank last"
    assert found["doubled"] < 0.1, "all negatives now rank first"


def test_similarities_over_the_median_are_the_predicted_ones():
    values = [0.5 + 0.01 * index for index in range(10)] + [0.01 * index for index in range(10)]
    found = metric_sanity(judged(values, by="similarity", benchmark="embedding"), seed=1).row(0, named=True)
    assert found["falls"] is True
    assert found["score"] == 1.0


def test_failed_judgements_and_one_sided_features_are_left_out():
    table = judged(RIGHT).with_columns(
        outcome=pl.when(pl.col("truth") & (pl.col("feature") == "planted-keyword_000000"))
        .then(pl.lit("timed_out"))
        .otherwise("outcome")
        .cast(JudgedExamples.create_empty().schema["outcome"])
    )
    assert metric_sanity(table, seed=1).row(0, named=True)["n_features"] == 5


def test_nothing_answered_gives_no_value():
    table = judged(RIGHT).with_columns(outcome=pl.lit("error").cast(JudgedExamples.create_empty().schema["outcome"]))
    assert metric_sanity(table, seed=1).row(0, named=True)["falls"] is None
