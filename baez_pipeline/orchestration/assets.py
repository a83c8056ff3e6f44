"""Every step of the chain as an asset, and each family of steps as the op that makes its assets.

A per-feature asset's run takes a range of features, works them off in one process, and stores each as soon as it is
finished (design, decisions 1 and 2). The chosen assets of a family are made together, so that their requests share a
model's slots (steps/running.py). Tables go through `store.py` in the body, not through an IO manager: an IO manager is
called once, with the whole output, after the last feature.
"""

import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import BaezError
from baez_pipeline.experiment import Experiment
from baez_pipeline.orchestration.metadata import column_schema, table_metadata
from baez_pipeline.orchestration.partitions import feature_partitions, register
from baez_pipeline.reports import FEATURE_INDEX
from baez_pipeline.steps import Chain, Check, Progress, Step, StepReport, families, run_steps
from baez_pipeline.store import Address, Entry, hash_of
from baez_pipeline.tables import Pages

FEATURES_PER_RUN = 500
"""Features in one run of a backfill: a model is loaded once for all of them, and launching stays fast (design 1)."""

CHECK = "no_failed_rows"

GPU_POOL = "gpu"
"""Ops of runs at the same time take turns in it: one GPU holds one model at a time. Its limit: dagster.yaml."""

SECONDS_BETWEEN_LINES = 2.0
"""Progress lines are events that the instance keeps: not one per feature where features take milliseconds."""

# backfill_policy= is marked beta in dagster 1.13; the warning would be printed once per asset.
warnings.filterwarnings("ignore", category=dg.BetaWarning)


def build_assets(chain: Chain, equipment: Equipment) -> list[dg.AssetsDefinition]:
    """One asset per step, keyed `<experiment>/<step>`, and one op per family."""
    return [_assets(chain, family, steps, equipment) for family, steps in families(chain).items()]


def asset_key(experiment: Experiment, step: str) -> dg.AssetKey:
    """The key of a step's asset: prefixed, so that several experiments share one Dagster instance."""
    return dg.AssetKey([experiment.name, step])


def _assets(chain: Chain, family: str, steps: Sequence[Step], equipment: Equipment) -> dg.AssetsDefinition:
    experiment = equipment.experiment
    keys = {step.name: asset_key(experiment, step.name) for step in steps}
    per_feature = steps[0].per_feature

    @dg.multi_asset(
        name=f"{experiment.name}__{family}",
        specs=[_spec(step, equipment) for step in steps],
        check_specs=[spec for step in steps for spec in _check_specs(step, keys[step.name])],
        partitions_def=feature_partitions(experiment.name) if per_feature else None,
        backfill_policy=dg.BackfillPolicy.multi_run(FEATURES_PER_RUN) if per_feature else None,
        can_subset=True,
        pool=GPU_POOL if any(step.uses_gpu(equipment) for step in steps) else None,
    )
    def made(context: dg.AssetExecutionContext) -> Iterator[Any]:
        chosen = [step for step in steps if keys[step.name] in context.selected_asset_keys]
        # A run of checks alone has no partitions.
        features = list(context.partition_keys) if per_feature and chosen else []
        for step, report in zip(chosen, _run(context, chain, chosen, equipment, features), strict=True):
            if step.name == "feature_sample":
                _register_partitions(context, chain, equipment)
            yield _result(context, chain, step, equipment, features, report)
        for step in steps:
            if dg.AssetCheckKey(keys[step.name], CHECK) in context.selected_asset_check_keys:
                yield _check(chain, step, equipment)
            if step.check and dg.AssetCheckKey(keys[step.name], step.check.name) in context.selected_asset_check_keys:
                yield _own_check(step.check, keys[step.name], equipment)

    return made


