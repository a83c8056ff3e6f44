"""Steps over all features: scores, their summary, paired comparison, label distances and specificity."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import dataframely as dy
import polars as pl

from baez_pipeline.equipment import MINILM, Equipment
from baez_pipeline.experiment import Experiment
from baez_pipeline.features.roster import IS_PLANTED, is_planted
from baez_pipeline.reports import as_markdown, method_table
from baez_pipeline.scoring.controls import CONTROLS, RIGHT, Judged
from baez_pipeline.scoring.feature_scores import KEYS
from baez_pipeline.scoring.feature_scores import feature_scores as work_out_scores
from baez_pipeline.scoring.specificity import label_specificity as label_ranks
from baez_pipeline.scoring.specificity import mean_label_cosine, shown_texts
from baez_pipeline.statistics import label_distances as distances_between
from baez_pipeline.statistics import label_specificity as summarise_specificity
from baez_pipeline.statistics import method_comparison as compare_methods
from baez_pipeline.statistics import score_summary as summarise
from baez_pipeline.steps.step import Check, Found, Produced, Step, Unit, Work
from baez_pipeline.store import Address
from baez_pipeline.tables import (
    BenchmarkVerdicts,
    FeatureScores,
    LabelDistances,
    LabelSpecificity,
    MethodComparison,
    ScoreSummary,
)

OWN = pl.col("planted").is_null() & (pl.col("shuffle") == 0) & ~pl.col("method").is_in(CONTROLS)
"""Rows of FeatureScores that methods are compared by: their own labels of real features."""


def score_tables(experiment: Experiment) -> tuple[str, ...]:
    """The names of the experiment's score tables."""
    return tuple(f"scores_{benchmark}" for benchmark in experiment.scoring.benchmarks)


def label_tables(experiment: Experiment) -> tuple[str, ...]:
    """The names of the experiment's label tables."""
    return tuple(f"labels_{method}" for method in experiment.labeling.methods)


JUDGED_COLUMNS = (
    *("benchmark", "method", "shuffle", "feature", "example", "truth", "kind", "relative_activation"),
    *("answer", "probability", "similarity", "truncated", "outcome"),
)
"""Columns of JudgedExamples that scores and statistics are worked out from; the texts are most of a table's bytes."""


def own_parts(experiment: Experiment) -> tuple[str, ...]:
    """The parts of score tables that hold methods' own labels."""
    return tuple(Judged(method).part for method in experiment.labeling.methods)


def real_features(work: Work) -> list[str]:
    """The work's features without planted ones."""
    return [feature for feature in work.features if not is_planted(feature)]


def judgements(
    work: Work,
    *,
    parts: Collection[str | None] | None = None,
    columns: Sequence[str] | None = JUDGED_COLUMNS,
) -> pl.DataFrame:
    """JudgedExamples of the work's features on every benchmark of the experiment.

    Args:
        work: whose features.
        parts: whose labels; None = every label's.
        columns: None = all.
    """
    tables = score_tables(work.equipment.experiment)
    return pl.concat(work.read(table, parts=parts, columns=columns) for table in tables)


def over_all_features(
    experiment: Experiment,
    schema: type[dy.Schema],
    make: Callable[[Work], pl.DataFrame],
    *,
    name: str,
    reads: tuple[str, ...],
    description: str,
    room: str = "statistics",
    depends_on: Callable[[Equipment], Mapping[str, Any]] | None = None,
    check: Check | None = None,
    markdown: Callable[[Equipment], str] | None = None,
) -> Step:
    """A step that makes one table of all features; by default it depends on the statistics' settings and the seed."""

    def compute(work: Work) -> Iterator[Produced]:
        yield Unit(), make(work)

    def statistics(equipment: Equipment) -> Mapping[str, Any]:
        return {"statistics": experiment.statistics.model_dump(mode="json"), "seed": experiment.seed}

    return Step(
        name=name,
        schema=schema,
        room=room,
        description=description,
        version=2,
        per_feature=False,
        reads=lambda part: reads,
        depends_on=lambda equipment, part: (depends_on or statistics)(equipment),
        compute=compute,
        check=check,
        markdown=markdown,
    )


def method_table_markdown(equipment: Equipment) -> str:
    """The method-by-benchmark table of a score summary that is there, with each benchmark's verdict."""
    store = equipment.store
    summary = store.read(Address(table="score_summary"), schema=ScoreSummary)
    verdicts = store.read(Address(table="benchmark_verdicts"), schema=BenchmarkVerdicts)
    return as_markdown(method_table(summary, verdicts, confidence=equipment.experiment.statistics.confidence))


