"""`baez run`, `report`, `status` and `ui`."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from baez_pipeline.cli.common import ExperimentName, app, console, equipment_of, require_finished, surroundings_of
from baez_pipeline.cli.money import spent_sentence
from baez_pipeline.experiment import load_experiment

if TYPE_CHECKING:
    import polars as pl

    from baez_pipeline.equipment import Equipment


_FEATURES = (
    "all; keys (a,b); a range of them (a..b); failed: features with failed rows, which are asked again; missing: "
    "features of which a table is missing or stale; @file with keys. Joined by commas or a plus: failed+missing."
)


@app.command()
def run(
    experiment: ExperimentName = None,
    features: Annotated[str, typer.Option(help=_FEATURES)] = "all",
    failed: Annotated[bool, typer.Option("--failed", help="Make tables with failed rows again, too.")] = False,
) -> None:
    """Run the chain: make what is missing or stale, and leave the rest alone."""
    try:
        _run(experiment, features, redo_failed=failed)
    except KeyboardInterrupt:
        # While a run works it ends as `Stopped`; this is before, after and between runs.
        Console(stderr=True).print("baez: Stopped. What was finished is stored: run again to go on.", soft_wrap=True)
        raise typer.Exit(130) from None


def _run(experiment: str | None, features: str, *, redo_failed: bool) -> None:
    from baez_pipeline.orchestration.runs import Unfinished, open_instance, run_chain

    equipment = equipment_of(experiment)
    with open_instance() as instance:
        try:
            chosen = run_chain(equipment, features=features, redo_failed=redo_failed, instance=instance)
        except Unfinished as unfinished:
            console.print(f"The chosen features are done. {unfinished}", markup=False)
            return
    if chosen is not None and not chosen.features:
        console.print(f"No feature is {features}.", markup=False)
    _print_results(equipment)


@app.command()
def report(experiment: ExperimentName = None) -> None:
    """Print the method-by-benchmark table, or the tiers by layer, and the path of the report."""
    _print_results(equipment_of(experiment))


@app.command()
def status(
    experiment: ExperimentName = None,
    features: Annotated[bool, typer.Option("--features", help="One line per feature that is not done.")] = False,
) -> None:
    """Say what is fresh, stale, missing or failed."""
    from baez_pipeline.steps import State, build_chain

    equipment = equipment_of(experiment)
    chain = build_chain(equipment.experiment)
    table = Table(title=f"Experiment {equipment.experiment.name}", box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("step", no_wrap=True)
    for heading in ("tables", *State, "failed"):
        table.add_column(heading, justify="right")
    open_work: list[str] = []
    for step, standings in chain.standings(equipment):
        counts = Counter(standing.state for standing in standings)
        n_failed = sum(standing.entry.n_failed for standing in standings if standing.entry)
        table.add_row(
            step.name,
            str(len(standings)),
            *(str(counts[state] or "") for state in State),
            str(n_failed or ""),
        )
        open_work += [
            f"{step.name} {standing.part or ''} {standing.feature or ''}: {standing.state}"
            for standing in standings
            if standing.state is not State.FRESH or (standing.entry and standing.entry.n_failed)
        ]
    console.print(table)
    if equipment.pays:
        console.print(spent_sentence(equipment))
    if features:
        console.print("\n".join(" ".join(line.split()) for line in open_work) or "Everything is done.")


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="On the loopback interface.")] = 3000,
    experiment: ExperimentName = None,
) -> None:
    """Open the Dagster UI on the same data (stop it with Ctrl-C)."""
    surroundings = surroundings_of(experiment)
    load_experiment(surroundings.experiment)
    from baez_pipeline.orchestration.runs import open_instance

    # Opened once beforehand: webserver and daemon would otherwise race to create the SQLite tables.
    with open_instance():
        pass
    # A look of the sensor at 10,000 features may take longer than the minute that Dagster gives it.
    environment = {"DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": "300"} | os.environ | surroundings.as_environment()
    command = ["-m", "dagster", "dev", "-m", "baez_pipeline.definitions", "-h", "127.0.0.1", "-p", str(port)]
    console.print(f"The Dagster UI opens on http://127.0.0.1:{port} in about 20 seconds. Ctrl-C stops it.")
    os.execve(sys.executable, [sys.executable, *command], environment)


def _print_results(equipment: Equipment) -> None:
    from baez_pipeline import reports
    from baez_pipeline.steps import build_chain
    from baez_pipeline.store import Address

    require_finished(equipment)
    if equipment.experiment.lists_layers:
        _print_layers(equipment)
        return
    chain, statistics = build_chain(equipment.experiment), equipment.experiment.statistics

    def table(name: str) -> pl.DataFrame:
        return equipment.store.read(Address(table=name), schema=chain[name].schema)

    summary, verdicts = table("score_summary"), table("benchmark_verdicts")
    trust = reports.trust_in(reports.own_summary(summary), verdicts)
    answer = reports.answer(trust, table("chance_comparison"), table("method_comparison"), alpha=statistics.alpha)
    console.print(f"{answer.benchmarks} {answer.labels}\n", markup=False)
    console.print(
        reports.as_text(reports.method_table(summary, verdicts, confidence=statistics.confidence)), markup=False
    )
    pages = [reports.EXPERIMENT_REPORT, reports.MOST_DISTANT_REPORT, reports.FEATURE_INDEX]
    if "tiers" in equipment.experiment.labeling.methods:
        pages.append(reports.TIER_REPORT)
    for page in pages:
        console.print(equipment.store.page_location(page), soft_wrap=True)
    if equipment.pays:
        console.print(spent_sentence(equipment))


def _print_layers(equipment: Equipment) -> None:
    from baez_pipeline import reports
    from baez_pipeline.store import Address
    from baez_pipeline.tables import LayerProfile, LayerTrends

    profile = equipment.store.read(Address(table="layer_profile"), schema=LayerProfile)
    trends = equipment.store.read(Address(table="layer_trends"), schema=LayerTrends)
    confidence = equipment.experiment.statistics.confidence
    tables = *reports.profile_tables(profile, confidence=confidence), reports.trend_table(trends, confidence=confidence)
    console.print(reports.tables_text(tables), markup=False)
    console.print(f"\n{reports.hypothesis_sentence(profile, trends)}\n", markup=False)
    for page in (reports.LAYER_TABLES, reports.LAYER_PICTURE):
        console.print(equipment.store.page_location(page), soft_wrap=True)