def _check_specs(step: Step, key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    own = [dg.AssetCheckSpec(step.check.name, asset=key, description=step.check.description)] if step.check else []
    return [dg.AssetCheckSpec(CHECK, asset=key, description="No row has an outcome other than ok."), *own]


def _spec(step: Step, equipment: Equipment) -> dg.AssetSpec:
    experiment = equipment.experiment
    # feature_records follows from the roster's partitions, though none of its rows change a record.
    upstream = {name for part in step.parts(equipment) for name in step.reads(part)} or (
        {"feature_sample"} if step.per_feature else set()
    )
    return dg.AssetSpec(
        asset_key(experiment, step.name),
        description=step.description,
        deps=[asset_key(experiment, name) for name in sorted(upstream)],
        group_name=step.room,
        kinds={"parquet", "polars"},
        code_version=code_version(step, equipment),
        metadata={"dagster/column_schema": column_schema(step.schema)},
    )


def code_version(step: Step, equipment: Equipment) -> str:
    """What of a step's fingerprint is known without its inputs, for Dagster's staleness marks."""
    return hash_of(
        {
            "version": step.version,
            "depends_on": {part or "": step.depends_on(equipment, part) for part in step.parts(equipment)},
        }
    )[:16]


def _run(
    context: dg.AssetExecutionContext, chain: Chain, steps: Sequence[Step], equipment: Equipment, features: list[str]
) -> list[StepReport]:
    finished: dict[str, set[str]] = defaultdict(set)
    last_said: dict[str, float] = {}

    def tell(progress: Progress) -> None:
        since = time.monotonic() - last_said.get(progress.step, 0.0)
        if progress.done == progress.total or since > SECONDS_BETWEEN_LINES:
            last_said[progress.step] = time.monotonic()
            context.log.info(progress.sentence)
        if progress.unit.feature and progress.feature_finished:
            finished[progress.step].add(progress.unit.feature)

    try:
        redo = context.run_tags.get("baez/redo_failed") == "true"
        return run_steps(chain, steps, equipment, features, redo_failed=redo, tell=tell)
    except BaezError as error:
        # What was finished is recorded before the op fails, so that a rerun does the rest alone.
        for step, of_step in finished.items():
            for feature in sorted(of_step):
                context.log_event(dg.AssetMaterialization(asset_key(equipment.experiment, step), partition=feature))
        raise dg.Failure(
            description=str(error),
            metadata={
                "finished": sum(len(of_step) for of_step in finished.values()),
                "asked": len(features) * len(steps),
            },
            allow_retries=False,
        ) from error


def _register_partitions(context: dg.AssetExecutionContext, chain: Chain, equipment: Equipment) -> None:
    added, gone = register(context.instance, equipment.experiment.name, chain.kept_features(equipment))
    context.log.info(f"feature partitions: {added} added, {gone} taken away")


def _result(
    context: dg.AssetExecutionContext,
    chain: Chain,
    step: Step,
    equipment: Equipment,
    features: list[str],
    report: StepReport,
) -> dg.MaterializeResult[None]:
    key = asset_key(equipment.experiment, step.name)
    units: list[str | None] = [*features] or [None]
    cost = _cost_by_feature(step, equipment)
    for feature in units:
        metadata = _metadata_of(chain, step, equipment, feature)
        if cost is not None:
            metadata["usd_so_far"] = round(cost.get(feature or "", 0.0), 6)
        context.add_asset_metadata(metadata, asset_key=key, partition_key=feature)
    return dg.MaterializeResult(
        asset_key=key,
        metadata={
            "made": len(report.made),
            "already_fresh": len(set(report.already_fresh) - set(report.made)),
            **({"waiting_for_another_features_label": len(report.waiting)} if report.waiting else {}),
            "seconds": round(report.seconds, 2),
            **({} if cost is None else {"usd_so_far_all_features": round(sum(cost.values()), 6)}),
        },
    )


def _check(chain: Chain, step: Step, equipment: Equipment) -> dg.AssetCheckResult:
    failures = _failures(chain, step, equipment)
    return dg.AssetCheckResult(
        check_name=CHECK,
        asset_key=asset_key(equipment.experiment, step.name),
        passed=not failures,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "features_with_failures": len(failures),
            "failed_rows": sum(failures.values()),
            "features": ", ".join(sorted(failures)[:50]),
        },
    )


def _own_check(check: Check, key: dg.AssetKey, equipment: Equipment) -> dg.AssetCheckResult:
    found = check.find(equipment)
    return dg.AssetCheckResult(
        check_name=check.name,
        asset_key=key,
        passed=found.passed,
        severity=dg.AssetCheckSeverity.ERROR if found.serious else dg.AssetCheckSeverity.WARN,
        metadata=dict(found.details),
    )


def _cost_by_feature(step: Step, equipment: Equipment) -> dict[str, float] | None:
    """What each feature's table has cost, over all runs; None for a step that pays nobody."""
    if not step.asks(equipment):
        return None
    return equipment.answers.cost_by_feature(equipment.experiment.name, step.name)


def _failures(chain: Chain, step: Step, equipment: Equipment) -> dict[str, int]:
    """Failed rows by feature, over all features: a good run of three must not hide what failed in an earlier one."""
    features: list[str | None] = [*chain.kept_features(equipment)] if step.per_feature else [None]
    failures: dict[str, int] = {}
    for feature in features:
        entries = [equipment.store.entry(address) for address in chain.addresses(step, equipment, [feature])]
        if n_failed := sum(entry.n_failed for entry in entries if entry):
            failures[feature or step.name] = n_failed
    return failures


def _metadata_of(chain: Chain, step: Step, equipment: Equipment, feature: str | None) -> dict[str, Any]:
    store = equipment.store
    # A control may still wait for another feature's label.
    found = {
        address: entry for address in chain.addresses(step, equipment, [feature]) if (entry := store.entry(address))
    }
    addresses, entries = list(found), list(found.values())
    frame = store.read(addresses, schema=step.schema)
    total = Entry(
        fingerprint=entries[0].fingerprint,
        content_hash=entries[0].content_hash,
        n_rows=frame.height,
        n_failed=sum(entry.n_failed for entry in entries),
    )
    metadata = table_metadata(frame, total, store.location(addresses[0]))
    if step.markdown:
        metadata["table"] = dg.MetadataValue.md(step.markdown(equipment))
    return metadata | _pages(step, equipment)


def _pages(step: Step, equipment: Equipment) -> dict[str, Any]:
    """Where a step's pages lie. Paths, not links: a browser opens no file from a page of a server."""
    if step.schema is not Pages:
        return {}
    pages = equipment.store.read(Address(table=step.name), schema=step.schema)
    # Not a thousand entries in the event log: what lies in a folder is reached from its index.
    shown = [page for page in pages["page"] if "/" not in page or page == FEATURE_INDEX]
    return {page: dg.MetadataValue.path(equipment.store.page_location(page)) for page in shown}
