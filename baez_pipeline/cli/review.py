"""`baez review`: features that no method labels, read and labelled by a person."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from baez_pipeline.cli.common import app, console, equipment_of
from baez_pipeline.errors import ReviewError

if TYPE_CHECKING:
    from baez_pipeline.equipment import Equipment
    from baez_pipeline.steps.review import Waiting

review = typer.Typer(
    no_args_is_help=True, help="Label the features that are obscure or undetermined: read, export, and take back."
)
app.add_typer(review, name="review")

Experiment = Annotated[
    Optional[str],  # noqa: UP045 - typer reads the annotation
    typer.Option("--experiment", help="A shipped experiment or the path of a TOML file."),
]


@review.command("page")
def review_page(experiment: Experiment = None) -> None:
    """Write a page of all features that wait: examples, top logits, and explanations where there are some."""
    from baez_pipeline.reports.review_page import REVIEW_PAGE, render_review
    from baez_pipeline.reports.wording import counted

    equipment = equipment_of(experiment)
    waiting = _waiting(equipment)
    page = render_review(equipment.experiment.name, waiting).encode(errors="replace")
    written = equipment.store.write_page(REVIEW_PAGE, page)
    console.print(f"{counted(len(waiting), 'feature')} to review: {written}", markup=False, soft_wrap=True)


@review.command("export")
def review_export(
    experiment: Experiment = None,
    output: Annotated[Path, typer.Option(help="Folder of both files.")] = Path("review"),
) -> None:
    """Write Label Studio's tasks and its labelling configuration."""
    from baez_pipeline.reports.review_page import render_review_task
    from baez_pipeline.reports.wording import counted
    from baez_pipeline.store import replace_file
    from baez_pipeline.tiers.label_studio import CONFIG, tasks_file

    equipment = equipment_of(experiment)
    waiting = _waiting(equipment)
    pages = [(each.feature, render_review_task(each)) for each in waiting]
    files = {
        "tasks.json": tasks_file(pages, experiment=equipment.experiment.name),
        "labelling_config.xml": CONFIG.encode(),
    }
    for name, content in files.items():
        try:
            replace_file(output / name, content)
        except OSError as error:
            raise ReviewError(f"{output / name} cannot be written: {error.strerror or error}.") from error
        console.print(str(output / name), markup=False, soft_wrap=True)
    console.print(f"{counted(len(waiting), 'feature')} to review.")


@review.command("import")
def review_import(
    file: Annotated[Path, typer.Argument(help="Label Studio's export as JSON.", metavar="FILE")],
    by: Annotated[str, typer.Option(help="Who answered.", metavar="NAME")],
    experiment: Experiment = None,
    user: Annotated[
        Optional[int],  # noqa: UP045 - typer reads the annotation
        typer.Option(help="Take this person's answers alone: a number in Label Studio.", metavar="NUMBER"),
    ] = None,
) -> None:
    """Take the answers back: each becomes its feature's label by tier at the next run."""
    from baez_pipeline.reports.wording import counted
    from baez_pipeline.steps import build_chain
    from baez_pipeline.steps.review import known_features, store_reviews
    from baez_pipeline.tiers.label_studio import read_answers

    equipment = equipment_of(experiment)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ReviewError(f"{file} cannot be read: {error.strerror or error}.") from error
    rows = read_answers(
        content,
        where=str(file),
        experiment=equipment.experiment.name,
        known=known_features(build_chain(equipment.experiment), equipment),
        by=by,
        user=user,
        now=datetime.now(UTC),
    )
    older = store_reviews(equipment, rows)
    if older:
        console.print(f"Left out, as something newer is stored: {', '.join(older)}.", markup=False, soft_wrap=True)
    rows = [row for row in rows if row["feature"] not in older]
    obscure = sum(row["label"] is None for row in rows)
    console.print(
        f"{counted(len(rows), 'review')} taken, {obscure} of them obscure. baez run scores the labels.",
        soft_wrap=True,
    )


def _waiting(equipment: Equipment) -> list[Waiting]:
    from baez_pipeline.steps.review import waiting_features

    with console.status("reading features ..."):
        return waiting_features(equipment)
