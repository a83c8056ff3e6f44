"""What Dagster itself costs per feature and step: a chain of steps that do nothing, on each kind of instance storage.

    .venv/bin/python -m benchmarks.bare_chain --features 1000

Each storage gets an empty instance, and the chain is run over ranges of 500 features in this process, as `baez run`
runs ours. PostgreSQL is Debian's package, started on the loopback interface for the time of the run (left out where it
or dagster-postgres is not installed). Compare within one run: a shared machine is not the same twice.
"""

import argparse
import contextlib
import importlib.util
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from rich import box
from rich.console import Console
from rich.table import Table

from baez_pipeline.orchestration.console import progress_logger
from baez_pipeline_tests.postgres_server import Postgres, binaries, postgres

FEATURES_PER_RUN = 500
PARTITIONS = "bare_features"
SQLITE, STOCK, OURS = "SQLite", "PostgreSQL, stock", "PostgreSQL, ours"


@dataclass(frozen=True)
class Storage:
    """A kind of instance storage, and the environment that goes with it."""

    name: str
    block: dict[str, Any]
    """The block `storage` of dagster.yaml."""
    batch: int
    """DAGSTER_EVENT_BATCH_SIZE."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--storages", nargs="+", default=[SQLITE, STOCK, OURS], choices=[SQLITE, STOCK, OURS])
    asked = parser.parse_args()
    table = Table(
        title=f"{asked.features} features x {asked.steps} steps, load {os.getloadavg()[0]:.1f}", box=box.SIMPLE
    )
    for heading in ("instance storage", "seconds", "ms per feature and step"):
        table.add_column(heading, justify="left" if heading == "instance storage" else "right")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres()) if set(asked.storages) != {SQLITE} and postgres_is_there() else None
        for storage in storages(server):
            if storage.name in asked.storages:
                seconds = bare_chain(storage, asked.features, asked.steps)
                each = 1000 * seconds / asked.features / asked.steps
                table.add_row(storage.name, f"{seconds:.1f}", f"{each:.2f}")
    Console().print(table)


def postgres_is_there() -> bool:
    """Whether the server's programs and Dagster's package for it are installed."""
    return binaries() is not None and importlib.util.find_spec("dagster_postgres") is not None


def storages(server: Postgres | None) -> list[Storage]:
    """The kinds of storage that can be measured here, each with a database of its own."""
    found = [Storage(SQLITE, {}, 0)]
    if server:
        ours = {"module": "baez_pipeline.orchestration.postgres", "class": "PooledPostgresStorage"}
        found += [
            Storage(STOCK, {"postgres": {"postgres_url": server.new_database()}}, 0),
            Storage(OURS, {"custom": ours | {"config": {"postgres_url": server.new_database()}}}, 500),
        ]
    return found


@contextlib.contextmanager
def instance_on(storage: Storage) -> Iterator[dg.DagsterInstance]:
    """An empty instance in a temporary folder; other processes find it by DAGSTER_HOME while it lasts."""
    logging.getLogger("dagster").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as home:
        settings = {"telemetry": {"enabled": False}} | ({"storage": storage.block} if storage.block else {})
        (Path(home) / "dagster.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        os.environ |= {"DAGSTER_HOME": home, "DAGSTER_EVENT_BATCH_SIZE": str(storage.batch)}
        with dg.DagsterInstance.get() as instance:
            yield instance


def bare_chain(storage: Storage, features: int, steps: int) -> float:
    """Seconds of a chain of that many steps over that many features, all of them doing nothing."""
    with instance_on(storage) as instance:
        return run_bare_chain(instance, features, steps)


def run_bare_chain(instance: dg.DagsterInstance, features: int, steps: int) -> float:
    """The same on an instance that is there."""
    keys = [f"20-bare_{index:06d}" for index in range(features)]
    for start in range(0, features, 10_000):
        instance.add_dynamic_partitions(PARTITIONS, keys[start : start + 10_000])
    job = bare_definitions(steps).resolve_job_def("bare")
    begun = time.monotonic()
    for start in range(0, features, FEATURES_PER_RUN):
        chosen = keys[start : start + FEATURES_PER_RUN]
        tags = {ASSET_PARTITION_RANGE_START_TAG: chosen[0], ASSET_PARTITION_RANGE_END_TAG: chosen[-1]}
        # Dagster's own console logger would print a line for each event.
        config = {"loggers": {"console": {"config": {}}}}
        assert job.execute_in_process(instance=instance, tags=tags, run_config=config).success
    return time.monotonic() - begun


def bare_definitions(steps: int) -> dg.Definitions:
    """A chain of assets that do nothing, each after the one before it."""
    partitions = dg.DynamicPartitionsDefinition(name=PARTITIONS)

    def bare(place: int) -> dg.AssetsDefinition:
        @dg.asset(
            name=f"bare_{place}",
            deps=[f"bare_{place - 1}"] if place else [],
            partitions_def=partitions,
            backfill_policy=dg.BackfillPolicy.multi_run(FEATURES_PER_RUN),
        )
        def nothing() -> None:
            """Nothing."""

        return nothing

    return dg.Definitions(
        assets=[bare(place) for place in range(steps)],
        jobs=[dg.define_asset_job("bare", partitions_def=partitions)],
        executor=dg.in_process_executor,
        loggers={"console": progress_logger},
    )


if __name__ == "__main__":
    main()
