"""Scoring again over time: the assets of a round, the schedule that begins one, the history, and what follows labels.

Goes in: what Dagster starts by itself because time has passed or a label has changed; all of it is off until somebody
switches it on, but for the history, which costs nothing and waits for rounds. Stays out: what a round asks and how it
is compared (steps/rescore.py, steps/history.py).
"""

import datetime
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import BaezError, TableError
from baez_pipeline.orchestration import dead_runs
from baez_pipeline.orchestration.assets import make_of_features
from baez_pipeline.orchestration.events import code_version
from baez_pipeline.orchestration.failures import FIRST_WAIT_SECONDS
from baez_pipeline.orchestration.jobs import job_name
from baez_pipeline.orchestration.keys import asset_key
from baez_pipeline.orchestration.metadata import column_schema, markdown_table
from baez_pipeline.orchestration.partitions import feature_partitions
from baez_pipeline.orchestration.pools import pool_of
from baez_pipeline.orchestration.selection import (
    FEATURES_PER_RUN,
    RESOURCE,
    SELECTION,
    Selection,
    chunks,
    run_config,
    run_tags,
)
from baez_pipeline.steps import Step, build_chain
from baez_pipeline.steps.history import PICTURE, add_round
from baez_pipeline.steps.rescore import (
    expected_usd,
    rescore_chain,
    rescore_steps,
    rescored_features,
    round_of,
    with_changed_labels,
)
from baez_pipeline.store import Address, hash_of
from baez_pipeline.tables import ScoreHistory

ROUND = "baez/round"
"""Tag of a run: the round that it is part of. Without it, the round is that of the week in which the run is made."""
HISTORY = "score_history"
_SECONDS_BETWEEN_LOOKS = 60


def rescore_definitions(equipment: Equipment) -> dg.Definitions:
    """Assets, job, schedule and sensors, to be merged with the experiment's other definitions."""
    experiment = equipment.experiment
    steps = rescore_steps(experiment, round_of(_now()))
    if not steps:
        return dg.Definitions()
    keys = [asset_key(experiment, step.name) for step in steps]
    history = _history(equipment, keys)
    job = dg.define_asset_job(
        job_name(experiment, "rescore"),
        selection=dg.AssetSelection.assets(*keys),
        partitions_def=feature_partitions(experiment.name),
        description="Judge the current labels again with the current judge, in a round of its own: the scores stay as "
        "they are, and the round is added to the score history.",
    )
    return dg.Definitions(
        assets=[_rescores(equipment, steps), history],
        jobs=[job],
        schedules=[_schedule(equipment, job)],
        sensors=[_labels_changed(equipment), _after_rounds(equipment, history)],
    )


def _rescores(equipment: Equipment, steps: Sequence[Step]) -> dg.AssetsDefinition:
    experiment = equipment.experiment
    keys = {step.name: asset_key(experiment, step.name) for step in steps}

    @dg.multi_asset(
        name=f"{experiment.name}__rescores",
        specs=[_spec(step, equipment) for step in steps],
        partitions_def=feature_partitions(experiment.name),
        backfill_policy=dg.BackfillPolicy.multi_run(FEATURES_PER_RUN),
        can_subset=True,
        pool=pool_of(steps, equipment),
        resource_defs={RESOURCE: SELECTION},
    )
    def rescores(context: dg.AssetExecutionContext, selection: Selection) -> Iterator[dg.MaterializeResult[None]]:
        dead_runs.mark(context.instance, context.run)
        round = context.run_tags.get(ROUND) or round_of(_now())
        # The history reads it of the run.
        context.instance.add_run_tags(context.run_id, {ROUND: round})
        chain = rescore_chain(experiment, round)
        chosen = [chain[name] for name, key in keys.items() if key in context.selected_asset_keys]
        wanted = set(rescored_features(equipment))
        features = [feature for feature in selection.features or context.partition_keys if feature in wanted]
        if not features:
            raise dg.Failure("None of the run's features has all its labels: run the experiment first.")
        make_of_features(context, chain, chosen, equipment, features, FIRST_WAIT_SECONDS)
        for step in chosen:
            yield dg.MaterializeResult(asset_key=keys[step.name])

    return rescores


def _spec(step: Step, equipment: Equipment) -> dg.AssetSpec:
    upstream = sorted({name for part in step.parts(equipment) for name in step.reads(part)})
    # A step of no round: which one it is changes no code.
    (timeless,) = (found for found in rescore_steps(equipment.experiment, "") if found.name == step.name)
    return dg.AssetSpec(
        asset_key(equipment.experiment, step.name),
        description=step.description,
        deps=[asset_key(equipment.experiment, name) for name in upstream],
        group_name="rescoring",
        kinds={"parquet", "polars"},
        code_version=code_version(timeless, equipment),
        metadata={"dagster/column_schema": column_schema(step.schema)},
    )


