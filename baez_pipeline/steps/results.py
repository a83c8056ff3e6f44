"""Steps over all features: summary, paired comparison, label distances."""

from collections.abc import Iterator

import polars as pl

from baez_pipeline.equipment import MINILM
from baez_pipeline.experiment import Experiment
from baez_pipeline.scoring.feature_scores import feature_scores
from baez_pipeline.statistics import label_distances as distances_between
from baez_pipeline.statistics import method_comparison as compare_methods
from baez_pipeline.statistics import score_summary as summarise
from baez_pipeline.steps.step import Produced, Step, Work
from baez_pipeline.tables import LabelDistances, MethodComparison, ScoreSummary


def score_tables(experiment: Experiment) -> tuple[str, ...]:
    """The names of the experiment's score tables."""
    return tuple(f"scores_{benchmark}" for benchmark in experiment.scoring.benchmarks)


def all_feature_scores(work: Work) -> pl.DataFrame:
    """FeatureScores of every feature, method and benchmark of the experiment."""
    judged = [work.read(table) for table in score_tables(work.equipment.experiment)]
    return feature_scores(pl.concat(judged))


def score_summary(experiment: Experiment) -> Step:
    """The step `score_summary`."""

    def compute(work: Work) -> Iterator[Produced]:
        yield None, summarise(all_feature_scores(work), experiment.statistics, seed=experiment.seed)

    return Step(
        name="score_summary",
        schema=ScoreSummary,
        room="statistics",
        description="Each metric of each method and benchmark over features: mean, median, spread, interval, failures.",
        version=1,
        per_feature=False,
        reads=lambda part: score_tables(experiment),
        depends_on=lambda equipment, part: {
            "statistics": experiment.statistics.model_dump(mode="json"),
            "seed": experiment.seed,
        },
        compute=compute,
    )


def method_comparison(experiment: Experiment) -> Step:
    """The step `method_comparison`."""

    def compute(work: Work) -> Iterator[Produced]:
        yield None, compare_methods(all_feature_scores(work), experiment.statistics, seed=experiment.seed)

    return Step(
        name="method_comparison",
        schema=MethodComparison,
        room="statistics",
        description="Every two methods on the same features and examples: mean difference with its interval.",
        version=1,
        per_feature=False,
        reads=lambda part: score_tables(experiment),
        depends_on=lambda equipment, part: {
            "statistics": experiment.statistics.model_dump(mode="json"),
            "seed": experiment.seed,
        },
        compute=compute,
    )


def label_distances(experiment: Experiment) -> Step:
    """The step `label_distances`."""
    method_a, method_b = experiment.report.most_distant

    def compute(work: Work) -> Iterator[Produced]:
        embedder = work.equipment.embedder
        labels_a, labels_b = work.read(f"labels_{method_a}"), work.read(f"labels_{method_b}")
        # A label that failed is left out by the distances; an empty text keeps the rows aligned.
        vectors = [embedder.embed(labels["label"].fill_null("").to_list()) for labels in (labels_a, labels_b)]
        yield None, distances_between(labels_a, labels_b, vectors[0], vectors[1], embedder.identity)

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
