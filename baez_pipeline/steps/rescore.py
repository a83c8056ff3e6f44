"""Scoring the current labels again, round by round, so that the drift of a scorer is seen.

A round has tables of its own (`rescores_<benchmark>`, part `<round>.<method>`) and kept answers of its own: a finished
table and a kept answer would otherwise be taken for the new one, and nobody asked. `scores_<benchmark>` and whatever is
concluded from them stay as they are.
"""

import datetime
from collections.abc import Iterator, Sequence

import polars as pl

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Benchmark, Experiment, HttpModel
from baez_pipeline.features.roster import Roster, is_planted
from baez_pipeline.llm.chat import InRound
from baez_pipeline.scoring import judge_labels, open_benchmark
from baez_pipeline.scoring.controls import RIGHT
from baez_pipeline.steps import build_chain
from baez_pipeline.steps.chain import Chain, State
from baez_pipeline.steps.scores import from_others, judged_by, labels_to_judge
from baez_pipeline.steps.step import FromOthers, Produced, Step, Unit, Work, units
from baez_pipeline.steps.survey import Survey
from baez_pipeline.store import Address
from baez_pipeline.tables import FeatureSample, JudgedExamples, Labels


def round_of(moment: datetime.datetime) -> str:
    """The round that a moment belongs to: its week in UTC, by ISO 8601, such as 2026-W48."""
    year, week, _ = moment.astimezone(datetime.UTC).isocalendar()
    return f"{year}-W{week:02d}"


def rescore_chain(experiment: Experiment, round: str) -> Chain:
    """The experiment's chain with the steps of a round after it."""
    return Chain([*build_chain(experiment), *rescore_steps(experiment, round)])


def rescore_steps(experiment: Experiment, round: str) -> list[Step]:
    """One step for each benchmark; none where features are counted and not labelled."""
    return [] if experiment.lists_layers else [_step(benchmark, round) for benchmark in experiment.scoring.benchmarks]


def step_name(benchmark: str) -> str:
    """The name of a benchmark's step, which is its table's and its asset's."""
    return f"rescores_{benchmark}"


def part_of(round: str, method: str) -> str:
    """The part of a round's table: whose labels were judged in it."""
    return f"{round}.{method}"


def judged_again(experiment: Experiment) -> tuple[str, ...]:
    """Whose labels a round judges: each method's own, and the right ones, by which the scorer itself is followed."""
    return (*experiment.labeling.methods, RIGHT)


def rescored_features(equipment: Equipment) -> list[str]:
    """The features that a round is about, sorted by key: those with all their labels, as many as the file says.

    Raises:
        TableError: there is no roster yet.
    """
    experiment, store, chain = equipment.experiment, equipment.store, build_chain(equipment.experiment)
    store.refresh()
    features = chain.kept_features(equipment)
    if (most := experiment.rescore.features) is not None:
        drawn = store.read(Address(table="feature_sample"), schema=FeatureSample)
        sampled = drawn.filter(pl.col("pool") == "sampled", pl.col("outcome") == "kept").sort("draw")
        chosen = set(sampled["feature"].head(most))
        features = [feature for feature in features if is_planted(feature) or feature in chosen]
    needed = ("example_splits", *(f"labels_{method}" for method in experiment.labeling.methods))
    return [
        feature for feature in features if all(store.entry(Address(table=table, feature=feature)) for table in needed)
    ]


def expected_usd(equipment: Equipment) -> float:
    """What a round will cost, by what the same questions cost when they were first asked. 0 where nobody is paid."""
    if not equipment.pays:
        return 0.0
    experiment = equipment.experiment
    asked = equipment.answers.ledger(experiment.name).filter(
        pl.col("asset").is_in([f"scores_{benchmark}" for benchmark in experiment.scoring.benchmarks]),
        pl.col("method").is_in(judged_again(experiment)),
    )
    return float(asked["usd"].sum())


def with_changed_labels(equipment: Equipment) -> list[str]:
    """The features with a score of another label than the one that is there now, their own or a partner's.

    Scores that are stale for another reason are not among them: a changed judge is for a person to decide about.

    Raises:
        TableError: there is no roster yet, or a table is damaged.
    """
    experiment, chain = equipment.experiment, build_chain(equipment.experiment)
    equipment.store.refresh()
    roster, survey = chain.roster(equipment), Survey(chain, equipment)

    def written(method: str, features: Sequence[str]) -> pl.DataFrame:
        addresses = [Address(table=f"labels_{method}", feature=feature) for feature in features]
        return equipment.store.read(addresses, schema=Labels)

    found: set[str] = set()
    for benchmark in experiment.scoring.benchmarks:
        step = chain[f"scores_{benchmark}"]
        # Not `standings`: what is only behind a stale table was judged with the label that is there.
        stale = [
            unit for unit in units(step, equipment, roster.features) if survey.standing(step, unit).state is State.STALE
        ]
        if not stale:
            continue
        now = labels_to_judge(roster, stale, written).select("feature", "method", "shuffle", "label")
        judged = equipment.store.read(
            [Address(table=step.name, feature=unit.feature, part=unit.part) for unit in stale],
            schema=step.schema,
            columns=now.columns,
        )
        whose = ["feature", "method", "shuffle"]
        both = now.join(judged.unique().rename({"label": "judged_label"}), on=whose)
        found |= set(both.filter(pl.col("label").ne_missing(pl.col("judged_label")))["feature"])
    return sorted(found)


def _step(benchmark: Benchmark, round: str) -> Step:
    name = step_name(benchmark)

    def compute(work: Work) -> Iterator[Produced]:
        equipment = work.equipment
        judge = equipment.judge if benchmark != "embedding" else None
        judged = judge_labels(
            open_benchmark(
                benchmark,
                equipment.experiment.scoring,
                chat=InRound(judge, round=round, asset=name) if judge else None,
                embedder=lambda: equipment.embedder,
            ),
            labels_to_judge(
                work.chain.roster(equipment),
                [Unit(unit.feature, _method(unit.part)) for unit in work.units],
                lambda method, features: work.read(f"labels_{method}", *features),
            ),
            work.read("example_splits"),
            seed=equipment.experiment.seed,
            concurrency=judge.concurrency if judge else 1,
        )
        for feature, method, _, table in judged:
            yield Unit(feature, part_of(round, method)), table

    def from_roster(roster: Roster, feature: str, part: str | None) -> FromOthers:
        return from_others(roster, feature, _method(part))

    return Step(
        name=name,
        schema=JudgedExamples,
        room="scoring",
        family="rescores",
        description=f"The current labels judged again on the benchmark {benchmark}, in the latest round.",
        version=1,
        per_feature=True,
        reads=lambda part: ("example_splits", *(() if _method(part) == RIGHT else (f"labels_{_method(part)}",))),
        from_others=from_roster,
        depends_on=lambda equipment, part: {
            **judged_by(equipment, benchmark),
            "round": round,
            "seed": equipment.experiment.seed,
        },
        compute=compute,
        parts=lambda equipment: tuple(part_of(round, method) for method in judged_again(equipment.experiment)),
        applies=lambda feature, part: is_planted(feature) or _method(part) != RIGHT,
        asks=lambda equipment: benchmark != "embedding" and isinstance(equipment.experiment.scoring.judge, HttpModel),
    )


def _method(part: str | None) -> str:
    return (part or "").partition(".")[2]
