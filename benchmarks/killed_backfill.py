"""A backfill from the UI with one kill -9 in the middle, left to itself: how long it takes, and is all there after it?

    .venv/bin/python -m benchmarks.killed_backfill --features 10000 --storage postgres

The made-up experiment (made_up_models.py: real texts of real size, models that answer at once) in a real Dagster UI
with our settings: the features are drawn, then all per-feature assets of all features are launched by the backfill
dialog's mutation. When a share of the features is finished, the run's worker is killed. Nobody helps after that:
Dagster tries the run again, and the sensor has the controls made whose partner came in a later run. At the end the
stored tables are held against what Dagster shows, feature by feature, and the results are made.
"""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.storage.dagster_run import RunsFilter
from dagster._core.storage.partition_status_cache import AssetPartitionStatus
from dagster._core.storage.tags import BACKFILL_ID_TAG
from rich.console import Console

from baez_pipeline.equipment import Equipment
from baez_pipeline.orchestration.dead_runs import WORKER_TAG
from baez_pipeline.orchestration.events import statuses
from baez_pipeline.orchestration.jobs import job_name
from baez_pipeline.orchestration.keys import asset_key
from baez_pipeline.orchestration.runs import OUR_SETTINGS
from baez_pipeline.steps import State, build_chain
from baez_pipeline_tests.dagster_ui import DagsterUi, until
from baez_pipeline_tests.postgres_server import postgres
from benchmarks.bare_chain import OURS, SQLITE, storages
from benchmarks.made_up_models import instant_equipment, made_up_experiment, write_source

STORAGES = {"sqlite": SQLITE, "postgres": OURS}
MATERIALIZED = AssetPartitionStatus.MATERIALIZED
SECONDS_BETWEEN_LINES = 60
PATIENCE = 8 * 3600
CONSOLE = Console(highlight=False)


