"""What Dagster is told of features while an op works: which are planned, which are finished, and why rows failed.

Dagster's own way is one event per feature of the run's range when the op returns: a killed run then shows nothing of
what it had stored, a feature whose table waits is shown as made, and the features between chosen ones, too. Here each
feature is recorded within a second or so of its tables. Events go in batches of one asset and kind, because that is
what PostgreSQL's storage writes at once (21 ms each otherwise, field guide, dagster 2.3).
"""

import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import TracebackType

import dagster as dg
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_TAG,
    NULL_EVENT_POINTER,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEvent,
    DagsterEventBatchMetadata,
)
from dagster._core.storage.partition_status_cache import AssetPartitionStatus
from dagster._core.storage.tags import EXTERNALLY_MANAGED_ASSETS_TAG

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Experiment
from baez_pipeline.orchestration.keys import asset_key
from baez_pipeline.orchestration.metadata import feature_metadata
from baez_pipeline.orchestration.partitions import feature_partitions
from baez_pipeline.steps import Chain, Step
from baez_pipeline.steps.checks import entries_of
from baez_pipeline.store import Entry, hash_of

SECONDS_BETWEEN_BATCHES = 1.0
FEATURES_WITH_PREVIEW = 5
"""Of one op: a preview reads the table again (4 ms), and the event log keeps it."""

WE_RECORD = {EXTERNALLY_MANAGED_ASSETS_TAG: "true"}
"""Dagster's mark of a run whose materializations it leaves to others. Undocumented: test_events.py fails without it."""


def take_over(context: dg.AssetExecutionContext) -> None:
    """Leave the run's materializations to a `Recorder`, whoever has started the run.

    Dagster reads the mark from the run in memory when an op's output comes.
    """
    tags = context.run.tags
    assert isinstance(tags, dict)
    tags.update(WE_RECORD)


class Recorder:
    """Records the features of one op. Used by `with`: what is finished is recorded whatever ends the op."""

    def __init__(self, context: dg.AssetExecutionContext, chain: Chain, equipment: Equipment) -> None:
        self._context = context
        self._chain = chain
        self._equipment = equipment
        self._finished: dict[str, list[str]] = defaultdict(list)
        self._last_batch = time.monotonic()
        self._pause = SECONDS_BETWEEN_BATCHES
        self._previews: dict[str, int] = defaultdict(int)
        self.n_finished = 0

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    def plan(self, step: Step, features: Sequence[str]) -> None:
        """Show features as under way; if the run fails, those that are not finished by then are shown as failed."""
        events = [
            DagsterEvent.build_asset_materialization_planned_event(
                self._context.job_name,
                self._context.get_step_execution_context().step.key,
                AssetMaterializationPlannedData(self._key(step), partition=feature),
            )
            for feature in features
        ]
        for event, batch in zip(events, _batch(len(events)), strict=True):
            self._context.instance.report_dagster_event(
                event, self._context.run_id, logging.DEBUG, batch_metadata=batch
            )

    def finish(self, step: Step, feature: str) -> None:
        """A feature's tables of a step are stored."""
        self._finished[step.name].append(feature)
        if time.monotonic() - self._last_batch > self._pause:
            self.flush()

    def flush(self) -> None:
        """Record what is finished and not recorded yet."""
        begun = time.monotonic()
        finished, self._finished = self._finished, defaultdict(list)
        for step, features in finished.items():
            self._record(self._chain[step], features)
        self._last_batch = time.monotonic()
        # Where writing is slow, batches are larger: at most a tenth of the time goes into it.
        self._pause = max(SECONDS_BETWEEN_BATCHES, 10 * (self._last_batch - begun))

    def unrecorded(self, step: Step, features: Collection[str]) -> list[str]:
        """Of features whose tables are there, those that Dagster does not show as made."""
        if not features:
            return []
        shown = statuses(self._context.instance, self._equipment.experiment, step, features)
        # Planned and left, as it waits: shown as failed if anything later fails.
        return [feature for feature in features if shown[feature] is not AssetPartitionStatus.MATERIALIZED]

    def _record(self, step: Step, features: Sequence[str]) -> None:
        cost = cost_by_feature(step, self._equipment)
        made_after = self._context.instance.event_log_storage.get_maximum_record_id()
        there = []
        for feature in features:
            self._previews[step.name] += 1
            preview = self._previews[step.name] <= FEATURES_WITH_PREVIEW
            found = materialization(
                self._chain, step, self._equipment, feature, made_after=made_after, cost=cost, preview=preview
            )
            if found:
                there.append(found)
        step_context = self._context.get_step_execution_context()
        for each, batch in zip(there, _batch(len(there)), strict=True):
            DagsterEvent.asset_materialization(step_context, each, batch)
        self.n_finished += len(there)

    def _key(self, step: Step) -> dg.AssetKey:
        return asset_key(self._equipment.experiment, step.name)


