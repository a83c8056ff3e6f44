"""Benchmarks: how well does a label tell a feature's examples from others?

Goes in: one module per benchmark, over delphi's scorers; the judges they ask; scores per feature.
Stays out: statistics over features, and how labels are made.

A benchmark is a class of the form `judgement.Benchmark`, opened by its name here and imported only then, since delphi
and torch take seconds. A new one is a module, its line in `open_benchmark` and its name in `experiment.Benchmark`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import polars as pl

from baez_pipeline import experiment
from baez_pipeline.draws import seed_of
from baez_pipeline.errors import TableError
from baez_pipeline.tables import JudgedExamples, Outcome

if TYPE_CHECKING:
    from baez_pipeline.scoring.judgement import Benchmark, Judgement

__all__ = ["judge_labels", "open_benchmark"]


def open_benchmark(name: experiment.Benchmark, settings: experiment.Scoring) -> "Benchmark":
    """The benchmark of a name. Cheap: its model is loaded when it judges its first label."""
    match name:
        case "detection":
            from baez_pipeline.scoring.detection import Detection

            return Detection(settings)
        case "fuzz":
            from baez_pipeline.scoring.fuzz import Fuzz

            return Fuzz(settings)
        case "embedding":
            from baez_pipeline.scoring.embedding import Embedding

            return Embedding()


def judge_labels(
    benchmark: experiment.Benchmark,
    labels: pl.DataFrame,
    splits: pl.DataFrame,
    settings: experiment.Scoring,
    *,
    seed: int,
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Each label's judgements, as soon as they are there.

    Args:
        benchmark: its name.
        labels: Labels of any features and methods; one table comes back for each row.
        splits: ExampleSplits of those features.
        settings: judge and embedder.
        seed: the experiment's; examples are asked about in an order that follows from it and the feature alone, so
            that all methods meet the same one.

    Yields:
        The feature and its JudgedExamples: one row for each test example and negative.

    Raises:
        TableError: a label's feature has no test example and no negative in `splits`.
    """
    opened = open_benchmark(benchmark, settings)
    by_feature = splits.partition_by("feature", as_dict=True)
    for label in labels.iter_rows(named=True):
        own_splits = by_feature.get((label["feature"],))
        judgements = [] if own_splits is None else _judge_label(opened, label, own_splits, seed=seed)
        if not judgements:
            raise TableError(
                f"example_splits holds neither test examples nor negatives of feature {label['feature']}, whose label "
                "is to be scored: make that table first."
            )
        yield label["feature"], _table(judgements, label, benchmark, opened.identity)


def _judge_label(
    benchmark: "Benchmark", label: dict[str, Any], splits: pl.DataFrame, *, seed: int
) -> "list[Judgement]":
    from baez_pipeline.scoring.examples import shown_examples
    from baez_pipeline.scoring.judgement import Judgement

    examples = shown_examples(splits, marks=benchmark.marks)
    if label["outcome"] != Outcome.OK:
        reason = f"There is no label to score: {label['detail'] or label['outcome']}"
        return [Judgement(example=shown, outcome=Outcome.NO_LABEL, detail=reason) for shown in examples]
    reasons = [shown.why_not_judged(marks=benchmark.marks) for shown in examples]
    usable = [shown for shown, reason in zip(examples, reasons, strict=True) if reason is None]
    order = seed_of(seed, "order of examples", label["feature"])
    return [
        *(benchmark.judge(label["label"], usable, seed=order) if usable else []),
        *(
            Judgement(example=shown, outcome=Outcome.NO_EVIDENCE, detail=reason)
            for shown, reason in zip(examples, reasons, strict=True)
            if reason is not None
        ),
    ]


def _table(judgements: "list[Judgement]", label: dict[str, Any], benchmark: str, judge: str) -> pl.DataFrame:
    rows = [
        {
            "feature": label["feature"],
            "method": label["method"],
            "benchmark": benchmark,
            "example": judgement.example.example,
            "truth": judgement.example.truth,
            "answer": judgement.answer,
            "probability": judgement.probability,
            "similarity": judgement.similarity,
            "shown": judgement.shown,
            "judge": judge,
            "outcome": judgement.outcome.value,
            "detail": judgement.detail,
        }
        for judgement in judgements
    ]
    return JudgedExamples.validate(pl.DataFrame(rows, schema=JudgedExamples.create_empty().schema, orient="row"))
