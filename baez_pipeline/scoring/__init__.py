"""Benchmarks: how well does a label tell a feature's examples from others?

Goes in: one module per benchmark, over delphi's scorers; the judges they ask; scores per feature.
Stays out: statistics over features, and how labels are made.

A benchmark is a class of the form `judgement.Benchmark`, opened by its name here and imported only then, since delphi
and torch take seconds. A new one is a module, its line in `open_benchmark` and its name in `experiment.Benchmark`.
"""

import functools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from baez_pipeline import experiment
from baez_pipeline.draws import seed_of
from baez_pipeline.errors import TableError
from baez_pipeline.llm.chat import ChatModel, Purpose
from baez_pipeline.llm.in_flight import as_finished
from baez_pipeline.scoring.controls import Judged
from baez_pipeline.tables import JudgedExamples, Outcome

if TYPE_CHECKING:
    from baez_pipeline.embedding import SentenceEmbedder
    from baez_pipeline.scoring.classifier import AskedJudge
    from baez_pipeline.scoring.examples import ShownExample
    from baez_pipeline.scoring.judgement import Benchmark, Judgement

__all__ = ["judge_labels", "open_benchmark"]

_COLUMNS = JudgedExamples.create_empty().schema


def open_benchmark(
    name: experiment.Benchmark,
    settings: experiment.Scoring,
    *,
    chat: ChatModel | None,
    embedder: "Callable[[], SentenceEmbedder]",
) -> "Benchmark":
    """The benchmark of a name. Cheap: a model in process is loaded when it judges its first label.

    Args:
        name: its name.
        settings: judge and embedder.
        chat: the judge of detection and fuzz where it is a chat model; None for the likelihood judge.
        embedder: opens the sentence embedder.
    """
    match name:
        case "detection":
            from baez_pipeline.scoring.detection import Detection

            return Detection(_asked_judge("detection", settings, chat))
        case "fuzz_random" | "fuzz_contrastive":
            from baez_pipeline.scoring.fuzz import Fuzz

            return Fuzz(name, _asked_judge("fuzz", settings, chat), settings.marking)
        case "embedding":
            from baez_pipeline.scoring.embedding import Embedding

            return Embedding(embedder(), settings.embedder.prompt)


def _asked_judge(
    question: Literal["detection", "fuzz"], settings: experiment.Scoring, chat: ChatModel | None
) -> "AskedJudge":
    from baez_pipeline.scoring.classifier import AskedJudge

    judge = settings.judge
    if isinstance(judge, experiment.LikelihoodJudge):
        from baez_pipeline.scoring.likelihood_judge import LikelihoodJudge

        client = LikelihoodJudge(question)
        return AskedJudge(
            identity=client.identity, client=lambda purpose: client, examples_per_prompt=judge.examples_per_prompt
        )
    from baez_pipeline.llm.delphi_client import DelphiClient

    assert chat is not None
    return AskedJudge(
        identity=chat.identity + (", read in delphi's way" if judge.reading == "delphi" else ""),
        client=lambda purpose: DelphiClient(chat, max_tokens=judge.max_tokens, purpose=purpose),
        examples_per_prompt=judge.examples_per_prompt,
        temperature=judge.sent_temperature,
        reading=judge.reading,
    )


