"""Steps over all features: summary, paired comparison, label distances."""

from collections.abc import Callable, Iterator

import dataframely as dy
import polars as pl

from baez_pipeline.equipment import MINILM, Equipment
from baez_pipeline.experiment import Experiment, Statistics
from baez_pipeline.reports import as_markdown, method_table
from baez_pipeline.scoring.feature_scores import feature_scores
from baez_pipeline.statistics import label_distances as distances_between
from baez_pipeline.statistics import method_comparison as compare_methods
from baez_pipeline.statistics import score_summary as summarise
from baez_pipeline.steps.step import Produced, Step, Unit, Work
from baez_pipeline.store import Address
from baez_pipeline.tables import LabelDistances, MethodComparison, ScoreSummary


def score_tables(experiment: Experiment) -> tuple[str, ...]:
    """The names of the experiment's score tables."""
    return tuple(f"scores_{benchmark}" for benchmark in experiment.scoring.benchmarks)


def all_feature_scores(work: Work) -> pl.DataFrame:
    """FeatureScores of every feature, method and benchmark of the experiment."""
    judged = [work.read(table) for table in score_tables(work.equipment.experiment)]
    return feature_scores(pl.concat(judged))


def method_table_markdown(equipment: Equipment) -> str:
    """The method-by-benchmark table of a score summary that is there."""
    summary = equipment.store.read(Address(table="score_summary"), schema=ScoreSummary)
    return as_markdown(method_table(summary, confidence=equipment.experiment.statistics.confidence))


def score_summary(experiment: Experiment) -> Step:
    """The step `score_summary`."""
    return _over_scores(
        experiment,
        ScoreSummary,
        summarise,
        name="score_summary",
        description="Each metric of each method and benchmark over features: mean, median, spread, interval, failures.",
        markdown=method_table_markdown,
    )


def method_comparison(experiment: Experiment) -> Step:
    """The step `method_comparison`."""
    return _over_scores(
        experiment,
        MethodComparison,
        compare_methods,
        name="method_comparison",
        description="Every two methods on the same features and examples: mean difference with its interval.",
    )


def _over_scores(
    experiment: Experiment,
    schema: type[dy.Schema],
    statistic: Callable[[pl.DataFrame, Statistics, int], pl.DataFrame],
    *,
    name: str,
    description: str,
    markdown: Callable[[Equipment], str] | None = None,
) -> Step:
    def compute(work: Work) -> Iterator[Produced]:
        yield Unit(), statistic(all_feature_scores(work), experiment.statistics, experiment.seed)

    return Step(
        name=name,
        schema=schema,
        room="statistics",
        description=description,
        version=1,
        per_feature=False,
        reads=lambda part: score_tables(experiment),
        depends_on=lambda equipment, part: {
            "statistics": experiment.statistics.model_dump(mode="json"),
            "seed": experiment.seed,
        },
        compute=compute,
        markdown=markdown,
    )


def label_distances(experiment: Experiment) -> Step:
    """The step `label_distances`."""
    method_a, method_b = experiment.report.most_distant

    def compute(work: Work) -> Iterator[Produced]:
        embedder = work.equipment.embedder
        labels_a, labels_b = work.read(f"labels_{method_a}"), work.read(f"labels_{method_b}")
        # A label that failed is left out by the distances; an empty text keeps the rows aligned.
        vectors = [embedder.embed(labels["label"].fill_null("").to_list()) for labels in (labels_a, labels_b)]
        yield Unit(), distances_between(labels_a, labels_b, vectors[0], vectors[1], embedder.identity)

    return Step(
        name="label_distances",
        schema=LabelDistances,
        room="statistics",
        description=f"How far apart the labels of {method_a} and {method_b} are, farthest first.",
        version=1,
        per_feature=False,
        reads=lambda part: (f"labels_{method_a}", f"labels_{method_b}"),
        depends_on=lambda equipment, part: {"embedder": MINILM},
        compute=compute,
    )
