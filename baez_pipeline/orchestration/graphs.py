"""The asset `labelled_graph`, partitioned by graph, and how a graph becomes one of its partitions.

A graph file that is handed over is kept beside the tables, as `pages/graphs/<slug>/input/graph.json`, and what is made
of it lies in `pages/graphs/<slug>/`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import BaezError, TableError
from baez_pipeline.graphs.earlier_labels import read_to_label
from baez_pipeline.graphs.reading import parse_graph
from baez_pipeline.graphs.writing import graph_file, labels_file, labels_said
from baez_pipeline.orchestration import dead_runs
from baez_pipeline.orchestration.keys import asset_key
from baez_pipeline.orchestration.metadata import column_schema, table_metadata
from baez_pipeline.steps.graphs import fingerprint_of, label_with
from baez_pipeline.store import Address, Entry, Store
from baez_pipeline.tables import GraphLabels

ASSET = "labelled_graph"
_INPUT = "input/graph.json"
"""In a folder of its own: what is made of the graph is named by it."""


class RecordsConfig(dg.Config):
    """Where the features' records come from."""

    records: str | None = Field(None, description="folder of feature files; none = the experiment's source")
    features_of: str | None = Field(
        None,
        description="Neuronpedia's ids of the features' model and source set, <model>/<source set>; none = as the "
        "graph says, and where it does not, the folder or the source",
    )


def graph_partitions(experiment: str) -> dg.DynamicPartitionsDefinition:
    """The experiment's graphs, by slug."""
    return dg.DynamicPartitionsDefinition(name=f"{experiment}_graphs")


def add_graph(equipment: Equipment, file: Path, instance: dg.DagsterInstance) -> str:
    """Keep a graph beside the experiment's tables and make it a partition; its slug. A graph of that slug is replaced.

    What an earlier run of ours put in is left out (`read_to_label`).

    Raises:
        GraphError: the file is no attribution graph.
        TableError: it cannot be kept.
    """
    graph = read_to_label(file)
    slug = graph.metadata.slug
    equipment.store.write_page(_page(slug, _INPUT), json.dumps(graph.body).encode())
    partitions = graph_partitions(equipment.experiment.name)
    assert partitions.name is not None
    instance.add_dynamic_partitions(partitions.name, [slug])
    return slug


def build_graph_asset(equipment: Equipment) -> dg.AssetsDefinition:
    """The asset `<experiment>/labelled_graph`."""
    experiment = equipment.experiment

    @dg.asset(
        key=asset_key(experiment, ASSET),
        description="An attribution graph with its features labelled by tier; what each label rests on, one row per "
        "feature node.",
        partitions_def=graph_partitions(experiment.name),
        group_name="graphs",
        kinds={"parquet", "polars"},
        metadata={"dagster/column_schema": column_schema(GraphLabels)},
    )
    def labelled_graph(context: dg.AssetExecutionContext, config: RecordsConfig) -> dg.MaterializeResult[None]:
        dead_runs.mark(context.instance, context.run)
        slug, store = context.partition_key, equipment.store
        address = Address(table=ASSET, feature=slug)
        records = Path(config.records) if config.records else None
        try:
            content = store.read_page(_page(slug, _INPUT))
            fingerprint = fingerprint_of(equipment, content, records=records, features_of=config.features_of)
            if (stored := _stored(store, address, fingerprint)) is not None:
                context.log.info("Nothing has changed since it was made: it stays as it is.")
                return _result(store, address, *stored)
            labelled = label_with(
                equipment,
                parse_graph(content, place=store.page_location(_page(slug, _INPUT))),
                records=records,
                features_of=config.features_of,
                tell=context.log.debug,
            )
            said = labels_said(labelled, experiment=experiment.name)
            # Both are made before anything is stored.
            pages = {f"{slug}.json": graph_file(labelled), _labels_name(slug): labels_file(said)}
            for name, page in pages.items():
                store.write_page(_page(slug, name), page)
            # Last, as its fingerprint says that all is there.
            entry = store.write(address, labelled.table, schema=GraphLabels, fingerprint=fingerprint or "")
            return _result(store, address, labelled.table, entry, said)
        except BaezError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error

    return labelled_graph


def _page(slug: str, name: str) -> str:
    return f"graphs/{slug}/{name}"


def _labels_name(slug: str) -> str:
    return f"{slug}.labels.json"


def _stored(
    store: Store, address: Address, fingerprint: str | None
) -> tuple[pl.DataFrame, Entry, Mapping[str, Any]] | None:
    """The table and what is said beside it, where both were made of the same and nothing of them failed."""
    entry = store.entry(address)
    if entry is None or fingerprint is None or entry.fingerprint != fingerprint:
        return None
    slug = address.feature
    assert slug is not None
    try:
        table = store.read(address, schema=GraphLabels)
        store.read_page(_page(slug, f"{slug}.json"))
        said = json.loads(store.read_page(_page(slug, _labels_name(slug))))
    except TableError:
        # A page is gone: it is made anew.
        return None
    return None if (table["state"] == "failed").any() else (table, entry, said)


def _result(
    store: Store, address: Address, table: pl.DataFrame, entry: Entry, said: Mapping[str, Any]
) -> dg.MaterializeResult[None]:
    slug = address.feature
    assert slug is not None
    return dg.MaterializeResult(
        metadata={
            **table_metadata(table, entry, store.location(address)),
            "graph": dg.MetadataValue.path(store.page_location(_page(slug, f"{slug}.json"))),
            **_measures(said),
        }
    )


def _measures(said: Mapping[str, Any]) -> dict[str, float | int | str]:
    before, after, dictionary = said["before"], said["after"], said["features_of"]
    measures: dict[str, float | int | str] = {
        "features_of": f"{dictionary['model']}/{dictionary['source_set']} (by {dictionary['named_by']})",
        "labelled_nodes": after["n_labelled"],
        "feature_nodes": after["n_features"],
        "influence_labelled_before": round(before["influence_labelled"], 4),
        "influence_labelled_after": round(after["influence_labelled"], 4),
        "pinned_nodes": after["n_pinned"],
        "supernodes": len(said["neuronpedia_subgraph"]["supernodes"]),
        "usd_so_far": round(said["usd"], 6),
    }
    if after["scores"]:
        measures |= {
            "replacement_score": round(after["scores"]["replacement"], 4),
            "completeness_score": round(after["scores"]["completeness"], 4),
        }
    return measures
