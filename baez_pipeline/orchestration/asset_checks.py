"""Checks of a step's asset: what `steps/checks.py` finds, shown on its page; and runs that end where going on costs.

A check is over all features, so that a good run of three hides nothing of an earlier one. Rows that failed are shown on
each feature's partition, too, with the reason.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.events import DagsterEvent
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import BaezError
from baez_pipeline.orchestration.keys import asset_key
from baez_pipeline.orchestration.partitions import feature_partitions
from baez_pipeline.steps import Chain, Step
from baez_pipeline.steps.checks import (
    ALIGNMENT,
    COVERAGE,
    DESCRIPTIONS,
    FAILURE_RATE,
    SCHEMA,
    Tables,
    alignment_found,
    checks_of,
    coverage_found,
    failure_rate_found,
    schema_found,
    tables_of,
)
from baez_pipeline.steps.failures import Failures, failures_of, has_work, paid_behind, stop_sentence, too_many_failed
from baez_pipeline.steps.step import Found
from baez_pipeline.store import Address, Entry

RUNS_LOOKED_BACK = 20
"""Runs that were killed have planned an evaluation and made none."""


def check_specs(chain: Chain, step: Step, equipment: Equipment) -> list[dg.AssetCheckSpec]:
    """The checks of a step's asset. The failure rate is blocking where a step behind it asks a model with a price."""
    key = _key(equipment, step)
    blocking = {FAILURE_RATE} if paid_behind(chain, step, equipment) else set()
    own = {step.check.name: step.check.description} if step.check else {}
    return [
        dg.AssetCheckSpec(name, asset=key, description=description, blocking=name in blocking)
        for name, description in ({name: DESCRIPTIONS[name] for name in checks_of(step)} | own).items()
    ]


def evaluations(
    context: dg.AssetExecutionContext,
    chain: Chain,
    steps: Sequence[Step],
    equipment: Equipment,
    looked_at: Mapping[str, Sequence[str]],
) -> Iterator[dg.AssetCheckResult]:
    """Evaluate the chosen checks of an op's steps.

    Args:
        context: the op's.
        chain: the steps' own.
        steps: the op's.
        equipment: with the store.
        looked_at: step -> features that the op has looked at; none = it ran checks alone, or a step over all features.

    Raises:
        dg.Failure: after the last evaluation, where too many rows failed for the run to go on to steps that cost money;
            or a check cannot be made.
    """
    made = _Evaluations(context, chain, equipment)
    try:
        equipment.store.refresh()
        for step in steps:
            yield from made.of_step(step, looked_at.get(step.name, ()))
    except BaezError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    if made.stopped:
        # Dagster ends the op itself then, and says no more than the check's name.
        sentence = stop_sentence(made.stopped, list(made.not_started), equipment)
        raise dg.Failure(description=sentence, allow_retries=False)


