"""What we rely on in Dagster and what it does not document: each of these fails when an upgrade takes it away."""

import dagster as dg
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from baez_pipeline.orchestration.events import WE_RECORD, take_over

KEYS = [f"k{i}" for i in range(5)]
FEATURES = dg.DynamicPartitionsDefinition(name="features")
RANGE = {ASSET_PARTITION_RANGE_START_TAG: "k1", ASSET_PARTITION_RANGE_END_TAG: "k3"}


def run(body, tags):
    """Which features two assets, one after the other, are shown as made after a run of k1 to k3."""

    @dg.asset(partitions_def=FEATURES, backfill_policy=dg.BackfillPolicy.multi_run(10))
    def first(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        body(context)
        return dg.MaterializeResult()

    @dg.asset(partitions_def=FEATURES, backfill_policy=dg.BackfillPolicy.multi_run(10), deps=[first])
    def second(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        body(context)
        return dg.MaterializeResult()

    job = dg.define_asset_job("both", selection=dg.AssetSelection.assets(first, second))
    definitions = dg.Definitions(assets=[first, second], jobs=[job], executor=dg.in_process_executor)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("features", KEYS)
        result = definitions.resolve_job_def("both").execute_in_process(instance=instance, tags=tags)
        planned = [event for event in result.all_events if event.is_asset_materialization_planned]
        return [
            sorted(instance.get_materialized_partitions(dg.AssetKey(name))) for name in ("first", "second")
        ], planned


def one_of_them(context):
    take_over(context)
    context.log_event(dg.AssetMaterialization(context.asset_key, partition="k2"))


def test_without_our_mark_dagster_shows_the_whole_range_as_made():
    made, _ = run(lambda context: None, RANGE)
    assert made == [["k1", "k2", "k3"]] * 2


@pytest.mark.parametrize("tags", [RANGE, RANGE | WE_RECORD], ids=["a run of dagster's own", "a run of ours"])
def test_with_it_only_what_was_recorded_is_shown_and_what_follows_runs(tags):
    made, _ = run(one_of_them, tags)
    assert made == [["k2"], ["k2"]]
