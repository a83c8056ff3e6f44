"""Dagster's storage on a real PostgreSQL, in this process and in a run's own."""

import importlib.util
import os
import subprocess
import sys

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.events import DagsterEvent, DagsterEventBatchMetadata, StepMaterializationData
from dagster._core.execution.api import execute_run
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster._grpc.types import ExecuteRunArgs

from baez_pipeline_tests.postgres_server import binaries, postgres

pytestmark = pytest.mark.skipif(
    binaries() is None or importlib.util.find_spec("dagster_postgres") is None,
    reason="needs PostgreSQL (Debian's package postgresql) and the extra postgres",
)

PARTITIONS = dg.DynamicPartitionsDefinition(name="keys")
STORAGE = {"module": "baez_pipeline.orchestration.postgres", "class": "PooledPostgresStorage"}
MATERIALIZATION = dg.DagsterEventType.ASSET_MATERIALIZATION


@dg.asset(partitions_def=PARTITIONS, backfill_policy=dg.BackfillPolicy.single_run())
def first(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    storage = context.instance.event_log_storage
    return dg.MaterializeResult(
        metadata={
            "process": os.getpid(),
            "event_log": type(storage).__name__,
            "pools": " ".join(type(each._engine.pool).__name__ for each in (storage, context.instance.run_storage)),
            "batch": os.environ.get("DAGSTER_EVENT_BATCH_SIZE", "0"),
        }
    )


@dg.asset(partitions_def=PARTITIONS, deps=[first], backfill_policy=dg.BackfillPolicy.single_run())
def second() -> None:
    pass


defs = dg.Definitions(
    assets=[first, second],
    jobs=[dg.define_asset_job("both", partitions_def=PARTITIONS)],
    executor=dg.in_process_executor,
)


@pytest.fixture(scope="module")
def server():
    with postgres() as running:
        yield running


@pytest.fixture
def instance(server, tmp_path, monkeypatch):
    """As a dagster.yaml of somebody who names the driver that SQLAlchemy takes for granted."""
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
    # Set by the storage: whatever it sets is taken away again.
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("TEST_POSTGRES_URL", server.new_database().replace("postgresql+psycopg2:", "postgresql:"))
    storage = {"custom": STORAGE | {"config": {"postgres_url": {"env": "TEST_POSTGRES_URL"}}}}
    settings = {"telemetry": {"enabled": False}, "storage": storage}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with dg.DagsterInstance.get() as found:
        yield found
    os.environ.pop("DAGSTER_EVENT_BATCH_SIZE", None)


def job():
    """What a run's process finds by this file's path and this name."""
    return defs.resolve_job_def("both")


def created_run(instance, keys):
    instance.add_dynamic_partitions("keys", keys)
    return instance.create_run_for_job(
        job(),
        tags={ASSET_PARTITION_RANGE_START_TAG: keys[0], ASSET_PARTITION_RANGE_END_TAG: keys[-1]},
        job_code_origin=ReconstructableJob.for_file(__file__, "job").get_python_origin(),
    )


@pytest.fixture
def written(instance, monkeypatch):
    """How many events each call of this process wrote."""
    storage = type(instance.event_log_storage)
    sizes = {"store_event": [], "store_event_batch": []}
    for name, found in sizes.items():
        whole = getattr(storage, name)

        def counted(self, events, whole=whole, found=found):
            found.append(len(events) if isinstance(events, list) else 1)
            return whole(self, events)

        monkeypatch.setattr(storage, name, counted)
    return sizes


def planned(instance, asset):
    filters = dg.EventRecordsFilter(dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, asset_key=dg.AssetKey(asset))
    return [record.partition_key for record in instance.get_event_records(filters, ascending=True)]


def test_a_runs_own_process_has_the_pool_and_writes_in_batches(instance):
    keys = ["a", "b", "c"]
    run = created_run(instance, keys)
    asked = ExecuteRunArgs(job_origin=run.job_code_origin, run_id=run.run_id, instance_ref=instance.get_ref())
    subprocess.run([sys.executable, "-m", *asked.get_command_args()], check=True, capture_output=True)
    assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.SUCCESS
    event = instance.get_latest_materialization_event(dg.AssetKey("first"))
    said = {name: value.value for name, value in event.asset_materialization.metadata.items()}
    assert said.pop("process") != os.getpid()
    assert said == {"event_log": "BatchedEventLog", "pools": "QueuePool QueuePool", "batch": "500"}
    for asset in ("first", "second"):
        assert instance.get_materialized_partitions(dg.AssetKey(asset)) == set(keys)


def test_the_planned_events_of_all_assets_of_a_run_are_one_batch(instance, written):
    keys = ["a", "b", "c"]
    run = created_run(instance, keys)
    assert written == {"store_event": [], "store_event_batch": [6]}
    assert sorted(planned(instance, "first")) == sorted(planned(instance, "second")) == keys
    for record in instance.get_asset_records([dg.AssetKey("first"), dg.AssetKey("second")]):
        assert record.asset_entry.last_run_id == run.run_id


def test_what_is_read_back_of_a_batch_is_what_single_events_give(instance, monkeypatch):
    keys = ["a", "b", "c"]
    found = {}
    for size in ("500", "0"):
        monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", size)
        instance.wipe_assets([dg.AssetKey("first"), dg.AssetKey("second")])
        run = created_run(instance, keys)
        assert execute_run(InMemoryJob(job()), run, instance).success
        statuses = get_and_update_asset_status_cache_value(instance, dg.AssetKey("second"), PARTITIONS)
        found[size] = (
            [
                (entry.dagster_event_type, entry.dagster_event and entry.dagster_event.partition, entry.step_key)
                for entry in instance.all_logs(run.run_id)
            ],
            instance.get_latest_storage_id_by_partition(dg.AssetKey("second"), MATERIALIZATION).keys(),
            instance.get_latest_materialization_event(dg.AssetKey("second")).dagster_event.partition,
            statuses.deserialize_materialized_partition_subsets(PARTITIONS).get_partition_keys(),
        )
    assert found["500"] == found["0"]
    assert found["0"][1] == set(keys)


def test_each_event_of_a_batch_has_its_own_tags_and_each_asset_its_own_last_event(instance):
    assets = [dg.AssetKey("first"), dg.AssetKey("second")]
    made = [
        dg.AssetMaterialization(asset, partition=key, tags={DATA_VERSION_TAG: key}) for key in "abc" for asset in assets
    ]
    for place, materialization in enumerate(made):
        event = DagsterEvent(
            event_type_value=MATERIALIZATION.value,
            job_name="",
            event_specific_data=StepMaterializationData(materialization),
        )
        batch = DagsterEventBatchMetadata("batch", is_end=place == len(made) - 1)
        instance.report_dagster_event(event, run_id="somebodys", batch_metadata=batch)
    for asset in assets:
        records = instance.fetch_materializations(asset, limit=10).records
        tags = instance.event_log_storage.get_event_tags_for_asset
        found = {record.partition_key: tags(asset, filter_event_id=record.storage_id) for record in records}
        assert found == {key: [{DATA_VERSION_TAG: key}] for key in "abc"}
        assert instance.get_latest_materialization_event(asset).dagster_event.partition == "c"


def test_a_batch_size_of_somebodys_own_is_kept(instance, monkeypatch):
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "7")
    with dg.DagsterInstance.get():
        assert os.environ["DAGSTER_EVENT_BATCH_SIZE"] == "7"


def test_a_server_that_closed_its_connections_costs_no_event(instance):
    created_run(instance, ["a"])
    engine = instance.event_log_storage._engine
    with engine.connect() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
        connection.exec_driver_sql(f"{others} pg_backend_pid()")
        connection.invalidate()
    run = created_run(instance, ["a", "b"])
    assert execute_run(InMemoryJob(job()), run, instance).success
    assert instance.get_materialized_partitions(dg.AssetKey("second")) == {"a", "b"}
