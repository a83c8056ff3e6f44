"""Checks of a step's asset: of each feature with failed rows, with the reason, and of all features together."""

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.events import DagsterEvent

from baez_pipeline.equipment import Equipment
from baez_pipeline.steps import Chain, Check, Step
from baez_pipeline.steps.checks import entries_of, failing_features, reason_of_feature

CHECK = "no_failed_rows"

SHOWN_FEATURES = 50
RUNS_LOOKED_BACK = 20
"""Runs that were killed have planned an evaluation and made none."""


def check_specs(step: Step, key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks of a step's asset."""
    own = [dg.AssetCheckSpec(step.check.name, asset=key, description=step.check.description)] if step.check else []
    return [dg.AssetCheckSpec(CHECK, asset=key, description="No row has an outcome other than ok."), *own]


def evaluations(
    context: dg.AssetExecutionContext, chain: Chain, step: Step, equipment: Equipment, features: Sequence[str]
) -> Iterator[dg.AssetCheckResult]:
    """Evaluate the chosen checks of a step.

    Args:
        context: the op's.
        chain: the step's.
        step: whose checks.
        equipment: with the store.
        features: those that the op has looked at; none = it ran checks alone, or a step over all features.
    """
    key = dg.AssetKey([equipment.experiment.name, step.name])
    chosen = context.selected_asset_check_keys
    if (name := dg.AssetCheckKey(key, CHECK)) in chosen:
        before = failing_before(context.instance, name) if features else None
        failing = _failing_now(chain, step, equipment, features, before)
        for evaluation in _of_features(chain, step, equipment, key, features, before or {}, failing):
            # Written at once and in this order: the last one colours the asset.
            DagsterEvent.asset_check_evaluation(context.get_step_execution_context(), evaluation)
        yield _of_all(key, failing)
    if step.check and dg.AssetCheckKey(key, step.check.name) in chosen:
        yield _own(step.check, key, equipment)


def failing_before(instance: dg.DagsterInstance, check: dg.AssetCheckKey) -> dict[str, int] | None:
    """Failed rows by feature as the check's last evaluation over all features has them; None if there is none."""
    over_all = PartitionKeyFilter(key=None)
    history = instance.event_log_storage.get_asset_check_execution_history(
        check, limit=RUNS_LOOKED_BACK, partition_filter=over_all
    )
    for record in history:
        event = record.event.dagster_event if record.event else None
        found = event.event_specific_data if event else None
        if isinstance(found, dg.AssetCheckEvaluation) and "failing" in found.metadata:
            value = found.metadata["failing"].value
            return {each: n for each, n in value.items() if isinstance(n, int)} if isinstance(value, Mapping) else None
    return None


def _failing_now(
    chain: Chain, step: Step, equipment: Equipment, features: Sequence[str], before: Mapping[str, int] | None
) -> dict[str, int]:
    """Failed rows by feature, over all features: a good run of three must not hide what failed in an earlier one."""
    if before is None:
        return failing_features(chain, step, equipment, chain.kept_features(equipment) if step.per_feature else [None])
    others = {feature: n_failed for feature, n_failed in before.items() if feature not in set(features)}
    return others | failing_features(chain, step, equipment, features)


def _of_features(
    chain: Chain,
    step: Step,
    equipment: Equipment,
    key: dg.AssetKey,
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
        yield dg.AssetCheckEvaluation(key, CHECK, passed=True, partition=feature, metadata={"failed_rows": 0})
    at_fault = [feature for feature in features if feature in failing]
    for feature in at_fault or (sorted(failing)[:1] if recovered else []):
        reason = reason_of_feature(step, equipment, entries_of(chain, step, equipment, feature))
        yield dg.AssetCheckEvaluation(
            key,
            CHECK,
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            partition=feature,
            metadata={"failed_rows": failing[feature], "reason": reason or "rows failed without a reason"},
        )


def _of_all(key: dg.AssetKey, failing: Mapping[str, int]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=CHECK,
        asset_key=key,
        passed=not failing,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "features_with_failures": len(failing),
            "failed_rows": sum(failing.values()),
            "features": ", ".join(sorted(failing)[:SHOWN_FEATURES]),
            "failing": dg.MetadataValue.json(dict(failing)),
        },
    )


def _own(check: Check, key: dg.AssetKey, equipment: Equipment) -> dg.AssetCheckResult:
    found = check.find(equipment)
    return dg.AssetCheckResult(
        check_name=check.name,
        asset_key=key,
        passed=found.passed,
        severity=dg.AssetCheckSeverity.ERROR if found.serious else dg.AssetCheckSeverity.WARN,
        metadata=dict(found.details),
    )