def _verdicts_found(equipment: Equipment) -> Found:
    verdicts = equipment.store.read(Address(table="benchmark_verdicts"), schema=BenchmarkVerdicts)
    found = set(verdicts["verdict"].cast(pl.String))
    return Found(
        passed=found == {"discriminates"},
        serious="broken" in found,
        details={row["benchmark"]: f"{row['verdict']}: {row['reason']}" for row in verdicts.iter_rows(named=True)},
    )


BENCHMARKS_DISCRIMINATE = Check(
    name="benchmarks_discriminate",
    description="Every benchmark tells right labels of planted features from labels of other features.",
    find=_verdicts_found,
)


def feature_scores(experiment: Experiment) -> Step:
    """The step `feature_scores`."""
    failures = experiment.scoring.failures

    def make(work: Work) -> pl.DataFrame:
        scores = [work_out_scores(judgements(batch), failures=failures) for batch in work.in_batches()]
        return pl.concat(scores).sort(KEYS)

    return over_all_features(
        experiment,
        FeatureScores,
        make,
        name="feature_scores",
        reads=score_tables(experiment),
        description="Scores of every label of every feature on every benchmark, controls among them.",
        room="scoring",
        depends_on=lambda equipment: {"failures": failures},
    )


def score_summary(experiment: Experiment) -> Step:
    """The step `score_summary`. It waits for the verdicts: no table of methods is shown without them."""
    return over_all_features(
        experiment,
        ScoreSummary,
        lambda work: summarise(work.read("feature_scores"), experiment.statistics, experiment.seed),
        name="score_summary",
        reads=("feature_scores", "benchmark_verdicts"),
        description="Each metric of each method and benchmark over features: mean, median, spread, interval, failures.",
        check=BENCHMARKS_DISCRIMINATE,
        markdown=method_table_markdown,
    )


def method_comparison(experiment: Experiment) -> Step:
    """The step `method_comparison`."""
    return over_all_features(
        experiment,
        MethodComparison,
        lambda work: compare_methods(work.read("feature_scores").filter(OWN), experiment.statistics, experiment.seed),
        name="method_comparison",
        reads=("feature_scores",),
        description="Every two methods on the same real features and examples: different, equivalent or undecided.",
    )


def label_specificity(experiment: Experiment) -> Step:
    """The step `label_specificity`."""

    def make(work: Work) -> pl.DataFrame:
        roster = work.chain.roster(work.equipment)
        right = pl.DataFrame(
            {"feature": list(roster.right_labels), "method": RIGHT, "label": list(roster.right_labels.values())},
            schema={"feature": pl.String, "method": pl.String, "label": pl.String},
        )
        written = [work.read(table).select("feature", "method", "label") for table in label_tables(experiment)]
        labels = pl.concat([*(table.filter(~IS_PLANTED) for table in written), right]).drop_nulls("label")
        texts = pl.concat(shown_texts(batch.read("example_splits")) for batch in work.in_batches())
        embedder = work.equipment.embedder
        # A label is looked for among the features of its own pool.
        ranks = pl.concat(
            label_ranks(labels.filter(pool), texts.filter(pool), embedder) for pool in (IS_PLANTED, ~IS_PLANTED)
        )
        cosines = {
            str(method): mean_label_cosine(rows["label"].to_list(), embedder)
            for (method,), rows in labels.partition_by("method", as_dict=True).items()
        }
        return summarise_specificity(ranks, cosines, experiment.statistics, experiment.seed)

    return over_all_features(
        experiment,
        LabelSpecificity,
        make,
        name="label_specificity",
        reads=(*label_tables(experiment), "example_splits", "feature_sample"),
        description="Does a label find its own feature among all, and how long and how alike are a method's labels?",
        depends_on=lambda equipment: {
            "embedder": MINILM,
            "statistics": experiment.statistics.model_dump(mode="json"),
            "seed": experiment.seed,
        },
    )


def label_distances(experiment: Experiment) -> Step:
    """The step `label_distances`."""
    method_a, method_b = experiment.report.most_distant

    def make(work: Work) -> pl.DataFrame:
        embedder = work.equipment.embedder
        labels_a, labels_b = (work.read(f"labels_{method}").filter(~IS_PLANTED) for method in (method_a, method_b))
        # A label that failed is left out by the distances; an empty text keeps the rows aligned.
        vectors = [embedder.embed(labels["label"].fill_null("").to_list()) for labels in (labels_a, labels_b)]
        return distances_between(labels_a, labels_b, vectors[0], vectors[1], embedder.identity)

    return over_all_features(
        experiment,
        LabelDistances,
        make,
        name="label_distances",
        reads=(f"labels_{method_a}", f"labels_{method_b}"),
        description=f"How far apart the labels of {method_a} and {method_b} are, farthest first.",
        depends_on=lambda equipment: {"embedder": MINILM},
    )
