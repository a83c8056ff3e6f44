"""Which nodes are pinned, and which of them are drawn as one: supernodes.

Two nodes belong together if they are of one tier and window, are called alike, take from and give to the same nodes,
and stand at one position. Groups are complete-link clusters: every two nodes of a group are that close.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from baez_pipeline.graphs.reading import Graph
from baez_pipeline.graphs.scoring import Embed

MOST_PINNED = 200
"""circuit-tracer's viewer draws the first 200 only (init-cg-subgraph.js)."""
LABEL_WEIGHT, EDGES_WEIGHT, POSITION_WEIGHT = 0.5, 0.3, 0.2
"""Parts of a likeness of 1. Our choice: the label counts most, as the group is called by it."""
CLOSE = 0.35
"""Largest distance in a group, 1 - likeness: equal labels at one position always are (.3 at most); at two positions
only with edges that are half alike."""
_NEVER = 2.0


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A labelled feature node, as far as grouping is concerned."""

    node_id: str
    label: str
    """As it is shown."""
    sort: tuple[int | None, str | None]
    """Tier and window: nodes of different ones are never drawn as one."""
    position: int
    influence: float
    groupable: bool
    """Its label is certain enough to be a group's."""


@dataclass(frozen=True, kw_only=True)
class Subgraph:
    """What the interfaces show apart."""

    pinned: tuple[str, ...]
    supernodes: tuple[tuple[str, ...], ...]
    """Label first, then two node ids or more, all of them pinned, each in one group."""


def propose_subgraph(graph: Graph, labelled: Sequence[Labelled], embed: Embed) -> Subgraph:
    """Pins and groups for the labelled nodes; what the file has pinned and grouped already stays.

    Pinned are also the prompt's tokens that lead to a pinned feature directly, and the logit that the graph is about.

    Args:
        graph: the graph.
        labelled: its labelled feature nodes.
        embed: the embedder of labels.
    """
    known = {node.node_id for node in graph.nodes}
    own_groups = _own_groups(graph, known)
    grouped = {member for _, *members in own_groups for member in members}
    own = list(
        dict.fromkeys([*_present(graph.view.pinned, known), *(m for _, *members in own_groups for m in members)])
    )
    by_influence = sorted(labelled, key=lambda each: (-each.influence, each.node_id))
    # Tokens and the logit come last and need room.
    room = max(0, MOST_PINNED - len(own) - len(graph.metadata.prompt_tokens) - 1)
    chosen = [each for each in by_influence if each.node_id not in own][:room]
    features = [*own, *(each.node_id for each in chosen)]
    pinned = list(dict.fromkeys([*features, *_ends(graph, set(features))]))
    free = [
        each for each in by_influence if each.node_id in features and each.node_id not in grouped and each.groupable
    ]
    return Subgraph(pinned=tuple(pinned), supernodes=(*own_groups, *_groups(graph, free, embed)))


def _own_groups(graph: Graph, known: Collection[str]) -> list[tuple[str, ...]]:
    """The groups that the file has, with those of their members that the graph has; each node in the first of its own.

    Groups of fewer than two are left out, as the interfaces do.
    """
    free, groups = set(known), list[tuple[str, ...]]()
    for group in graph.view.supernodes:
        members = tuple(dict.fromkeys(_present(group[1:], free)))
        if len(members) > 1:
            groups.append((group[0], *members))
            free.difference_update(members)
    return groups


def _present(ids: Sequence[str], known: Collection[str]) -> list[str]:
    return [each for each in ids if each in known]


def _ends(graph: Graph, features: Collection[str]) -> list[str]:
    kinds = {node.node_id: node.kind for node in graph.nodes}
    tokens = [link.source for link in graph.links if link.target in features and kinds[link.source] == "embedding"]
    logits = [node.node_id for node in graph.nodes if node.kind == "logit" and node.is_target_logit]
    return [*sorted(set(tokens)), *logits] if features else []


def _groups(graph: Graph, nodes: Sequence[Labelled], embed: Embed) -> list[tuple[str, ...]]:
    """Groups of nodes that are given by influence, the strongest group first."""
    if len(nodes) < 2:
        return []
    distances = 1 - _likeness(graph, nodes, embed)
    apart = np.array([[one.sort != other.sort for other in nodes] for one in nodes])
    distances[apart] = _NEVER
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(distances, checks=False), method="complete")
    clusters: dict[int, list[Labelled]] = {}
    for node, cluster in zip(nodes, fcluster(tree, CLOSE, criterion="distance"), strict=True):
        clusters.setdefault(int(cluster), []).append(node)
    return [(_name(members), *(node.node_id for node in members)) for members in clusters.values() if len(members) > 1]


def _name(members: Sequence[Labelled]) -> str:
    """The label that has most of the members' influence."""
    shares: dict[str, float] = {}
    for node in members:
        shares[node.label] = shares.get(node.label, 0.0) + node.influence
    return max(shares, key=lambda label: shares[label])


def _likeness(graph: Graph, nodes: Sequence[Labelled], embed: Embed) -> NDArray[np.float64]:
    """How alike nodes are, [n, n], 0 to 1; below 0 counts as 0."""
    labels = np.asarray(embed([node.label for node in nodes]), dtype=float)
    positions = np.array([node.position for node in nodes])
    return (
        LABEL_WEIGHT * np.clip(labels @ labels.T, 0, 1)
        + EDGES_WEIGHT * np.clip(_edge_likeness(graph, nodes), 0, 1)
        + POSITION_WEIGHT * np.equal.outer(positions, positions)
    )


def _edge_likeness(graph: Graph, nodes: Sequence[Labelled]) -> NDArray[np.float64]:
    """Mean of the cosines of what nodes take in and of what they give, with signs, [n, n]."""
    places: Mapping[str, int] = {node.node_id: i for i, node in enumerate(graph.nodes)}
    rows = {node.node_id: i for i, node in enumerate(nodes)}
    taken, given = np.zeros((2, len(nodes), len(graph.nodes)))
    for link in graph.links:
        if link.target in rows:
            taken[rows[link.target], places[link.source]] = link.weight
        if link.source in rows:
            given[rows[link.source], places[link.target]] = link.weight
    return (_cosines(taken) + _cosines(given)) / 2


def _cosines(profile: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(profile, axis=1, keepdims=True)
    units = np.divide(profile, lengths, out=np.zeros_like(profile), where=lengths > 0)
    return units @ units.T