def judge_labels(
    benchmark: "Benchmark",
    labels: pl.DataFrame,
    splits: pl.DataFrame,
    *,
    seed: int,
    concurrency: int,
) -> Iterator[tuple[str, str, int, pl.DataFrame]]:
    """Each label's judgements, as soon as they are there.

    Args:
        benchmark: the benchmark.
        labels: whose examples are judged (`feature`), whose label it is (`method`, `shuffle`, `label_from`), and the
            label with what became of it (`label`, `outcome`, `detail`); one table comes back for each row. An empty
            label is judged like any other.
        splits: ExampleSplits of those features.
        seed: the experiment's; examples are marked, and asked about in an order, that follow from it and the feature
            alone, so that all labels meet the same ones.
        concurrency: labels in flight.

    Yields:
        Feature, method, shuffle and its JudgedExamples: one row for each test example and negative.

    Raises:
        TableError: a label's feature has no test example and no negative in `splits`.
        BaezError: what stops the whole run; what was in flight is waited for and given first.
    """
    by_feature = splits.partition_by("feature", as_dict=True)

    async def judge(
        label: dict[str, Any], examples: "Callable[[], Sequence[ShownExample]]"
    ) -> tuple[str, str, int, pl.DataFrame]:
        judgements = await _judge_label(benchmark, label, examples(), seed=seed)
        return label["feature"], label["method"], label["shuffle"], _table(judgements, label, benchmark)

    def jobs() -> Iterator[Callable[[], Awaitable[tuple[str, str, int, pl.DataFrame]]]]:
        # A feature's labels one after the other: its examples are shown and embedded once, and it is finished sooner.
        for (feature,), own in labels.partition_by("feature", as_dict=True, maintain_order=True).items():
            own_splits = by_feature.get((feature,))
            examples = functools.cache(functools.partial(_examples, benchmark, feature, own_splits, seed=seed))
            for label in own.iter_rows(named=True):
                yield functools.partial(judge, label, examples)

    yield from as_finished(jobs(), limit=concurrency)


def _examples(
    benchmark: "Benchmark", feature: object, splits: pl.DataFrame | None, *, seed: int
) -> "Sequence[ShownExample]":
    examples = benchmark.examples(splits, seed=seed) if splits is not None else []
    if not examples:
        raise TableError(
            f"example_splits holds neither test examples nor negatives of feature {feature}, whose label is to be "
            "scored: make that table first."
        )
    return examples


async def _judge_label(
    benchmark: "Benchmark", label: dict[str, Any], examples: "Sequence[ShownExample]", *, seed: int
) -> "list[Judgement]":
    from baez_pipeline.scoring.judgement import Judgement

    if label["outcome"] != Outcome.OK:
        reason = f"There is no label to score: {label['detail'] or label['outcome']}"
        return [Judgement(example=shown, outcome=Outcome.NO_LABEL, detail=reason) for shown in examples]
    usable = [shown for shown in examples if shown.problem is None]
    order = seed_of(seed, "order of examples", label["feature"])
    judged = (
        await benchmark.judge(label["label"], usable, seed=order, purpose=_purpose(benchmark, label)) if usable else []
    )
    return [
        *judged,
        *(
            Judgement(example=shown, outcome=Outcome.NO_EVIDENCE, detail=shown.problem)
            for shown in examples
            if shown.problem is not None
        ),
    ]


def _purpose(benchmark: "Benchmark", label: dict[str, Any]) -> Purpose:
    judged = Judged(label["method"], label["shuffle"])
    return Purpose(asset=f"scores_{benchmark.name}", feature=label["feature"], method=judged.part)


def _table(judgements: "list[Judgement]", label: dict[str, Any], benchmark: "Benchmark") -> pl.DataFrame:
    rows = [
        {
            **{name: label[name] for name in ("feature", "method", "shuffle", "label_from", "label")},
            "benchmark": benchmark.name,
            "example": judgement.example.example,
            "truth": judgement.example.truth,
            "kind": judgement.example.kind,
            "relative_activation": judgement.example.relative_activation,
            "answer": judgement.answer,
            "probability": judgement.probability,
            "similarity": judgement.similarity,
            "truncated": judgement.truncated,
            "shown": judgement.shown,
            "judge": benchmark.identity,
            "outcome": judgement.outcome.value,
            "detail": judgement.detail,
        }
        for judgement in judgements
    ]
    # Checked when it is stored: here it would hold up the requests in flight.
    return pl.DataFrame(rows, schema=_COLUMNS, orient="row")
