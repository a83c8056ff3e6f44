"""The asset `labelled_graph`, partitioned by graph, and how a graph becomes one of its partitions.

A graph file that is handed over is kept beside the tables, as `pages/graphs/<slug>/input/graph.json`, and what is made
of it lies in `pages/graphs/<slug>/`.
"""

from pathlib import Path

import dagster as dg
from pydantic import Field

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import BaezError
from baez_pipeline.graphs.labelled import LabelledGraph
from baez_pipeline.graphs.reading import parse_graph, read_graph
from baez_pipeline.graphs.writing import graph_file, labels_file
from baez_pipeline.orchestration.metadata import column_schema, table_metadata
from baez_pipeline.steps.graphs import label_with
from baez_pipeline.store import Address, hash_of
from baez_pipeline.tables import GraphLabels

ASSET = "labelled_graph"
_INPUT = "input/graph.json"
"""In a folder of its own: what is made of the graph is named by it."""


class RecordsConfig(dg.Config):
    """Where the features' records come from."""

    records: str | None = Field(None, description="folder of feature files; none = the experiment's source")


def graph_partitions(experiment: str) -> dg.DynamicPartitionsDefinition:
    """The experiment's graphs, by slug."""
    return dg.DynamicPartitionsDefinition(name=f"{experiment}_graphs")


def add_graph(equipment: Equipment, file: Path, instance: dg.DagsterInstance) -> str:
    """Keep a graph beside the experiment's tables and make it a partition; its slug. A graph of that slug is replaced.

    Raises:
        GraphError: the file is no attribution graph.
        TableError: it cannot be kept.
    """
    slug = read_graph(file).metadata.slug
    equipment.store.write_page(_page(slug, _INPUT), file.read_bytes())
    partitions = graph_partitions(equipment.experiment.name)
    assert partitions.name is not None
    instance.add_dynamic_partitions(partitions.name, [slug])
    return slug


def build_graph_asset(equipment: Equipment) -> dg.AssetsDefinition:
    """The asset `<experiment>/labelled_graph`."""
    experiment = equipment.experiment

    @dg.asset(
        key=dg.AssetKey([experiment.name, ASSET]),
        description="An attribution graph with its features labelled by tier; what each label rests on, one row per "
        "feature node.",
        partitions_def=graph_partitions(experiment.name),
        group_name="graphs",
        kinds={"parquet", "polars"},
        metadata={"dagster/column_schema": column_schema(GraphLabels)},
    )
    def labelled_graph(context: dg.AssetExecutionContext, config: RecordsConfig) -> dg.MaterializeResult[None]:
        slug, store = context.partition_key, equipment.store
        try:
            content = store.read_page(_page(slug, _INPUT))
            labelled = label_with(
                equipment,
                parse_graph(content, place=store.page_location(_page(slug, _INPUT))),
                records=Path(config.records) if config.records else None,
                tell=context.log.debug,
            )
            address = Address(table=ASSET, feature=slug)
            fingerprint = hash_of({"graph": hash_of(content.hex()), "experiment": experiment.model_dump(mode="json")})
            entry = store.write(address, labelled.table, schema=GraphLabels, fingerprint=fingerprint)
            place = store.write_page(_page(slug, f"{slug}.json"), graph_file(labelled))
            store.write_page(_page(slug, f"{slug}.labels.json"), labels_file(labelled, experiment=experiment.name))
        except BaezError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        return dg.MaterializeResult(
            metadata={
                **table_metadata(labelled.table, entry, store.location(address)),
                "graph": dg.MetadataValue.path(place),
                **_measures(labelled),
            }
        )

    return labelled_graph


def _page(slug: str, name: str) -> str:
    return f"graphs/{slug}/{name}"


def _measures(labelled: LabelledGraph) -> dict[str, float | int]:
    before, after = labelled.before, labelled.after
    measures: dict[str, float | int] = {
        "labelled_nodes": after.n_labelled,
        "feature_nodes": after.n_features,
        "influence_labelled_before": round(before.influence_labelled, 4),
        "influence_labelled_after": round(after.influence_labelled, 4),
        "pinned_nodes": after.n_pinned,
        "supernodes": len(labelled.subgraph.supernodes),
        "usd_so_far": round(labelled.usd, 6),
    }
    if after.scores:
        measures |= {
            "replacement_score": round(after.scores.replacement, 4),
            "completeness_score": round(after.scores.completeness, 4),
        }
    return measures
