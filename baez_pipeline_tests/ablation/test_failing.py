"""Failures that the ablation puts in: as many as stated, five at a time, the same in every variant."""

import polars as pl
import pytest

from baez_pipeline.ablation.failing import with_failures
from baez_pipeline.experiment import Ablation
from baez_pipeline.tables import JudgedExamples


def judged(feature="f", *, benchmark="detection", answered=True):
    empty = JudgedExamples.create_empty()
    rows = [
        {
            "feature": feature,
            "method": "baez",
            "shuffle": 0,
            "label_from": feature,
            "label": "a label",
            "benchmark": benchmark,
            "example": str(index),
            "truth": index < 10,
            "kind": "active" if index < 10 else "random",
            "answer": index < 10 if answered else None,
            "similarity": None if answered else 0.5,
            "judge": "a judge",
            "outcome": "ok",
        }
        for index in range(20)
    ]
    return pl.DataFrame(rows, schema=dict(empty.schema))


def failed(table):
    return set(table.filter(pl.col("outcome") != "ok")["example"])


def test_the_stated_share_of_requests_fails_whole():
    lost = [failed(with_failures(judged(f"f{index}"), Ablation(failing_share=0.25), seed=3)) for index in range(200)]
    assert all(len(examples) % 5 == 0 for examples in lost)
    # 800 requests at .25: three standard errors are .046.
    assert sum(map(len, lost)) / (200 * 20) == pytest.approx(0.25, abs=0.046)


def test_a_failed_judgement_has_no_answer_and_says_why():
    table = with_failures(judged(), Ablation(failing_share=1.0), seed=3)
    assert table["answer"].null_count() == 20
    assert table["outcome"].unique().to_list() == ["timed_out"]
    assert table["detail"].unique().to_list() == ["put in by the ablation"]
    JudgedExamples.validate(table)


def test_a_preamble_fails_only_where_the_first_bracket_is_read():
    settings = Ablation(failing_share=0.0, preamble_share=1.0)
    assert failed(with_failures(judged(), settings, seed=3)) == set()
    read_first = settings.model_copy(update={"reading": "delphi"})
    assert len(failed(with_failures(judged(), read_first, seed=3))) == 20


def test_the_same_requests_fail_however_answers_are_read():
    settings = Ablation(failing_share=0.3, preamble_share=0.3)
    read_first = settings.model_copy(update={"reading": "delphi"})
    for index in range(20):
        table = judged(f"f{index}")
        assert failed(with_failures(table, settings, seed=3)) <= failed(with_failures(table, read_first, seed=3))


def test_similarities_never_fail():
    table = judged(benchmark="embedding", answered=False)
    assert with_failures(table, Ablation(failing_share=1.0), seed=3).equals(table)
