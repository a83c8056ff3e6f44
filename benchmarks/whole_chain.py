"""The whole chain at any number of features, with everything real but the models: what Dagster, tables and pages take.

    .venv/bin/python -m benchmarks.whole_chain --features 40 1000 10000 --storage sqlite postgres

For each size and storage a process of its own runs the embedded experiment over a repeated embedded source, as
`baez run` does, with models that answer at once (made_up_models.py). Before it, in the same process and on the same
instance, a bare chain of as many steps that do nothing; after it, the steps' own work alone: each step's function over
the same inputs, its tables thrown away. What is left of the whole, when that is taken off, is orchestration and
storage. A shared machine is not the same twice: compare within one run.
"""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from baez_pipeline.equipment import Equipment
from baez_pipeline.llm.in_flight import together
from baez_pipeline.orchestration.jobs import is_per_feature, job_name, phases
from baez_pipeline.orchestration.runs import run_chain
from baez_pipeline.orchestration.selection import chunks
from baez_pipeline.steps import Chain, Work, build_chain, families
from baez_pipeline.steps.step import units
from baez_pipeline_tests.postgres_server import postgres
from benchmarks.bare_chain import OURS, SQLITE, STOCK, instance_on, run_bare_chain, storages
from benchmarks.made_up_models import instant_equipment, made_up_experiment, write_source

STORAGES = {"sqlite": SQLITE, "postgres": OURS, "stock_postgres": STOCK}
MOST_BARE_FEATURES = 500
"""Of the bare chain: one run's worth says what one costs."""
HEADINGS = ("features", "storage", "phase", "seconds", "ms/feature/step", "own work", "the rest", "bare", "load")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, nargs="+", default=[40])
    parser.add_argument("--storage", nargs="+", choices=STORAGES, default=["sqlite"])
    parser.add_argument("--one", action="store_true", help="measure one size on one storage here, and print JSON")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(_measured(asked.features[0], asked.storage[0])))
        return
    console = Console(highlight=False)
    for features in asked.features:
        for storage in asked.storage:
            # Each by itself as soon as it is there: ten thousand features take an hour.
            found = _in_a_process(features, storage)
            table = Table(box=box.SIMPLE)
            for heading in HEADINGS:
                table.add_column(heading, justify="right")
            for row in found["phases"]:
                table.add_row(*(str(row.get(heading, "")) for heading in HEADINGS))
            console.print(table)
            console.print(f"{features} features, {storage}: {found['note']}")


def _in_a_process(features: int, storage: str) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.whole_chain",
        "--one",
        f"--features={features}",
        f"--storage={storage}",
    ]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(said.splitlines()[-1])


def _measured(features: int, storage: str) -> dict[str, Any]:
    torch.set_num_threads(1)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(postgres()) if storage != "sqlite" else None
        chosen = next(found for found in storages(server) if found.name == STORAGES[storage])
        instance = stack.enter_context(instance_on(chosen))
        source = write_source(folder / "source", features)
        equipment = instant_equipment(made_up_experiment(source, features), str(folder / "data"))
        chain = build_chain(equipment.experiment)
        steps = sum(step.per_feature for step in chain)
        bare_features = min(features, MOST_BARE_FEATURES)
        bare = 1000 * run_bare_chain(instance, bare_features, steps) / bare_features / steps
        before = _peak_mebibytes()
        load, begun = os.getloadavg()[0], time.monotonic()
        run_chain(equipment, instance=instance)
        again = time.monotonic()
        run_chain(equipment, instance=instance)
        over = time.monotonic()
        rows = _rows(chain, equipment, instance)
        for row in rows:
            row |= {"features": features, "storage": storage, "bare": f"{bare:.2f}", "load": f"{load:.1f}"}
        note = (
            f"{again - begun:.0f} s in all, again with everything fresh {over - again:.0f} s; "
            f"tables {_size(folder / 'data')}; Dagster's {_dagster_size(instance, server is not None)}; "
            f"memory of the process {_peak_mebibytes():,.0f} MiB at most, {before:,.0f} before the chain"
        )
        return {"phases": rows, "note": note}


def _rows(chain: Chain, equipment: Equipment, instance: dg.DagsterInstance) -> list[dict[str, Any]]:
    """A row for each phase of the first pass, by the times that Dagster recorded of its runs."""
    per_phase = phases(chain, equipment)
    names = {job_name(equipment.experiment, phase): phase for phase in per_phase}
    # Newest first; the second pass did as many runs as the first.
    records = [record for record in instance.get_run_records() if record.dagster_run.job_name in names]
    seconds: dict[str, float] = defaultdict(float)
    for record in records[len(records) // 2 :]:
        seconds[names[record.dagster_run.job_name]] += (record.end_time or 0) - record.create_timestamp.timestamp()
    n_kept, rows = len(chain.kept_features(equipment)), []
    for phase, taken in reversed(seconds.items()):
        row: dict[str, Any] = {"phase": phase, "seconds": f"{taken:.1f}"}
        if is_per_feature(phase):
            each = 1000 * taken / n_kept / len(per_phase[phase])
            own = 1000 * _own_work(chain, equipment, per_phase[phase]) / n_kept / len(per_phase[phase])
            row |= {"ms/feature/step": f"{each:.2f}", "own work": f"{own:.2f}", "the rest": f"{each - own:.2f}"}
        rows.append(row)
    return rows


def _own_work(chain: Chain, equipment: Equipment, names: Sequence[str]) -> float:
    """Seconds of the steps' functions alone, in the pieces and side by side as a run calls them."""
    begun = time.monotonic()
    for piece in chunks(chain.kept_features(equipment)):
        for family in families(chain[name] for name in names).values():
            asking = [step for step in family if step.asks(equipment)]
            for at_once in (*([step] for step in family if step not in asking), asking):
                works = [
                    Work(equipment=equipment, units=units(step, equipment, piece), features=piece, chain=chain)
                    for step in at_once
                ]
                for _ in together([step.compute(work) for step, work in zip(at_once, works, strict=True)]):
                    pass
    return time.monotonic() - begun


def _dagster_size(instance: dg.DagsterInstance, on_postgres: bool) -> str:
    if not on_postgres:
        return _size(Path(instance.root_directory))
    with instance.event_log_storage._engine.connect() as connection:
        size = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
    return f"{size / 1e6:,.0f} MB"


def _size(folder: Path) -> str:
    files = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return f"{sum(files) / 1e6:,.0f} MB in {len(files):,} files"


def _peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
