"""The sensor `<experiment>_converge`: what the UI shows follows what is stored, without anybody's help.

A run that was killed has stored more than it could record, and a control whose partner's label came in a later run was
left. Both are put right here, a minute after no run is at work on the features concerned.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import dagster as dg
from dagster._core.storage.dagster_run import DagsterRunStatus, RunsFilter

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import BaezError
from baez_pipeline.orchestration.choose import choose_config, choose_job_name
from baez_pipeline.orchestration.dead_runs import UNDER_WAY
from baez_pipeline.orchestration.events import materialization
from baez_pipeline.orchestration.left import left_by_partners
from baez_pipeline.orchestration.partitions import register
from baez_pipeline.orchestration.selection import FEATURES_PER_RUN, features_of_run
from baez_pipeline.steps import Chain
from baez_pipeline.steps.checks import entries_of
from baez_pipeline.store import hash_of

SECONDS_BETWEEN_LOOKS = 60
EVENTS_PER_LOOK = 500
"""An event takes 20 ms on SQLite, and the daemon writes them while nothing else of it goes on."""


class Differences(NamedTuple):
    """Between what is stored and what Dagster shows."""

    to_report: Mapping[str, Sequence[str]]
    """Step -> features with tables that Dagster does not show as made."""
    to_request: Sequence[str]
    """Features that lack nothing but a control whose partner is labelled by now; at most one more than a run takes."""


def build_converge_sensor(chain: Chain, equipment: Equipment, choose: dg.JobDefinition) -> dg.SensorDefinition:
    """The experiment's sensor; it is on unless somebody switches it off."""
    experiment = equipment.experiment

    @dg.sensor(
        name=f"{experiment.name}_converge",
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
            idle = dict.fromkeys(feature for feature in kept if feature not in at_work)
            found = _look(chain, equipment, instance, idle)
        except BaezError as error:
            return dg.SkipReason(str(error))
        if not at_work:
            register(instance, experiment.name, kept)
        told = (
            materialization(chain, chain[step], equipment, feature)
            for step, features in found.to_report.items()
            for feature in features
        )
        events = [event for event in islice(told, EVENTS_PER_LOOK + 1) if event]
        # With more to report than one look does, the next look goes on. What runs are at work on comes when they end.
        done = len(events) <= EVENTS_PER_LOOK and len(found.to_request) <= FEATURES_PER_RUN
        return dg.SensorResult(
            asset_events=events[:EVENTS_PER_LOOK],
            run_requests=_requests(chain, equipment, found.to_request),
            cursor=cursor if done else context.cursor,
        )

    return converge


def _look(chain: Chain, equipment: Equipment, instance: dg.DagsterInstance, features: Collection[str]) -> Differences:
    """What is to be put right of these features."""
    to_report = {}
    for step in chain:
        if not step.per_feature:
            continue
        # One pass over what the table's files say: asked feature by feature, a look at 10,000 took 13 s.
        parts = set(step.parts(equipment))
        stored = {address.feature for address in equipment.store.entries(step.name) if address.part in parts}
        shown = instance.get_materialized_partitions(dg.AssetKey([equipment.experiment.name, step.name]))
        if missing := [each for each in features if each in stored and each not in shown]:
            to_report[step.name] = missing
    left = islice(left_by_partners(chain, equipment, features), FEATURES_PER_RUN + 1)
    return Differences(to_report, list(left))


def _requests(chain: Chain, equipment: Equipment, features: Sequence[str]) -> list[dg.RunRequest]:
    """One run for the features, at most once for each state of theirs: what cannot be made is not asked for again."""
    experiment, asked = equipment.experiment, list(features[:FEATURES_PER_RUN])
    if not asked:
        return []
    state = {
        feature: [
            entry.content_hash if entry else None
            for step in chain
            if step.per_feature
            for entry in entries_of(chain, step, equipment, feature).values()
        ]
        for feature in asked
    }
    return [
        dg.RunRequest(
            run_key=hash_of(state),
            job_name=choose_job_name(experiment),
            run_config=choose_config(experiment, ",".join(asked)),
            tags={"baez/because": "controls whose partner is labelled by now"},
        )
    ]


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