def _history(equipment: Equipment, rescores: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    experiment = equipment.experiment
    deps_updated = dg.AutomationCondition.any_deps_updated()
    handled = dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated()

    @dg.asset(
        key=asset_key(experiment, HISTORY),
        description="What the same labels scored in each round of scoring, and how it changed: the drift of the judge.",
        deps=[dg.AssetDep(key, partition_mapping=dg.AllPartitionMapping()) for key in rescores],
        group_name="rescoring",
        kinds={"parquet", "polars"},
        metadata={"dagster/column_schema": column_schema(ScoreHistory)},
        # Once a round has come to rest, however many runs it took: Dagster knows that better than a sensor of ours.
        automation_condition=deps_updated.since(handled)
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress(),
    )
    def score_history(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        try:
            table = add_round(equipment, _latest_round(context, rescores), at=_now())
        except BaezError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        last = table.filter(number=table["number"].max())
        shown = last.select("round", "method", "benchmark", "mean", "mean_change", "change_low", "change_high")
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": table.height,
                "latest": dg.MetadataValue.md(markdown_table(shown)),
                "chart": dg.MetadataValue.path(equipment.store.page_location(PICTURE)),
            }
        )

    return score_history


def _latest_round(context: dg.AssetExecutionContext, rescores: Sequence[dg.AssetKey]) -> str:
    """The round of the latest run that scored again; the week's, where none is known."""
    if round := context.run_tags.get(ROUND):
        return round
    events = [context.instance.get_latest_materialization_event(key) for key in rescores]
    latest = max((event for event in events if event), key=lambda event: event.timestamp, default=None)
    run = context.instance.get_run_by_id(latest.run_id) if latest else None
    return run.tags.get(ROUND, round_of(_now())) if run else round_of(_now())


def _schedule(equipment: Equipment, job: Any) -> dg.ScheduleDefinition:
    experiment = equipment.experiment

    @dg.schedule(
        name=f"{experiment.name}_rescore_weekly",
        job=job,
        cron_schedule=experiment.rescore.cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Begins a round of scoring the current labels again. A second tick in a week asks nothing twice.",
    )
    def rescore(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        round = round_of(context.scheduled_execution_time)
        try:
            if why_not := _cannot_be_paid(equipment):
                yield dg.SkipReason(why_not)
                return
            features = rescored_features(equipment)
        except TableError as error:
            yield dg.SkipReason(f"Nothing can be scored again yet: {error}")
            return
        if not features:
            yield dg.SkipReason("No feature has all its labels yet: run the experiment first.")
        # Not one request for each feature: that outlasts the tick at 10,000 (33 s, measured).
        for chosen in chunks(features):
            tags = run_tags(chosen)
            run_key = " ".join([round, *tags.values()])
            yield dg.RunRequest(run_key=run_key, tags=tags | {ROUND: round}, run_config=run_config(chosen))

    return rescore


def _cannot_be_paid(equipment: Equipment) -> str | None:
    most = equipment.experiment.budget.max_usd
    if most is None or not equipment.pays:
        return None
    spent, more = equipment.answers.spent(equipment.experiment.name).usd_at_most, expected_usd(equipment)
    if spent + more <= most:
        return None
    return (
        f"A round costs about ${more:.2f}, and ${spent:.2f} of budget.max_usd = ${most:.2f} are spent: raise it, or "
        "lower rescore.features, in the experiment file."
    )


def _labels_changed(equipment: Equipment) -> dg.SensorDefinition:
    experiment = equipment.experiment
    scores = [asset_key(experiment, f"scores_{benchmark}") for benchmark in experiment.scoring.benchmarks]

    @dg.sensor(
        name=f"{experiment.name}_labels_changed",
        job_name=job_name(experiment, "features"),
        minimum_interval_seconds=_SECONDS_BETWEEN_LOOKS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Scores features again whose label is another than the one that was scored, a partner's or a "
        "person's included. A changed judge is left to whoever changed it.",
    )
    def labels_changed() -> Iterator[dg.RunRequest | dg.SkipReason]:
        try:
            features = with_changed_labels(equipment)
        except TableError as error:
            yield dg.SkipReason(str(error))
            return
        if not features:
            yield dg.SkipReason("Every score is of the label that is there.")
        for chosen in chunks(features):
            run_key = hash_of([chosen, _labels_of(equipment, chosen)])
            yield dg.RunRequest(
                run_key=run_key, tags=run_tags(chosen), run_config=run_config(chosen), asset_selection=scores
            )

    return labels_changed


def _labels_of(equipment: Equipment, features: Sequence[str]) -> list[str | None]:
    """What tells these features' labels, and their partners', from others: the same change is requested once."""
    roster = build_chain(equipment.experiment).roster(equipment)
    concerned = {whose for feature in features for whose in (feature, *roster.partners[feature])}
    entries = [
        equipment.store.entry(Address(table=f"labels_{method}", feature=feature))
        for method in equipment.experiment.labeling.methods
        for feature in sorted(concerned)
    ]
    return [entry.content_hash if entry else None for entry in entries]


def _after_rounds(equipment: Equipment, history: dg.AssetsDefinition) -> dg.AutomationConditionSensorDefinition:
    return dg.AutomationConditionSensorDefinition(
        f"{equipment.experiment.name}_after_rounds",
        target=dg.AssetSelection.assets(*history.keys),
        minimum_interval_seconds=_SECONDS_BETWEEN_LOOKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Adds a round to the score history when its runs have come to rest. It asks nobody.",
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
