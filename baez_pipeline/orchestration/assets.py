"""Every step of the chain as an asset.

A per-feature asset's run takes a range of features, works them off in one process, and stores each as soon as it is
finished (design, decisions 1 and 2). Tables go through `store.py` in the body, not through an IO manager: an IO manager
is called once, with the whole output, after the last feature.
"""

import time
import warnings
from collections.abc import Iterator
from typing import Any

import dagster as dg

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import BaezError
from baez_pipeline.experiment import Experiment
from baez_pipeline.orchestration.metadata import column_schema, table_metadata
from baez_pipeline.orchestration.partitions import feature_partitions, register
from baez_pipeline.steps import Chain, Progress, Step, StepReport, run_step
from baez_pipeline.store import Address, Entry, hash_of
from baez_pipeline.tables import Pages

FEATURES_PER_RUN = 500
"""Features in one run of a backfill: a model is loaded once for all of them, and launching stays fast (design 1)."""

CHECK = "no_failed_rows"

SECONDS_BETWEEN_LINES = 2.0
"""Progress lines are events that the instance keeps: not one per feature where features take milliseconds."""

# backfill_policy= is marked beta in dagster 1.13; the warning would be printed once per asset.
warnings.filterwarnings("ignore", category=dg.BetaWarning)


def build_assets(chain: Chain, equipment: Equipment) -> list[dg.AssetsDefinition]:
    """One asset per step, keyed `<experiment>/<step>`."""
    return [_asset(chain, step, equipment) for step in chain]


def asset_key(experiment: Experiment, step: str) -> dg.AssetKey:
    """The key of a step's asset: prefixed, so that several experiments share one Dagster instance."""
    return dg.AssetKey([experiment.name, step])


def _asset(chain: Chain, step: Step, equipment: Equipment) -> dg.AssetsDefinition:
    experiment = equipment.experiment
    # feature_records follows from the roster's partitions, though none of its rows change a record.
    upstream = {name for part in step.parts(equipment) for name in step.reads(part)} or (
        {"feature_sample"} if step.per_feature else set()
    )

    @dg.asset(
        key=asset_key(experiment, step.name),
        description=step.description,
        deps=[asset_key(experiment, name) for name in sorted(upstream)],
        partitions_def=feature_partitions(experiment.name) if step.per_feature else None,
        backfill_policy=dg.BackfillPolicy.multi_run(FEATURES_PER_RUN) if step.per_feature else None,
        group_name=step.room,
        kinds={"parquet", "polars"},
        code_version=code_version(step, equipment),
        metadata={"dagster/column_schema": column_schema(step.schema)},
        check_specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=asset_key(experiment, step.name),
                description="No row has an outcome other than ok.",
            )
        ],
    )
    def made(context: dg.AssetExecutionContext) -> Iterator[Any]:
        features = list(context.partition_keys) if step.per_feature else []
        report = _run(context, chain, step, equipment, features)
        if step.name == "feature_sample":
            _register_partitions(context, chain, equipment)
        yield from _results(context, chain, step, equipment, features, report)

    return made


def code_version(step: Step, equipment: Equipment) -> str:
    """What of a step's fingerprint is known without its inputs, for Dagster's staleness marks."""
    return hash_of(
        {
            "version": step.version,
            "depends_on": {part or "": step.depends_on(equipment, part) for part in step.parts(equipment)},
        }
    )[:16]


def _run(
    context: dg.AssetExecutionContext, chain: Chain, step: Step, equipment: Equipment, features: list[str]
) -> StepReport:
    finished: set[str] = set()
    last_said = 0.0

    def tell(progress: Progress) -> None:
        nonlocal last_said
        if progress.done == progress.total or time.monotonic() - last_said > SECONDS_BETWEEN_LINES:
            last_said = time.monotonic()
            context.log.info(progress.sentence)
        if progress.unit.feature and progress.feature_finished:
            finished.add(progress.unit.feature)

    try:
        redo = context.run_tags.get("baez/redo_failed") == "true"
        return run_step(chain, step, equipment, features, redo_failed=redo, tell=tell)
    except BaezError as error:
        # What was finished is recorded before the step fails, so that a rerun does the rest alone.
        for feature in sorted(finished):
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=feature))
        raise dg.Failure(
            description=str(error),
            metadata={"finished": len(finished), "asked": len(features)},
            allow_retries=False,
        ) from error


def _register_partitions(context: dg.AssetExecutionContext, chain: Chain, equipment: Equipment) -> None:
    added, gone = register(context.instance, equipment.experiment.name, chain.kept_features(equipment))
    context.log.info(f"feature partitions: {added} added, {gone} taken away")


def _results(
    context: dg.AssetExecutionContext,
    chain: Chain,
    step: Step,
    equipment: Equipment,
    features: list[str],
    report: StepReport,
) -> Iterator[Any]:
    units: list[str | None] = [*features] or [None]
    cost = _cost_by_feature(step, equipment)
    for feature in units:
        metadata = _metadata_of(chain, step, equipment, feature)
        if cost is not None:
            metadata["usd_so_far"] = round(cost.get(feature or "", 0.0), 6)
        context.add_asset_metadata(metadata, asset_key=context.asset_key, partition_key=feature)
    failures = _failures(chain, step, equipment)
    yield dg.AssetCheckResult(
        check_name=CHECK,
        asset_key=context.asset_key,
        passed=not failures,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "features_with_failures": len(failures),
            "failed_rows": sum(failures.values()),
            "features": ", ".join(sorted(failures)[:50]),
        },
    )
    yield dg.MaterializeResult(
        asset_key=context.asset_key,
        metadata={
            "made": len(report.made),
            "already_fresh": len(set(report.already_fresh) - set(report.made)),
            "seconds": round(report.seconds, 2),
            **({} if cost is None else {"usd_so_far_all_features": round(sum(cost.values()), 6)}),
        },
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
    addresses = chain.addresses(step, equipment, [feature])
    entries = [entry for address in addresses if (entry := store.entry(address))]
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
    return {
        row["page"]: dg.MetadataValue.path(equipment.store.page_location(row["page"]))
        for row in pages.iter_rows(named=True)
    }
