"""`baez embedded`: rebuild what the embedded experiment ships."""

from pathlib import Path
from typing import Annotated

import typer

from baez_pipeline.cli.common import app

embedded = typer.Typer(no_args_is_help=True, help="Rebuild what the embedded experiment ships.")
app.add_typer(embedded, name="embedded")


@embedded.command("build")
def embedded_build(
    output: Annotated[Path | None, typer.Option(help="Folder of the files; the package's own if not given.")] = None,
    device: Annotated[str, typer.Option(help="torch device that trains the SAE: cpu, or cuda.")] = "cpu",
    articles: Annotated[int | None, typer.Option(help="Use only so many articles, for a trial run.")] = None,
    layers: Annotated[bool, typer.Option("--layers", help="The features of several blocks instead.")] = False,
) -> None:
    """Rebuild corpus, SAE, features and neighbour bank (a minute on a GPU, an estimated two hours on two cores)."""
    from baez_pipeline.embedded import DATA
    from baez_pipeline.embedded.build import LAYERS_DATA, build_embedded_data, build_layers_data

    if layers:
        build_layers_data(output or LAYERS_DATA, device, articles=articles)
    else:
        build_embedded_data(output or DATA, device, articles=articles)


@embedded.command("calibrate-judge")
def embedded_calibrate_judge() -> None:
    """Fit the likelihood judge's thresholds on held-out planted data, which no experiment scores."""
    from baez_pipeline.embedded.judge_calibration import calibrate_judge

    calibrate_judge()
