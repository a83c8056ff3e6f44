"""`baez graph`: labels for attribution graphs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich import box
from rich.table import Table

from baez_pipeline.cli.common import app, console, equipment_of, telling

if TYPE_CHECKING:
    from baez_pipeline.graphs.labelled import LabelledGraph

graph = typer.Typer(no_args_is_help=True, help="Label the features of attribution graphs.")
app.add_typer(graph, name="graph")

GraphFile = Annotated[Path, typer.Argument(help="A graph of circuit-tracer or Neuronpedia, as JSON.", metavar="FILE")]
Experiment = Annotated[
    Optional[str],  # noqa: UP045 - typer reads the annotation
    typer.Option("--experiment", help="Whose source, writer and budget: a shipped experiment or a TOML file's path."),
]


@graph.command("label")
def graph_label(
    file: GraphFile,
    experiment: Experiment = None,
    output: Annotated[Path, typer.Option(help="Folder of the labelled graph.")] = Path("labelled_graphs"),
    records: Annotated[
        Path | None, typer.Option(help="Folder of the features' files; the experiment's source if none.")
    ] = None,
    features_of: Annotated[
        str | None,
        typer.Option(
            help="Neuronpedia's ids of the features' model and source set, where the graph does not name them.",
            metavar="MODEL/SOURCE_SET",
        ),
    ] = None,
) -> None:
    """Label a graph's features by tier, group them, and write the graph with a file that says what each label rests on.

    Features that are obscure or undetermined, or have no record, get no label. A node that has somebody's label keeps
    it; those of an earlier run, by the file of labels beside the graph, are made anew.
    """
    from baez_pipeline.graphs.earlier_labels import read_to_label
    from baez_pipeline.graphs.writing import check_output, write_graph
    from baez_pipeline.steps.graphs import label_with

    read = read_to_label(file)
    check_output(read, output)
    equipment = equipment_of(experiment)
    with telling("reading records ...") as tell:
        labelled = label_with(equipment, read, records=records, features_of=features_of, tell=tell)
    _print(labelled)
    for path in write_graph(labelled, output, experiment=equipment.experiment.name):
        console.print(str(path), markup=False, soft_wrap=True)


@graph.command("add")
def graph_add(file: GraphFile, experiment: Experiment = None) -> None:
    """Hand a graph to the Dagster asset `labelled_graph`: it becomes a partition, to be made in the UI or by a job."""
    from baez_pipeline.orchestration.graphs import add_graph
    from baez_pipeline.orchestration.runs import open_instance

    equipment = equipment_of(experiment)
    with open_instance() as instance:
        slug = add_graph(equipment, file, instance)
    console.print(f"{slug} is a partition of {equipment.experiment.name}/labelled_graph.", markup=False, soft_wrap=True)


def _print(labelled: LabelledGraph) -> None:
    counts = dict(labelled.table["state"].value_counts().iter_rows())
    table = Table(title=f"Graph {labelled.graph.metadata.slug}", box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for heading in ("before", "after"):
        table.add_column(heading, justify="right")
    before, after = labelled.before, labelled.after
    for name, values in (
        ("feature nodes with a label", [f"{each.n_labelled} of {each.n_features}" for each in (before, after)]),
        ("their share of the features' influence", [f"{each.influence_labelled:.3f}" for each in (before, after)]),
        ("pinned nodes", [str(each.n_pinned) for each in (before, after)]),
        ("replacement score", [f"{each.scores.replacement:.3f}" if each.scores else "-" for each in (before, after)]),
        ("completeness score", [f"{each.scores.completeness:.3f}" if each.scores else "-" for each in (before, after)]),
        ("dollars", ["", f"{labelled.usd:.4f}"]),
    ):
        table.add_row(name, *values)
    console.print(table)
    said = labelled.dictionary
    console.print(
        f"Features of {said.model}, source set {said.source_set} (by {said.named_by}). "
        f"{len(labelled.subgraph.supernodes)} supernodes. Nodes: "
        + ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in sorted(counts.items()))
        + ". Scores are of the pinned nodes; with none pinned, of the whole graph.",
        markup=False,
    )
