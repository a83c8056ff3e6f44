"""Every step of the chain as an asset, and each family of steps as the op that makes its assets.

A per-feature asset's run takes many features, works them off in one process, and stores each as soon as it is finished
(design, decisions 1 and 2). The chosen assets of a family are made together, so that their requests share a model's
slots (steps/running.py). Tables go through `store.py` in the body, not through an IO manager: an IO manager is called
once, with the whole output, after the last feature.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dagster as dg

from baez_pipeline.equipment import Equipment
from baez_pipeline.orchestration import dead_runs
from baez_pipeline.orchestration.asset_checks import check_specs, evaluations
from baez_pipeline.orchestration.events import (
    Recorder,
    code_version,
    cost_by_feature,
    data_version,
    take_over,
    upstream_of,
)
from baez_pipeline.orchestration.failures import FIRST_WAIT_SECONDS, what_follows
from baez_pipeline.orchestration.keys import asset_key
from baez_pipeline.orchestration.metadata import column_schema, table_metadata
from baez_pipeline.orchestration.partitions import feature_partitions, register
from baez_pipeline.orchestration.pools import pool_of
from baez_pipeline.orchestration.selection import FEATURES_PER_RUN, REDO_FAILED, RESOURCE, SELECTION, Selection, chunks
from baez_pipeline.reports import FEATURE_INDEX
from baez_pipeline.steps import Chain, Progress, State, Step, StepReport, Unit, families, run_steps
from baez_pipeline.steps.survey import Survey
from baez_pipeline.store import Address
from baez_pipeline.tables import Pages

SECONDS_BETWEEN_LINES = 2.0
"""Progress lines are events that the instance keeps: not one per feature where features take milliseconds."""

# backfill_policy= is marked beta in dagster 1.13; the warning would be printed once per asset.
warnings.filterwarnings("ignore", category=dg.BetaWarning)


def build_assets(
    chain: Chain, equipment: Equipment, *, first_wait: float = FIRST_WAIT_SECONDS
) -> list[dg.AssetsDefinition]:
    """One asset per step, keyed `<experiment>/<step>`, and one op per family.

    Args:
        chain: the experiment's steps.
        equipment: what they work with.
        first_wait: seconds before an op that a silent service has stopped is tried again.
    """
    return [_assets(chain, family, steps, equipment, first_wait) for family, steps in families(chain).items()]


def _assets(
    chain: Chain, family: str, steps: Sequence[Step], equipment: Equipment, first_wait: float
) -> dg.AssetsDefinition:
    experiment = equipment.experiment
    keys = {step.name: asset_key(experiment, step.name) for step in steps}
    per_feature = steps[0].per_feature

    @dg.multi_asset(
        name=f"{experiment.name}__{family}",
        specs=[_spec(step, equipment) for step in steps],
        check_specs=[spec for step in steps for spec in check_specs(chain, step, equipment)],
        partitions_def=feature_partitions(experiment.name) if per_feature else None,
        backfill_policy=dg.BackfillPolicy.multi_run(FEATURES_PER_RUN) if per_feature else None,
        can_subset=True,
        pool=pool_of(steps, equipment),
        resource_defs={RESOURCE: SELECTION},
    )
    def made(context: dg.AssetExecutionContext, selection: Selection) -> Iterator[Any]:
        chosen = [step for step in steps if keys[step.name] in context.selected_asset_keys]
        dead_runs.mark(context.instance, context.run)
        # A run of checks alone has no partitions.
        features: list[str] = []
        if per_feature and chosen:
            features = make_of_features(context, chain, chosen, equipment, selection.features, first_wait)
            for step in chosen:
                yield dg.MaterializeResult(asset_key=keys[step.name])
        elif chosen:
            yield from _made_of_all(context, chain, chosen, equipment, first_wait)
        yield from evaluations(context, chain, steps, equipment, {step.name: features for step in chosen})

    return made


def _spec(step: Step, equipment: Equipment) -> dg.AssetSpec:
    experiment = equipment.experiment
    return dg.AssetSpec(
        asset_key(experiment, step.name),
        description=step.description,
        deps=[asset_key(experiment, name) for name in upstream_of(step, equipment)],
        group_name=step.room,
        kinds={"parquet", "polars"},
        code_version=code_version(step, equipment),
        metadata={"dagster/column_schema": column_schema(step.schema)},
    )


def make_of_features(
    context: dg.AssetExecutionContext,
    chain: Chain,
    steps: Sequence[Step],
    equipment: Equipment,
    told: list[str],
    first_wait: float,
) -> list[str]:
    """Make the tables of the run's features, and record each feature as it is finished.

    Args:
        context: the op's, of partitioned assets.
        chain: the steps' own.
        steps: of one family.
        equipment: what they work with.
        told: the run's features; none = its partitions, as Dagster chose them.
        first_wait: seconds before the op is tried again, where a silent service has stopped it.

    Returns:
        The features that were looked at: those among them that the roster keeps.
    """
    take_over(context)
    kept = set(chain.kept_features(equipment))
    features = [feature for feature in told or context.partition_keys if feature in kept]
    for piece in chunks(features):
        with Recorder(context, chain, equipment) as recorder:
            if told:
                # For a range that Dagster has chosen it did so itself.
                survey = Survey(chain, equipment)
                for step in steps:
                    recorder.plan(step, [each for each in piece if not _is_done(survey, chain, step, equipment, each)])

            def note(progress: Progress, recorder: Recorder = recorder) -> None:
                if progress.unit.feature and progress.feature_finished:
                    recorder.finish(chain[progress.step], progress.unit.feature)

            reports = _run(context, chain, steps, equipment, piece, note, recorder, first_wait)
            for step, report in zip(steps, reports, strict=True):
                others = [feature for feature in piece if feature not in report.made]
                # Dagster expects an event for each feature of a range that it has chosen, a fresh one's, too.
                for feature in recorder.unrecorded(step, others) if told else others:
                    recorder.finish(step, feature)
                context.log.info(_sentence(report, len(piece)))
    return features


def _is_done(survey: Survey, chain: Chain, step: Step, equipment: Equipment, feature: str) -> bool:
    addresses = chain.addresses(step, equipment, [feature])
    standings = (survey.standing(step, Unit(feature, address.part)) for address in addresses)
    return all(standing.state is State.FRESH for standing in standings)


def _made_of_all(
    context: dg.AssetExecutionContext, chain: Chain, steps: Sequence[Step], equipment: Equipment, first_wait: float
) -> Iterator[dg.MaterializeResult[None]]:
    """Make the tables over all features."""
    with Recorder(context, chain, equipment) as recorder:
        reports = _run(context, chain, steps, equipment, [], lambda progress: None, recorder, first_wait)
    for step, report in zip(steps, reports, strict=True):
        if step.name == "feature_sample":
            added, gone = register(context.instance, equipment.experiment.name, chain.kept_features(equipment))
            context.log.info(f"feature partitions: {added} added, {gone} taken away")
        yield _result(step, equipment, report)


def _run(
    context: dg.AssetExecutionContext,
    chain: Chain,
    steps: Sequence[Step],
    equipment: Equipment,
    features: list[str],
    note: Callable[[Progress], None],
    recorder: Recorder,
    first_wait: float,
) -> list[StepReport]:
    last_said: dict[str, float] = {}

    def tell(progress: Progress) -> None:
        since = time.monotonic() - last_said.get(progress.step, 0.0)
        if progress.done == progress.total or since > SECONDS_BETWEEN_LINES:
            last_said[progress.step] = time.monotonic()
            context.log.info(progress.sentence)
        note(progress)

    try:
        redo = context.run_tags.get(REDO_FAILED) == "true"
        return run_steps(chain, steps, equipment, features, redo_failed=redo, tell=tell)
    except BaseException as error:
        # What was finished is recorded before the op fails, so that a rerun does the rest alone.
        recorder.flush()
        follows = what_follows(
            error, tries_so_far=context.retry_number, finished=recorder.n_finished, first_wait=first_wait
        )
        if follows is error:
            raise
        if isinstance(follows, dg.RetryRequested):
            context.log.warning(f"{error} Tried again in {follows.seconds_to_wait or 0:.0f} s.")
        raise follows from error


def _sentence(report: StepReport, n_features: int) -> str:
    fresh = len(set(report.already_fresh) - set(report.made))
    waiting = len({unit.feature for unit in report.waiting})
    waits = f", {waiting} wait for another feature's label" if waiting else ""
    return f"{report.step}: {len(report.made)} of {n_features} features made, {fresh} were fresh{waits}"


def _result(step: Step, equipment: Equipment, report: StepReport) -> dg.MaterializeResult[None]:
    address = Address(table=step.name)
    entry = equipment.store.entry(address)
    assert entry is not None
    metadata = table_metadata(
        equipment.store.read(address, schema=step.schema), entry, equipment.store.location(address)
    )
    if step.markdown:
        metadata["table"] = dg.MetadataValue.md(step.markdown(equipment))
    if (cost := cost_by_feature(step, equipment)) is not None:
        metadata["usd_so_far_all_features"] = round(sum(cost.values()), 6)
    return dg.MaterializeResult(
        asset_key=asset_key(equipment.experiment, step.name),
        metadata=metadata | _pages(step, equipment) | {"seconds": round(report.seconds, 2)},
        data_version=dg.DataVersion(data_version([entry])),
    )


def _pages(step: Step, equipment: Equipment) -> dict[str, Any]:
    """Where a step's pages lie. Paths, not links: a browser opens no file from a page of a server."""
    if step.schema is not Pages:
        return {}
    pages = equipment.store.read(Address(table=step.name), schema=step.schema)
    # Not a thousand entries in the event log: what lies in a folder is reached from its index.
    shown = [page for page in pages["page"] if "/" not in page or page == FEATURE_INDEX]
    return {page: dg.MetadataValue.path(equipment.store.page_location(page)) for page in shown}
