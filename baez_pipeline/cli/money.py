"""`baez estimate`: what an experiment will cost; and what it has cost so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from baez_pipeline.cli.common import ExperimentName, app, console, equipment_of

if TYPE_CHECKING:
    from baez_pipeline.equipment import Equipment
    from baez_pipeline.steps.estimate import Estimate


@app.command()
def estimate(experiment: ExperimentName = None) -> None:
    """Say what an experiment will ask and cost, before anything is spent; draws its features, which is free."""
    from baez_pipeline.steps import build_chain
    from baez_pipeline.steps.estimate import estimate as estimate_of

    equipment = equipment_of(experiment)
    if not equipment.pays:
        console.print(f"Experiment {equipment.experiment.name} asks no model over HTTP: it costs nothing.")
        return
    chain = build_chain(equipment.experiment)
    with console.status("drawing features and examples ...") as status:
        found = estimate_of(chain, equipment, tell=lambda progress: status.update(progress.sentence))
    console.print(_table(found, equipment))
    for sentence in _notes(found, equipment):
        console.print(sentence)


def spent_sentence(equipment: Equipment) -> str:
    """What the experiment has cost, in a sentence."""
    spent = equipment.answers.spent(equipment.experiment.name)
    budget = equipment.experiment.budget.max_usd
    lost = spent.usd_at_most - spent.usd
    pieces = [
        f"Spent so far: ${spent.usd:.4f} for {spent.questions:,} questions ({spent.tries:,} requests)",
        f" and at most ${lost:.4f} more for answers that were lost on the way" if lost > 0 else "",
        f"; ${spent.usd_held:.4f} is held for questions in flight" if spent.usd_held > 0 else "",
        f"; the budget is ${budget:g}." if budget else "; there is no budget (budget.max_usd).",
    ]
    return "".join(pieces)


def _table(found: Estimate, equipment: Equipment) -> Table:
    counted = "" if found.counted == found.features else f", counted on {found.counted}"
    title = f"Experiment {equipment.experiment.name}: {found.features} features{counted}"
    table = Table(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0), show_footer=True)
    usd, at_most = sum(line.usd for line in found.lines), sum(line.usd_at_most for line in found.lines)
    table.add_column("step", "total", no_wrap=True)
    for heading, total in (
        ("questions", f"{sum(line.questions for line in found.lines):,}"),
        ("kept", f"{sum(line.kept for line in found.lines):,}"),
        ("in", f"{sum(line.tokens_in for line in found.lines):,}"),
        ("out", f"{sum(line.tokens_out for line in found.lines):,}"),
        ("USD", f"{usd:.2f}"),
        ("at most", f"{at_most:.2f}"),
    ):
        table.add_column(heading, total, justify="right", no_wrap=True)
    for step in dict.fromkeys(line.step for line in found.lines):
        lines = [line for line in found.lines if line.step == step]
        table.add_row(
            step,
            f"{sum(line.questions for line in lines):,}",
            f"{sum(line.kept for line in lines):,}",
            f"{sum(line.tokens_in for line in lines):,}",
            f"{sum(line.tokens_out for line in lines):,}",
            f"{sum(line.usd for line in lines):.2f}",
            f"{sum(line.usd_at_most for line in lines):.2f}",
        )
    return table


def _notes(found: Estimate, equipment: Equipment) -> list[str]:
    notes = [
        "in, out: tokens by SmolLM2's count; your model's may differ by a third. At most: every answer as long as "
        "max_tokens allows. kept: answered before, costs nothing.",
    ]
    if found.stood_in:
        notes.append(f"Not written yet, and stood in for by texts of a usual length: {', '.join(found.stood_in)}.")
    if found.explanation_requests:
        notes.append(
            f"nla_explanations asks the service up to {found.explanation_requests:,} times, free of charge; by its "
            f"hourly limit that takes {found.explanation_hours} h and some minutes. A run can be stopped, and goes on."
        )
    at_most, budget = sum(line.usd_at_most for line in found.lines), equipment.experiment.budget.max_usd
    if budget is None:
        notes.append("No budget is set (budget.max_usd): a run asks until it is done.")
    elif at_most > budget:
        notes.append(
            f"The budget of ${budget:g} may not be enough: a run would stop there, and go on with a higher one."
        )
    return [*notes, spent_sentence(equipment)]
