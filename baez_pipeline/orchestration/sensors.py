"""The sensor `<experiment>_converge`: what the UI shows follows what is stored, without anybody's help.

A run that was killed has stored more than it could record, a partition that failed may be whole again without a run,
and a control whose partner's label came in a later run was left. They are put right here, a minute after no run is at
work on the features concerned. What a run of ours could not make is not asked for again until its tables change: then
it is somebody's to ask for it, with `baez run --features missing` or the job whose name ends in _choose.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import DagsterRunStatus, RunsFilter
from dagster._core.storage.partition_status_cache import AssetPartitionStatus
from dagster._core.storage.tags import PRIORITY_TAG, RUN_KEY_TAG, SENSOR_NAME_TAG

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import BaezError
from baez_pipeline.experiment import Experiment
from baez_pipeline.orchestration.choose import choose_config, choose_job_name
from baez_pipeline.orchestration.dead_runs import UNDER_WAY
from baez_pipeline.orchestration.events import materialization, statuses
from baez_pipeline.orchestration.left import DeepSurvey, left_by_partners
from baez_pipeline.orchestration.partitions import register
from baez_pipeline.orchestration.selection import FEATURES_PER_RUN, chunks, features_of_run
from baez_pipeline.steps import Chain, Step
from baez_pipeline.steps.step import units
from baez_pipeline.store import hash_of

SECONDS_BETWEEN_LOOKS = 60
EVENTS_PER_LOOK = 500
"""An event takes 20 ms on SQLite, and the daemon writes them while nothing else of it goes on."""

REQUESTS_PER_LOOK = 5
"""Runs. Which features to ask for is worked out feature by feature, and Dagster ends a look after 60 s."""

REQUESTS_REMEMBERED = 200
"""The latest ones; what was asked for before them may be asked for once more."""


def build_converge_sensor(chain: Chain, equipment: Equipment, choose: dg.JobDefinition) -> dg.SensorDefinition:
    """The experiment's sensor; it is on unless somebody switches it off."""
    experiment = equipment.experiment

    @dg.sensor(
        name=_sensor_name(experiment),
        job=choose,
        minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=__doc__,
    )
    def converge(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        instance = context.instance
        cursor = _last_end(instance)
        if cursor == context.cursor:
            return dg.SkipReason("No run has ended since the last look.")
        try:
            # The sensor's process stays open while others write.
            equipment.store.refresh()
            kept = chain.kept_features(equipment)
            at_work = _at_work(instance, experiment.name, kept)
            if at_work is None:
                return dg.SkipReason("Waits until the run that chooses features is over.")
            if not at_work:
                # Before the look: Dagster says nothing of partitions that it does not know.
                register(instance, experiment.name, kept)
            idle = dict.fromkeys(feature for feature in kept if feature not in at_work)
            events = list(islice(_to_report(chain, equipment, instance, idle), EVENTS_PER_LOOK + 1))
            if len(events) > EVENTS_PER_LOOK:
                # The next look goes on, and asks for runs when all is told: it waits while they are at work.
                return dg.SensorResult(asset_events=events[:EVENTS_PER_LOOK], cursor=context.cursor)
            to_request = _to_request(chain, equipment, instance, idle)
        except BaezError as error:
            return dg.SkipReason(str(error))
        # What runs are at work on comes when they end.
        done = len(to_request) <= REQUESTS_PER_LOOK * FEATURES_PER_RUN
        return dg.SensorResult(
            asset_events=events,
            run_requests=list(islice(_requests(experiment, to_request), REQUESTS_PER_LOOK)),
            cursor=cursor if done else context.cursor,
        )

    return converge


def _to_report(
    chain: Chain, equipment: Equipment, instance: dg.DagsterInstance, features: Collection[str]
) -> Iterator[dg.AssetMaterialization]:
    """What Dagster does not show as made of these features, though it is stored."""
    survey = DeepSurvey(chain, equipment)
    for step in chain:
        if not step.per_feature:
            continue
        # One pass over what the table's files say: asked feature by feature, a look at 10,000 took 13 s.
        parts = set(step.parts(equipment))
        stored = {address.feature for address in equipment.store.entries(step.name) if address.part in parts}
        shown = statuses(instance, equipment.experiment, step, features)
        for feature in (each for each in features if each in stored):
            failed = shown[feature] is AssetPartitionStatus.FAILED
            # A failed one stays red until nothing is left to do for it.
            wanted = _is_done(survey, step, equipment, feature) if failed else shown[feature] is None
            if wanted and (event := materialization(chain, step, equipment, feature)):
                yield event


def _is_done(survey: DeepSurvey, step: Step, equipment: Equipment, feature: str) -> bool:
    """Whether all tables of a feature are fresh that need not wait for another feature's."""
    tables = units(step, equipment, [feature])
    return all(survey.is_fresh((step, unit)) or survey.waits(step, unit) for unit in tables)


def _to_request(
    chain: Chain, equipment: Equipment, instance: dg.DagsterInstance, features: Collection[str]
) -> dict[str, str]:
    """Features with a control that can be made by now and was not asked for as they are; their states.

    Returns:
        At most one more than a look asks for, in the order of the partitions.
    """
    asked = _asked(chain, equipment, instance)
    left = left_by_partners(chain, equipment, set(features) - asked)
    return _states(chain, equipment, list(islice(left, REQUESTS_PER_LOOK * FEATURES_PER_RUN + 1)))


def _asked(chain: Chain, equipment: Equipment, instance: dg.DagsterInstance) -> set[str]:
    """Features that the sensor has asked for in a run, none of which has changed since, however it ended."""
    experiment = equipment.experiment
    ours = RunsFilter(job_name=choose_job_name(experiment), tags={SENSOR_NAME_TAG: _sensor_name(experiment)})
    requests = [
        (_features_asked_for(run), run.tags.get(RUN_KEY_TAG))
        for run in instance.get_runs(filters=ours, limit=REQUESTS_REMEMBERED)
    ]
    states = _states(chain, equipment, set().union(*(features for features, _ in requests)))
    return set().union(*(features for features, key in requests if key == _run_key(features, states)))


def _states(chain: Chain, equipment: Equipment, features: Collection[str]) -> dict[str, str]:
    """Feature -> hash of what its tables hold, in the order given."""
    found: dict[str, dict[str, str]] = {feature: {} for feature in features}
    for step in chain:
        if not (step.per_feature and found):
            continue
        for address, entry in equipment.store.entries(step.name).items():
            if address.feature in found:
                found[address.feature][address.path] = entry.content_hash
    return {feature: hash_of(tables) for feature, tables in found.items()}


def _requests(experiment: Experiment, states: Mapping[str, str]) -> Iterator[dg.RunRequest]:
    """Runs for features, each at most once for each state of its features: what cannot be made is not asked again."""
    for piece in chunks(list(states), FEATURES_PER_RUN):
        yield dg.RunRequest(
            run_key=_run_key(piece, states),
            job_name=choose_job_name(experiment),
            run_config=choose_config(experiment, ",".join(piece)),
            # Behind what somebody asks for meanwhile.
            tags={"baez/because": "controls whose partner is labelled by now", PRIORITY_TAG: "-1"},
        )


def _run_key(features: Collection[str], states: Mapping[str, str]) -> str:
    return hash_of({feature: states[feature] for feature in features})


def _features_asked_for(run: dg.DagsterRun) -> set[str]:
    configured: Mapping[str, Any] = dict(run.run_config)
    # Executed again by somebody, a request may be about anything.
    said = (op.get("config", {}).get("features", "") for op in configured.get("ops", {}).values())
    return set(",".join(said).split(","))


def _sensor_name(experiment: Experiment) -> str:
    return f"{experiment.name}_converge"


def _at_work(instance: dg.DagsterInstance, experiment: str, kept: Sequence[str]) -> set[str] | None:
    """The features of the experiment's runs that are not over; None while one of them still chooses its own."""
    runs = instance.get_runs(filters=RunsFilter(statuses=[DagsterRunStatus.QUEUED, *UNDER_WAY]))
    ours = [run for run in runs if _is_of(run, experiment)]
    if any(run.job_name == f"{experiment}_choose" for run in ours):
        return None
    return set().union(*(features_of_run(run, kept) for run in ours))


def _is_of(run: dg.DagsterRun, experiment: str) -> bool:
    of_assets = {key.path[0] for key in run.asset_selection or ()}
    return run.job_name.startswith(f"{experiment}_") or experiment in of_assets


def _last_end(instance: dg.DagsterInstance) -> str:
    """Which run ended last, and when: nothing has to be looked at again before that moves on."""
    ended = RunsFilter(statuses=[DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED])
    records = instance.get_run_records(filters=ended, limit=1, order_by="update_timestamp")
    return json.dumps([[each.dagster_run.run_id, each.update_timestamp.isoformat()] for each in records])
