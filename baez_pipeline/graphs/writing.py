"""Writing a labelled graph: one file that both viewers open, and one beside it that says what each label rests on.

Labels are the feature nodes' `clerp`, which circuit-tracer shows. Neuronpedia shows its own dashboard's label where the
feature has one, and ours where a subgraph overrides it: the file beside the graph holds that subgraph, ready to send.

The graph file has no `qParams.clerps`, and one that it had is taken into the nodes: circuit-tracer parses it as text
(init-cg.js), Neuronpedia searches it as a list (graph-provider.tsx), and each fails on what the other reads.
"""

import copy
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl

from baez_pipeline.errors import TableError
from baez_pipeline.exports.files import replace_files
from baez_pipeline.graphs.grouping import Subgraph
from baez_pipeline.graphs.label_text import label_text
from baez_pipeline.graphs.labelled import LabelledGraph
from baez_pipeline.graphs.reading import Graph, parse_graph


def graph_file(labelled: LabelledGraph) -> bytes:
    """The graph with its labels, pins and groups, as JSON. Nothing but `qParams` and feature nodes' `clerp` is changed.

    Raises:
        GraphError: what was made could not be read again, which is a defect of ours.
    """
    graph, subgraph = labelled.graph, labelled.subgraph
    labels = _labels(labelled)
    body: dict[str, Any] = copy.deepcopy(dict(graph.body))
    for written, node in zip(body["nodes"], graph.nodes, strict=True):
        # A label that stays is not written anew: the file may hold characters that no table does.
        if labels.get(node.node_id, node.clerp) != node.clerp:
            written["clerp"] = labels[node.node_id]
    view = {name: value for name, value in body["qParams"].items() if name != "clerps"}
    body["qParams"] = {
        "clickedId": "",
        "sg_pos": "",
        **view,
        "linkType": view.get("linkType") or "both",
        "pinnedIds": list(subgraph.pinned),
        "supernodes": [list(group) for group in subgraph.supernodes],
    }
    # In ASCII: a file may hold half of a surrogate pair anywhere, which JSON can escape and UTF-8 has no bytes for.
    content = json.dumps(body).encode()
    parse_graph(content, place=f"the labelled {graph.place}")
    return content


def labels_said(labelled: LabelledGraph, *, experiment: str) -> dict[str, Any]:
    """What is known of each label, and what the interfaces take beside the graph.

    Args:
        labelled: the graph.
        experiment: by whose settings it was labelled.
    """
    graph = labelled.graph
    return {
        "graph": graph.metadata.slug,
        "experiment": experiment,
        "features_of": asdict(labelled.dictionary),
        "usd": labelled.usd,
        "before": asdict(labelled.before),
        "after": asdict(labelled.after),
        "nodes": labelled.table.to_dicts(),
        "view_before": {
            "pinnedIds": list(graph.view.pinned),
            "supernodes": [list(group) for group in graph.view.supernodes],
        },
        "neuronpedia_subgraph": neuronpedia_subgraph(labelled),
        "circuit_tracer_query": viewer_query(graph, labelled.subgraph),
    }


def labels_file(said: Mapping[str, Any]) -> bytes:
    """The same as JSON."""
    return json.dumps(said, indent=1).encode()


def neuronpedia_subgraph(labelled: LabelledGraph) -> dict[str, Any]:
    """The body of Neuronpedia's `POST /api/graph/subgraph/save` (field guide, evaluation-and-tiers, 9)."""
    graph, labels = labelled.graph, _labels(labelled)
    return {
        "modelId": labelled.dictionary.model,
        "slug": graph.metadata.slug,
        "displayName": "labels by tier",
        "pinnedIds": list(labelled.subgraph.pinned),
        "supernodes": [list(group) for group in labelled.subgraph.supernodes],
        "clerps": [
            [node.override_key, label_text(labels[node.node_id])]
            for node in graph.nodes
            if node.node_id in labels and node.feature is not None
        ],
        "pruningThreshold": graph.metadata.node_threshold,
        "densityThreshold": None,
    }


def viewer_query(graph: Graph, subgraph: Subgraph) -> str:
    """What follows the address of circuit-tracer's viewer: it takes pins from the file, but groups from the address."""
    # It decodes what the browser has decoded once more (util.js).
    groups = quote(quote(json.dumps([list(group) for group in subgraph.supernodes])))
    return f"?slug={quote(graph.metadata.slug)}&supernodes={groups}"


def check_output(graph: Graph, folder: Path) -> tuple[Path, Path]:
    """Where the labelled graph and its labels go; asked before the work is done, which may cost something.

    Args:
        graph: the graph.
        folder: where to; it must not be the one that the graph was read from.

    Raises:
        TableError: the folder cannot be written to, or the graph itself lies there under that name.
    """
    slug, read = graph.metadata.slug, Path(graph.place).resolve()
    paths = folder / f"{slug}.json", folder / f"{slug}.labels.json"
    for path in paths:
        if path.exists() and path.resolve() == read:
            raise TableError(
                f"{path} is the file that was read, and would be replaced: choose another folder (--output)."
            )
        if path.is_dir():
            raise TableError(f"{path} is a folder, and the labelled graph goes there: choose another one (--output).")
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise TableError(
            f"The labelled graph cannot be written to {folder}: {there} is no folder that can be written to. Choose "
            "another one (--output)."
        )
    return paths


def write_graph(labelled: LabelledGraph, folder: Path, *, experiment: str) -> tuple[Path, Path]:
    """Write `<slug>.json` and `<slug>.labels.json` into a folder; a reader sees whole files only.

    Args:
        labelled: the graph.
        folder: where to; it must not be the one that the graph was read from.
        experiment: by whose settings it was labelled.

    Raises:
        TableError: the folder cannot be written to, or the graph itself lies there under that name.
    """
    graph, labels = check_output(labelled.graph, folder)
    said = labels_said(labelled, experiment=experiment)
    replace_files(folder, {graph.name: graph_file(labelled), labels.name: labels_file(said)})
    return graph, labels


def _labels(labelled: LabelledGraph) -> dict[str, str]:
    chosen = labelled.table.filter(pl.col("label").is_not_null())
    return dict(zip(chosen["node_id"], chosen["label"], strict=True))
