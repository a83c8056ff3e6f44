"""Steps that say how far the scores can be trusted: verdicts on benchmarks, and what scores depend on."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import dataframely as dy
import polars as pl

from baez_pipeline import statistics
from baez_pipeline.experiment import Experiment
from baez_pipeline.features.roster import IS_PLANTED
from baez_pipeline.scoring import breakdowns
from baez_pipeline.scoring.controls import CONTROLS, RIGHT
from baez_pipeline.steps.results import (
    JUDGED_COLUMNS,
    OWN,
    judgements,
    over_all_features,
    own_parts,
    real_features,
    score_tables,
)
from baez_pipeline.steps.step import Step, Work
from baez_pipeline.tables import (
    BenchmarkAgreement,
    BenchmarkVerdicts,
    ChanceComparison,
    DecileCurves,
    FeatureClaims,
    MetricSanity,
    Reliability,
    ScoresByNegatives,
)


def trust_steps(experiment: Experiment) -> list[Step]:
    """All of them, in the order of their inputs."""
    return [
        _from_judgements(
            experiment,
            "metric_sanity",
            MetricSanity,
            "Does the score fall when half of what is predicted is left out, or as much is added wrongly?",
            lambda work: statistics.metric_sanity(judgements(work, parts=[RIGHT]), seed=experiment.seed),
        ),
        over_all_features(
            experiment,
            BenchmarkVerdicts,
            lambda work: statistics.benchmark_verdicts(
                work.read("feature_scores"), work.read("metric_sanity"), experiment.statistics, experiment.seed
            ),
            name="benchmark_verdicts",
            reads=("feature_scores", "metric_sanity"),
            description="Can each benchmark be trusted here? Right labels of planted features against others' labels.",
        ),
        _from_scores(
            experiment,
            "chance_comparison",
            ChanceComparison,
            "Each method's own labels of real features against labels of other features, on the same examples.",
            lambda scores: statistics.beats_chance(
                scores.filter(pl.col("planted").is_null(), ~pl.col("method").is_in(CONTROLS)),
                experiment.statistics,
                experiment.seed,
            ),
        ),
        _from_judgements(
            experiment,
            "feature_claims",
            FeatureClaims,
            "Which single labels beat chance, at a false discovery rate over features.",
            lambda work: pl.concat(
                statistics.feature_claims(own, experiment.statistics) for own in _own_by_benchmark(work)
            ).sort("benchmark", "method", "feature"),
        ),
        _from_judgements(
            experiment,
            "scores_by_negatives",
            ScoresByNegatives,
            "Scores of the methods against each kind of negatives apart.",
            lambda work: statistics.scores_by_negatives(
                pl.concat(
                    breakdowns.scores_by_negatives(
                        judgements(batch, parts=own_parts(experiment)), failures=experiment.scoring.failures
                    ).filter(OWN)
                    for batch in work.in_batches()
                ),
                experiment.statistics,
                experiment.seed,
            ),
            failures=experiment.scoring.failures,
        ),
        _from_judgements(
            experiment,
            "decile_curves",
            DecileCurves,
            "How well test examples are told by how strong they are.",
            lambda work: statistics.decile_curves(
                pl.concat(
                    breakdowns.decile_rates(
                        # A planted feature counts by its right label alone: the ceiling.
                        judgements(batch, parts=[*own_parts(experiment), RIGHT]).filter(
                            ~IS_PLANTED | (pl.col("method") == RIGHT)
                        )
                    )
                    for batch in work.in_batches()
                ),
                experiment.statistics,
                experiment.seed,
            ),
        ),
        _from_judgements(
            experiment,
            "reliability",
            Reliability,
            "How alike the scores on two halves of a label's examples are.",
            lambda work: pl.concat(
                statistics.reliability(own, experiment.statistics, experiment.seed) for own in _own_by_benchmark(work)
            ),
        ),
        _from_scores(
            experiment,
            "benchmark_agreement",
            BenchmarkAgreement,
            "Do the benchmarks rank the same labels alike?",
            lambda scores: statistics.benchmark_agreement(scores.filter(OWN), experiment.statistics, experiment.seed),
        ),
    ]


def _own_by_benchmark(work: Work) -> Iterator[pl.DataFrame]:
    """What methods are judged by, their own labels of real features, one benchmark at a time."""
    experiment = work.equipment.experiment
    real = replace(work, features=real_features(work))
    for table in score_tables(experiment):
        yield real.read(table, parts=own_parts(experiment), columns=JUDGED_COLUMNS)


def _from_judgements(
    experiment: Experiment,
    name: str,
    schema: type[dy.Schema],
    description: str,
    make: Callable[[Work], pl.DataFrame],
    **also_depends_on: str,
) -> Step:
    return over_all_features(
        experiment,
        schema,
        make,
        name=name,
        reads=score_tables(experiment),
        description=description,
        depends_on=lambda equipment: {
            "statistics": experiment.statistics.model_dump(mode="json"),
            "seed": experiment.seed,
            **also_depends_on,
        },
    )


def _from_scores(
    experiment: Experiment,
    name: str,
    schema: type[dy.Schema],
    description: str,
    make: Callable[[pl.DataFrame], pl.DataFrame],
) -> Step:
    def from_work(work: Work) -> pl.DataFrame:
        return make(work.read("feature_scores"))

    return over_all_features(
        experiment, schema, from_work, name=name, reads=("feature_scores",), description=description
    )
