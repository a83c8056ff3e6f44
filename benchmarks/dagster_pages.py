"""What a person waits for in Dagster's UI: the queries behind its pages, asked of a running webserver.

    .venv/bin/python -m benchmarks.dagster_pages --features 1000 10000 25000 --storage sqlite postgres

An instance gets the embedded experiment's partitions, as many as asked for, each materialized for every per-feature
asset (rows put into the event log, nothing is run). `dagster-webserver` serves it on the loopback interface, without a
daemon, so that a launched backfill stays as it was launched. A query is timed twice: the first fills Dagster's caches.
"""

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
from dagster._core.events import DagsterEvent, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from rich import box
from rich.console import Console
from rich.table import Table

from baez_pipeline.experiment import Experiment, load_experiment
from baez_pipeline.orchestration.keys import asset_key
from baez_pipeline.orchestration.partitions import register
from baez_pipeline.steps import build_chain
from baez_pipeline_tests.postgres_server import postgres
from benchmarks.bare_chain import OURS, SQLITE, instance_on, storages

STORAGES = {"sqlite": SQLITE, "postgres": OURS}
ROWS_AT_ONCE = 5000
STALE_KEYS = 200
"""Partitions whose staleness a page asks for at a time."""
SECONDS_TO_START = 120
_STATUSES = (
    "id partitionKeysByDimension { name partitionKeys } assetPartitionStatuses { ... on DefaultPartitionStatuses "
    "{ materializedPartitions failedPartitions unmaterializedPartitions materializingPartitions } }"
)
_OF_ONE = "query($one: [AssetKeyInput!]) { assetNodes(assetKeys: $one)"
_OF_ALL = "query($all: [AssetKeyInput!]) { assetNodes(assetKeys: $all)"
QUERIES = {
    "asset page, its partitions": f"{_OF_ONE} {{ {_STATUSES} }} }}",
    "backfill dialog, all assets": f"{_OF_ALL} {{ {_STATUSES} }} }}",
    "graph, counts of all assets": f"{_OF_ALL} {{ id partitionStats "
    "{ numMaterialized numMaterializing numPartitions numFailed } } }",
    "asset page, one partition": "query($one: [AssetKeyInput!], $key: [String!]) { assetNodes(assetKeys: $one) "
    "{ id latestMaterializationByPartition(partitions: $key) { timestamp runId } } }",
    f"staleness of {STALE_KEYS} partitions": "query($one: [AssetKeyInput!], $keys: [String!]!) { assetNodes("
    "assetKeys: $one) { id staleStatusByPartition(partitions: $keys) } }",
    "asset page, 100 newest events": "query($first: AssetKeyInput!) { assetOrError(assetKey: $first) { ... on Asset "
    "{ assetMaterializations(limit: 100) { partition timestamp } } } }",
    "launch a backfill of all": "mutation($all: [AssetKeyInput!]) { launchPartitionBackfill(backfillParams: "
    "{ assetSelection: $all, allPartitions: true }) { __typename ... on PythonError { message } } }",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, nargs="+", default=[1000])
    parser.add_argument("--storage", nargs="+", choices=STORAGES, default=["sqlite"])
    asked = parser.parse_args()
    table = Table(title=f"seconds, first / second, load {os.getloadavg()[0]:.1f}", box=box.SIMPLE)
    table.add_column("query")
    columns = []
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres()) if "postgres" in asked.storage else None
        for storage in asked.storage:
            for features in asked.features:
                chosen = next(found for found in storages(server) if found.name == STORAGES[storage])
                with instance_on(chosen) as instance:
                    columns.append(_measured(instance, features))
                table.add_column(f"{features:,} {storage}", justify="right")
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    Console().print(table)


def _measured(instance: dg.DagsterInstance, features: int) -> dict[str, str]:
    experiment = load_experiment("smollm2")
    keys = [f"20-made-up_{index:06d}" for index in range(features)]
    register(instance, experiment.name, keys)
    assets = [asset_key(experiment, step.name) for step in build_chain(experiment) if step.per_feature]
    for asset in assets:
        _materialize(instance, asset, keys)
    paths = [{"path": list(asset.path)} for asset in assets]
    variables = {"one": paths[:1], "first": paths[0], "all": paths, "key": keys[-1:], "keys": keys[:STALE_KEYS]}
    found = {}
    with _webserver(experiment) as (process, client):
        for name, query in QUERIES.items():
            found[name] = " / ".join(f"{_seconds(client, query, variables):.2f}" for _ in range(2))
        found["memory, MiB"] = f"{_memory_mebibytes(process.pid):,.0f}"
    return found


def _materialize(instance: dg.DagsterInstance, asset: dg.AssetKey, keys: Sequence[str]) -> None:
    storage = instance.event_log_storage
    for start in range(0, len(keys), ROWS_AT_ONCE):
        events = [_event(asset, key) for key in keys[start : start + ROWS_AT_ONCE]]
        with storage.index_connection() as connection:
            connection.execute(SqlEventLogStorageTable.insert(), [storage._event_to_row(event) for event in events])
    instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=keys[-1]))


def _event(asset: dg.AssetKey, key: str) -> EventLogEntry:
    made = DagsterEvent(
        event_type_value=dg.DagsterEventType.ASSET_MATERIALIZATION.value,
        job_name="made_up",
        event_specific_data=StepMaterializationData(dg.AssetMaterialization(asset, partition=key)),
    )
    return EventLogEntry(
        error_info=None, level=20, user_message="", run_id="made_up", timestamp=time.time(), dagster_event=made
    )


@contextlib.contextmanager
def _webserver(experiment: Experiment) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["-m", "baez_pipeline.definitions", "-h", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "dagster_webserver", *arguments],
        env=os.environ | {"BAEZ_EXPERIMENT": experiment.name},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300) as client:
            _wait_for(client, process)
            yield process, client
    finally:
        process.terminate()
        process.wait()


def _wait_for(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            client.get("/server_info")
            return
        time.sleep(0.2)
    raise RuntimeError("dagster-webserver did not start")


def _seconds(client: httpx.Client, query: str, variables: dict[str, Any]) -> float:
    sent = {name: value for name, value in variables.items() if f"${name}:" in query}
    begun = time.monotonic()
    answer = client.post("/graphql", json={"query": query, "variables": sent})
    taken = time.monotonic() - begun
    said = answer.json()
    assert "errors" not in said and "PythonError" not in answer.text, answer.text[:1000]
    return taken


def _memory_mebibytes(pid: int) -> float:
    """Most memory of the webserver, without the process that holds the definitions."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main()