def main() -> None:
    """Run it, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=10_000)
    parser.add_argument("--storage", choices=STORAGES, default="postgres")
    parser.add_argument("--kill-at", type=float, default=0.4, help="share of the features that is finished by then")
    parser.add_argument("--keep-open", action="store_true", help="leave the UI open at the end, until Ctrl-C")
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(postgres()) if asked.storage != "sqlite" else None
        storage = next(found for found in storages(server) if found.name == STORAGES[asked.storage])
        environment = _environment(folder, asked.features)
        _write_settings(Path(environment["DAGSTER_HOME"]), storage.block)
        experiment = made_up_experiment(write_source(folder / "source", asked.features), asked.features)
        equipment = instant_equipment(experiment, environment["BAEZ_DATA"])
        command = ["-m", "dagster", "dev", "-m", "benchmarks.made_up_location", "-h", "127.0.0.1", "-p"]
        instance = stack.enter_context(dg.DagsterInstance.from_config(environment["DAGSTER_HOME"]))
        ui = DagsterUi([sys.executable, *command], environment, folder)
        ui.start()
        stack.callback(ui.kill)
        _say(f"{asked.features} features, {asked.storage}; UI on port {ui.port}, load {os.getloadavg()[0]:.1f}")
        _run(ui, instance, equipment, "sample")
        _killed_backfill(ui, instance, equipment, asked.kill_at)
        _run(ui, instance, equipment, "results")
        _say(f"tables {_size(folder / 'data')}; Dagster's own {_dagster_size(instance, folder)}")
        while asked.keep_open:
            time.sleep(1)


def _environment(folder: Path, features: int) -> dict[str, str]:
    return os.environ | {
        "DAGSTER_HOME": str(folder / "dagster"),
        "BAEZ_DATA": str(folder / "data"),
        "MADE_UP_SOURCE": str(folder / "source"),
        "MADE_UP_FEATURES": str(features),
        "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": "300",
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
    }


def _write_settings(home: Path, storage: dict[str, Any]) -> None:
    home.mkdir(parents=True)
    settings = yaml.safe_load(OUR_SETTINGS.read_text(encoding="utf-8")) | ({"storage": storage} if storage else {})
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


def _run(ui: DagsterUi, instance: dg.DagsterInstance, equipment: Equipment, phase: str) -> None:
    begun = time.monotonic()
    run_id = ui.launch(job_name(equipment.experiment, phase), {})
    until(lambda: _run_of(instance, run_id).is_finished, f"the phase {phase} is over", PATIENCE)
    _say(f"{phase}: {_run_of(instance, run_id).status.value} after {time.monotonic() - begun:.0f} s")


def _run_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run


def _killed_backfill(ui: DagsterUi, instance: dg.DagsterInstance, equipment: Equipment, kill_at: float) -> None:
    equipment.store.refresh()
    chain = build_chain(equipment.experiment)
    kept = chain.kept_features(equipment)
    assets = [asset_key(equipment.experiment, step.name) for step in chain if step.per_feature]
    begun = time.monotonic()
    backfill = ui.backfill([asset.path for asset in assets], kept)
    _say(f"backfill of {len(kept)} features and {len(assets)} assets launched after {time.monotonic() - begun:.1f} s")
    killed: float | None = None
    peak = 0.0
    for elapsed in _each_minute(lambda: _is_over(instance, backfill)):
        finished = len(instance.get_materialized_partitions(assets[-1]))
        worker = _worker(instance, backfill)
        peak = max(peak, _memory_mebibytes(worker)) if worker else peak
        rate = finished / max(1e-9, time.monotonic() - begun)
        left = f", {(len(kept) - finished) / rate:.0f} s left" if finished else ""
        _say(f"{elapsed:.0f} s: {finished} of {len(kept)} features finished{left}; {_statuses(instance, backfill)}")
        if killed is None and worker and finished >= kill_at * len(kept):
            os.kill(worker, signal.SIGKILL)
            killed = elapsed
            _say(f"{elapsed:.0f} s: worker {worker} killed with {finished} features finished")
    seconds = time.monotonic() - begun
    status = instance.get_backfill(backfill)
    assert status is not None
    each = 1000 * seconds / len(kept) / len(assets)
    _say(f"{status.status.value} after {seconds:.0f} s, {each:.1f} ms per feature and step; a worker's {peak:,.0f} MiB")
    _say(f"runs: {_statuses(instance, backfill)}")
    assert killed is not None, "the backfill was over before a worker was killed: take more features, or a lower share"
    for elapsed in _each_minute(lambda: not _missing(equipment) and not _under_way(instance)):
        _say(f"{elapsed:.0f} s after it: {_missing(equipment)} tables still wait; {len(_under_way(instance))} runs")
    _say(f"controls whose partner came in a later run: all there after {time.monotonic() - begun - seconds:.0f} s more")
    _compare(instance, equipment)


def _missing(equipment: Equipment) -> int:
    """Tables that are not there, of all steps by feature."""
    equipment.store.refresh()
    chain = build_chain(equipment.experiment)
    kept = chain.kept_features(equipment)
    found = 0
    for step in chain:
        if step.per_feature:
            there = equipment.store.entries(step.name)
            found += sum(address not in there for address in chain.addresses(step, equipment, kept))
    return found


def _under_way(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    return [run for run in instance.get_runs(limit=100) if not run.is_finished]


def _compare(instance: dg.DagsterInstance, equipment: Equipment) -> None:
    """What is stored, against what is shown."""
    equipment.store.refresh()
    chain = build_chain(equipment.experiment)
    kept = chain.kept_features(equipment)
    for step, standings in chain.standings(equipment):
        if step.per_feature:
            states = Counter(found.state for found in standings)
            shown = Counter(statuses(instance, equipment.experiment, step, kept).values())
            rest = "".join(f", {count} {state}" for state, count in states.items() if state is not State.FRESH)
            made = f"shown as made {shown[MATERIALIZED]} of {len(kept)}"
            _say(f"{step.name}: {states[State.FRESH]} tables fresh{rest}; {made}")


def _each_minute(is_over: Any) -> Iterator[float]:
    begun = last = time.monotonic()
    while not is_over():
        time.sleep(5)
        if time.monotonic() - last > SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            yield last - begun


def _is_over(instance: dg.DagsterInstance, backfill_id: str) -> bool:
    backfill = instance.get_backfill(backfill_id)
    return backfill is not None and backfill.backfill_end_timestamp is not None


def _statuses(instance: dg.DagsterInstance, backfill: str) -> str:
    found = Counter(run.status.value for run in instance.get_runs(filters=RunsFilter(tags={BACKFILL_ID_TAG: backfill})))
    return ", ".join(f"{count} {status.lower()}" for status, count in sorted(found.items()))


def _worker(instance: dg.DagsterInstance, backfill: str) -> int | None:
    """The process that works on the backfill now."""
    of_it = RunsFilter(statuses=[dg.DagsterRunStatus.STARTED], tags={BACKFILL_ID_TAG: backfill})
    started = instance.get_runs(filters=of_it, limit=1)
    tag = started[0].tags.get(WORKER_TAG) if started else None
    return int(tag.split(":")[1]) if tag else None


def _memory_mebibytes(pid: int) -> float:
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0) / 1024
    return 0.0


def _dagster_size(instance: dg.DagsterInstance, folder: Path) -> str:
    if not (folder / "dagster" / "history").exists():
        with instance.event_log_storage._engine.connect() as connection:
            size = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
        return f"{size / 1e6:,.0f} MB"
    return _size(folder / "dagster")


def _size(folder: Path) -> str:
    files = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return f"{sum(files) / 1e6:,.0f} MB in {len(files):,} files"


def _say(line: str) -> None:
    CONSOLE.print(f"{time.strftime('%H:%M:%S')} {line}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
