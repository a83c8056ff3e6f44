"""`baez check`: whether an experiment can run."""

import typer
from rich.text import Text

from baez_pipeline.cli.common import ExperimentName, app, console, equipment_of

MARKS = {"ok": ("✓", "green"), "failed": ("✗", "red"), "unknown": ("?", "yellow")}


@app.command()
def check(experiment: ExperimentName = None) -> None:
    """Say whether an experiment can run, before anything is spent: keys, endpoints, models, source, verbalizer.

    ✓ is well, ✗ is not (exit code 1), ? cannot be told from here. No completion is asked for; an NLA service is asked
    for one explanation, which is free and kept.
    """
    from baez_pipeline.checking import check_experiment

    outcomes = []
    for finding in check_experiment(equipment_of(experiment)):
        outcomes.append(finding.outcome)
        mark, colour = MARKS[finding.outcome]
        console.print(Text.assemble((mark, colour), f" {finding.subject}: {finding.detail}"), soft_wrap=True)
    failed, unknown = outcomes.count("failed"), outcomes.count("unknown")
    console.print(f"{len(outcomes)} checks: {failed} failed, {unknown} cannot be told.")
    if failed:
        raise typer.Exit(1)
