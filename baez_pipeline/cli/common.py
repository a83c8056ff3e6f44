"""What every command needs: the app, the console, and which experiment is meant."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.console import Console

from baez_pipeline.experiment import Surroundings, load_experiment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from baez_pipeline.equipment import Equipment

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Label SAE features by several methods, score the labels, and say whether the scores can be trusted.",
)
console = Console(highlight=False)

ExperimentName = Annotated[
    Optional[str],  # noqa: UP045 - typer reads the annotation
    typer.Argument(
        help="A shipped experiment or the path of a TOML file; BAEZ_EXPERIMENT, else smollm2, if not given."
    ),
]


def surroundings_of(experiment: str | None) -> Surroundings:
    """The process's surroundings, with the experiment that was named."""
    surroundings = Surroundings.from_environment()
    return surroundings.model_copy(update={"experiment": experiment}) if experiment else surroundings


def equipment_of(experiment: str | None) -> Equipment:
    """The equipment of the experiment that was named.

    Raises:
        BaezError: the experiment cannot be read.
    """
    from baez_pipeline.equipment import Equipment

    surroundings = surroundings_of(experiment)
    return Equipment(load_experiment(surroundings.experiment), surroundings.data, surroundings.answers)


@contextmanager
def telling(first: str) -> Iterator[Callable[[str], None]]:
    """What is being done, as a sentence that changes; a line for each where nobody looks at a terminal."""
    if not console.is_terminal:
        yield lambda sentence: console.print(sentence, markup=False, soft_wrap=True)
        return
    with console.status(first) as status:
        yield status.update


def require_finished(equipment: Equipment) -> None:
    """Raise a TableError unless the experiment was run to its end once."""
    from baez_pipeline.errors import TableError
    from baez_pipeline.store import Address

    name = equipment.experiment.name
    last = "layer_report" if equipment.experiment.lists_layers else "experiment_report"
    if equipment.store.entry(Address(table=last)) is None:
        raise TableError(f"Experiment {name} is not finished: baez run does the rest, baez status says what there is.")


def require_labels(equipment: Equipment) -> None:
    """Raise an ExperimentError where the experiment sorts features of several layers, and labels none of them."""
    from baez_pipeline.errors import ExperimentError

    if equipment.experiment.lists_layers:
        raise ExperimentError(
            f"Experiment {equipment.experiment.name} sorts features of several layers into tiers and labels none, so "
            "this command has nothing to work on: baez report shows what it found."
        )