def statuses(
    instance: dg.DagsterInstance, experiment: Experiment, step: Step, features: Collection[str]
) -> Mapping[str, AssetPartitionStatus | None]:
    """What the UI shows of features' partitions of a step; None for one that is blank, or is no partition yet.

    That a partition was made once is not what is shown: where a later run planned it and failed, it is red.
    """
    shown = instance.get_status_by_partition(
        asset_key(experiment, step.name), list(features), feature_partitions(experiment.name)
    )
    return shown or dict.fromkeys(features)


def materialization(
    chain: Chain,
    step: Step,
    equipment: Equipment,
    feature: str,
    *,
    made_after: int | None = None,
    cost: Mapping[str, float] | None = None,
    preview: bool = False,
) -> dg.AssetMaterialization | None:
    """What Dagster is told of a feature's tables of a step, marks of freshness included; None if none is there.

    Args:
        chain: the step's.
        step: whose tables.
        equipment: with the store.
        feature: which one.
        made_after: the newest event of the instance, behind which an input's event makes the tables stale; None if
            that is not known.
        cost: of each feature's tables so far, US dollars; None for a step that pays nobody.
        preview: with the first rows.
    """
    entries = entries_of(chain, step, equipment, feature)
    if not any(entries.values()):
        # All that it has waits for another feature's label.
        return None
    metadata = feature_metadata(step, equipment, entries, preview=preview)
    if cost is not None:
        metadata["usd_so_far"] = round(cost.get(feature, 0.0), 6)
    return dg.AssetMaterialization(
        asset_key(equipment.experiment, step.name),
        partition=feature,
        metadata=metadata,
        tags={
            CODE_VERSION_TAG: code_version(step, equipment),
            DATA_VERSION_TAG: data_version(entries.values()),
            **_input_versions(chain, step, equipment, feature, made_after),
        },
    )


def _input_versions(
    chain: Chain, step: Step, equipment: Equipment, feature: str, made_after: int | None
) -> dict[str, str]:
    """The data versions of what the tables were made from."""
    versions = {}
    for name in upstream_of(step, equipment):
        read = chain[name]
        entries = entries_of(chain, read, equipment, feature if read.per_feature else None)
        key = asset_key(equipment.experiment, name)
        versions[get_input_data_version_tag(key)] = data_version(entries.values())
        versions[get_input_event_pointer_tag(key)] = str(made_after or NULL_EVENT_POINTER)
    return versions


def upstream_of(step: Step, equipment: Equipment) -> list[str]:
    """The steps whose assets a step's asset follows from, sorted.

    feature_records follows from the roster's partitions, though none of its rows change a record.
    """
    read = {name for part in step.parts(equipment) for name in step.reads(part)}
    return sorted(read or ({"feature_sample"} if step.per_feature else set()))


def code_version(step: Step, equipment: Equipment) -> str:
    """What of a step's fingerprint is known without its inputs, for Dagster's staleness marks."""
    return hash_of(
        {
            "version": step.version,
            "depends_on": {part or "": step.depends_on(equipment, part) for part in step.parts(equipment)},
        }
    )[:16]


def data_version(entries: Iterable[Entry | None]) -> str:
    """The content of a feature's tables of a step, or of a table over all features, as Dagster's data version."""
    return hash_of([entry.content_hash for entry in entries if entry])[:16]


def cost_by_feature(step: Step, equipment: Equipment) -> dict[str, float] | None:
    """What each feature's table has cost, over all runs; None for a step that pays nobody."""
    if not step.asks(equipment):
        return None
    return equipment.answers.cost_by_feature(equipment.experiment.name, step.name)


def _batch(size: int) -> Iterator[DagsterEventBatchMetadata]:
    batch = str(uuid.uuid4())
    return (DagsterEventBatchMetadata(batch, is_end=index == size - 1) for index in range(size))
