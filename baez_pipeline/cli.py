"""Label SAE features by several methods, score the labels, and say whether the scores can be trusted."""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from baez_pipeline.errors import BaezError, ExperimentError
from baez_pipeline.experiment import Surroundings, load_experiment

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
embedded = typer.Typer(no_args_is_help=True, help="Rebuild what the embedded experiment ships.")
app.add_typer(embedded, name="embedded")
console = Console(highlight=False)

ExperimentName = Annotated[
    Optional[str],  # noqa: UP045 - typer reads the annotation
    typer.Argument(
        help="A shipped experiment or the path of a TOML file; BAEZ_EXPERIMENT, else smollm2, if not given."
    ),
]


@app.command()
def run(
    experiment: ExperimentName = None,
    features: Annotated[str, typer.Option(help="Only these features: keys with commas between them.")] = "",
    failed: Annotated[bool, typer.Option("--failed", help="Make tables with failed rows again, too.")] = False,
) -> None:
    """Run the chain: make what is missing or stale, and leave the rest alone."""
    surroundings = _surroundings(experiment)
    from baez_pipeline.equipment import Equipment
    from baez_pipeline.orchestration.runs import Unfinished, open_instance, run_chain

    equipment = Equipment(load_experiment(surroundings.experiment), surroundings.data)
    with open_instance() as instance:
        chosen = [key.strip() for key in features.split(",") if key.strip()]
        if features and not chosen:
            raise ExperimentError(f"--features is {features!r}: expected keys with commas between them.")
        try:
            run_chain(equipment, features=chosen, redo_failed=failed, instance=instance)
        except Unfinished as unfinished:
            console.print(f"The {len(chosen)} chosen features are done. {unfinished}", markup=False)
            return
    _print_results(surroundings)


@app.command()
def report(experiment: ExperimentName = None) -> None:
    """Print the method-by-benchmark table and the path of the report."""
    _print_results(_surroundings(experiment))


@app.command()
def status(
    experiment: ExperimentName = None,
    features: Annotated[bool, typer.Option("--features", help="One line per feature that is not done.")] = False,
) -> None:
    """Say what is fresh, stale, missing or failed."""
    surroundings = _surroundings(experiment)
    from baez_pipeline.equipment import Equipment
    from baez_pipeline.steps import State, build_chain

    equipment = Equipment(load_experiment(surroundings.experiment), surroundings.data)
    chain = build_chain(equipment.experiment)
    table = Table(title=f"Experiment {equipment.experiment.name}", box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("step", no_wrap=True)
    for heading in ("tables", *State, "failed rows"):
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
    if features:
        console.print("\n".join(" ".join(line.split()) for line in open_work) or "Everything is done.")


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="On the loopback interface.")] = 3000,
    experiment: ExperimentName = None,
) -> None:
    """Open the Dagster UI on the same data (stop it with Ctrl-C)."""
    surroundings = _surroundings(experiment)
    load_experiment(surroundings.experiment)
    from baez_pipeline.orchestration.runs import open_instance

    # Opened once beforehand: webserver and daemon would otherwise race to create the SQLite tables.
    with open_instance():
        pass
    environment = os.environ | {"BAEZ_EXPERIMENT": surroundings.experiment, "BAEZ_DATA": surroundings.data}
    command = ["-m", "dagster", "dev", "-m", "baez_pipeline.definitions", "-h", "127.0.0.1", "-p", str(port)]
    console.print(f"The Dagster UI opens on http://127.0.0.1:{port} in about 20 seconds. Ctrl-C stops it.")
    os.execve(sys.executable, [sys.executable, *command], environment)


@embedded.command("build")
def embedded_build(
    output: Annotated[Path | None, typer.Option(help="Folder of the files; the package's own if not given.")] = None,
    device: Annotated[str, typer.Option(help="torch device that trains the SAE: cpu, or cuda.")] = "cpu",
    articles: Annotated[int | None, typer.Option(help="Use only so many articles, for a trial run.")] = None,
) -> None:
    """Rebuild corpus, SAE, features and neighbour bank (a minute on a GPU, an estimated two hours on two cores)."""
    from baez_pipeline.embedded import DATA
    from baez_pipeline.embedded.build import build_embedded_data

    build_embedded_data(output or DATA, device, articles=articles)


@embedded.command("calibrate-judge")
def embedded_calibrate_judge() -> None:
    """Fit the likelihood judge's thresholds on held-out planted data, which no experiment scores."""
    from baez_pipeline.embedded.judge_calibration import calibrate_judge

    calibrate_judge()


def _surroundings(experiment: str | None) -> Surroundings:
    surroundings = Surroundings.from_environment()
    return surroundings.model_copy(update={"experiment": experiment}) if experiment else surroundings


def _print_results(surroundings: Surroundings) -> None:
    from baez_pipeline.equipment import Equipment
    from baez_pipeline.reports import as_text, method_table
    from baez_pipeline.steps import build_chain
    from baez_pipeline.store import Address
    from baez_pipeline.tables import ScoreSummary

    equipment = Equipment(load_experiment(surroundings.experiment), surroundings.data)
    summary = equipment.store.read(Address(table="score_summary"), schema=ScoreSummary)
    console.print(as_text(method_table(summary, confidence=equipment.experiment.statistics.confidence)))
    chain = build_chain(equipment.experiment)
    for name in ("most_distant_report", "experiment_report"):
        for page in equipment.store.read(Address(table=name), schema=chain[name].schema)["page"]:
            console.print(f"{name}: {equipment.store.page_location(page)}", soft_wrap=True)


def main() -> None:
    """Entry of the `baez` command: an error that a user can act on is a sentence, not a traceback."""
    try:
        app()
    except BaezError as error:
        Console(stderr=True, highlight=False).print(f"baez: {error}", markup=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
