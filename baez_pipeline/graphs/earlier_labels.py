"""Labels that an earlier run of ours gave to a graph: they are made anew, and only those of others are kept.

The file of labels beside a labelled graph says which are ours, and which pins and groups the graph had before.
"""

import copy
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from baez_pipeline.graphs.reading import Graph, GraphError, parse_graph, read_graph


class _Said(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Node(_Said):
    node_id: str
    state: str
    label: str | None


class _View(_Said):
    pinnedIds: list[str]
    supernodes: list[list[str]]


class _Labels(_Said):
    graph: str
    nodes: list[_Node]
    view_before: _View
    neuronpedia_subgraph: _View


def read_to_label(path: Path) -> Graph:
    """The graph in a file, without what an earlier run of ours put in: labels, pins and groups.

    A label that was changed since is somebody's own, and so are pins and groups that we did not propose.

    Args:
        path: the graph; beside it may lie `<name>.labels.json` or `<slug>.labels.json`.

    Raises:
        GraphError: it cannot be read, or is no attribution graph; or the labels beside it cannot be read.
    """
    graph = read_graph(path)
    names = dict.fromkeys(f"{name}.labels.json" for name in (path.stem, graph.metadata.slug))
    beside = next((found for name in names if (found := path.with_name(name)) != path and found.is_file()), None)
    if beside is None:
        return graph
    labels = _labels(beside)
    return _without(graph, labels) if labels.graph == graph.metadata.slug else graph


def _labels(path: Path) -> _Labels:
    try:
        return _Labels.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.errors()[0]["loc"] if isinstance(error, ValidationError) else str(error)[:100]
        raise GraphError(
            f"{path} lies beside the graph, but is not what `baez graph label` wrote there ({reason}). Take it "
            "away, and all labels of the graph count as somebody's own, which stay."
        ) from error


def _without(graph: Graph, labels: _Labels) -> Graph:
    """The graph as it was before it got these labels, but for what was changed since."""
    ours = {node.node_id: node.label for node in labels.nodes if node.state == "labelled" and node.label}
    before, proposed = labels.view_before, labels.neuronpedia_subgraph
    body: dict[str, Any] = copy.deepcopy(dict(graph.body))
    for written, node in zip(body["nodes"], graph.nodes, strict=True):
        if node.is_feature and ours.get(node.node_id) == node.clerp:
            written["clerp"] = ""
    pins = set(proposed.pinnedIds).difference(before.pinnedIds)
    groups = [group for group in proposed.supernodes if group not in before.supernodes]
    body["qParams"] |= {
        "pinnedIds": [each for each in graph.view.pinned if each not in pins],
        "supernodes": [list(group) for group in graph.view.supernodes if list(group) not in groups],
    }
    return parse_graph(json.dumps(body).encode(), place=graph.place)