class _Evaluations:
    """Of one op's checks, and which of them the run must not go on from."""

    def __init__(self, context: dg.AssetExecutionContext, chain: Chain, equipment: Equipment) -> None:
        self._context = context
        self._chain = chain
        self._equipment = equipment
        self.stopped: dict[str, Failures] = {}
        self.not_started: dict[str, None] = {}

    def of_step(self, step: Step, features: Sequence[str]) -> Iterator[dg.AssetCheckResult]:
        """The chosen ones of a step, whose features these are."""
        equipment, key = self._equipment, _key(self._equipment, step)
        chosen = {check.name for check in self._context.selected_asset_check_keys if check.asset_key == key}
        tables = tables_of(self._chain, step, equipment) if chosen else Tables([], {})
        if SCHEMA in chosen:
            yield _result(key, SCHEMA, schema_found(step, equipment, tables))
        if COVERAGE in chosen:
            covered = self._covered(step, tables, features)
            yield _result(key, COVERAGE, coverage_found(self._chain, step, equipment, tables, covered))
        if FAILURE_RATE in chosen:
            yield self._failure_rate(step, tables, features)
        if ALIGNMENT in chosen:
            yield _result(key, ALIGNMENT, alignment_found(tables, equipment))
        if step.check and step.check.name in chosen:
            yield _result(key, step.check.name, step.check.find(equipment))

    def _covered(self, step: Step, tables: Tables, features: Sequence[str]) -> set[str] | None:
        """Features that a run was about: this one's, and those that an earlier one has left as failed; None = all."""
        if not features or len(tables.entries) == len(tables.addresses):
            return None
        name, kept = self._equipment.experiment.name, self._chain.kept_features(self._equipment)
        key, partitions = _key(self._equipment, step), feature_partitions(name)
        shown = self._context.instance.get_status_by_partition(key, kept, partitions) or {}
        return {*features, *(feature for feature, status in shown.items() if status is AssetPartitionStatus.FAILED)}

    def _failure_rate(self, step: Step, tables: Tables, features: Sequence[str]) -> dg.AssetCheckResult:
        failing, key = failures_of(tables.entries).by_feature, _key(self._equipment, step)
        stopped = too_many_failed(tables.entries, self._equipment, set(features) if step.per_feature else None)
        if stopped and (paid := self._to_be_paid(step, features)):
            self.stopped[step.name] = stopped
            self.not_started |= dict.fromkeys(paid)
        found = failure_rate_found(tables, self._equipment, stopped=self.stopped.get(step.name))
        before = failing_before(self._context.instance, dg.AssetCheckKey(key, FAILURE_RATE)) if features else {}
        for evaluation in _of_features(key, tables, features, before, failing):
            # Written at once and in this order: the last one colours the asset.
            DagsterEvent.asset_check_evaluation(self._context.get_step_execution_context(), evaluation)
        return _result(key, FAILURE_RATE, found, failing=dg.MetadataValue.json(dict(failing)))

    def _to_be_paid(self, step: Step, features: Sequence[str]) -> list[str]:
        """Steps behind it that this run would make now, and that ask a model with a price."""
        in_run = self._context.job_def.asset_layer.selected_asset_keys
        return [
            name
            for name in paid_behind(self._chain, step, self._equipment)
            if _key(self._equipment, self._chain[name]) in in_run
            and has_work(self._chain, self._chain[name], self._equipment, features)
        ]


def failing_before(instance: dg.DagsterInstance, check: dg.AssetCheckKey) -> Mapping[str, int]:
    """Failed rows by feature as the check's last evaluation over all features has them."""
    over_all = PartitionKeyFilter(key=None)
    history = instance.event_log_storage.get_asset_check_execution_history(
        check, limit=RUNS_LOOKED_BACK, partition_filter=over_all
    )
    for record in history:
        event = record.event.dagster_event if record.event else None
        found = event.event_specific_data if event else None
        if isinstance(found, dg.AssetCheckEvaluation) and "failing" in found.metadata:
            value = found.metadata["failing"].value
            return {each: n for each, n in value.items() if isinstance(n, int)} if isinstance(value, Mapping) else {}
    return {}


def _of_features(
    key: dg.AssetKey,
    tables: Tables,
    features: Sequence[str],
    before: Mapping[str, int],
    failing: Mapping[str, int],
) -> Iterator[dg.AssetCheckEvaluation]:
    """Features that have recovered, and after them those that fail, with the reason.

    The newest evaluation of a feature colours the asset (that over all features counts from the run's start): where
    only others fail, one of them is said again after those that have recovered.
    """
    recovered = [feature for feature in features if feature in before and feature not in failing]
    for feature in recovered:
        yield dg.AssetCheckEvaluation(key, FAILURE_RATE, passed=True, partition=feature, metadata={"failed_rows": 0})
    at_fault = [feature for feature in features if feature in failing]
    shown = at_fault or (sorted(failing)[:1] if recovered else [])
    entries: dict[str, dict[Address, Entry]] = {feature: {} for feature in shown}
    for address, entry in tables.entries.items():
        if address.feature in entries:
            entries[address.feature][address] = entry
    for feature in shown:
        yield dg.AssetCheckEvaluation(
            key,
            FAILURE_RATE,
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            partition=feature,
            metadata={"failed_rows": failing[feature], "reason": failures_of(entries[feature]).sentence},
        )


def _result(key: dg.AssetKey, name: str, found: Found, **more: Any) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=key,
        passed=found.passed,
        severity=_severity(found),
        metadata={**found.details, **more},
    )


def _severity(found: Found) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if found.serious else dg.AssetCheckSeverity.WARN


def _key(equipment: Equipment, step: Step) -> dg.AssetKey:
    return asset_key(equipment.experiment, step.name)
