"""How much of a graph a labelled, pinned subgraph stands for, by the formulas of both interfaces.

`compute_graph_scores` and `compute_influence` in circuit-tracer's graph.py; the pinned subgraph as Neuronpedia's
graph/score.worker.ts has it. Theirs are dense matrices; here they are sparse, as are the graphs.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from baez_pipeline.graphs.reading import Graph, GraphError

_MOST_STEPS = 1000
"""After which the interfaces give up, too; a path has as many steps as the model has layers, or fewer."""
_SMALLEST_SUM = 1e-10
"""Divisor of a node without input, as in both interfaces."""
_MERGED = "cross layer transcoder"
"""What score.worker.ts takes for a feature: an `unexplored node` is left as it is, pinned or not."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What the interfaces show above a graph."""

    replacement: float
    """Of the influence that reaches the logits from tokens or errors, the share of tokens (0 to 1)."""
    completeness: float
    """Share of all nodes' input that comes from no error, nodes weighed by their influence (0 to 1)."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """A graph with certain labels and pins."""

    n_labelled: int
    """Feature nodes that have a label."""
    n_features: int
    """Feature nodes."""
    influence_labelled: float
    """Share of the feature nodes' influence on the logits that labelled ones have (0 to 1)."""
    n_pinned: int
    scores: Scores | None
    """Of the pinned subgraph, of the whole graph where nothing is pinned; None with attention features, for which
    Neuronpedia has no formula."""


def quality_of(graph: Graph, *, labelled: Collection[str], pinned: Collection[str]) -> Quality:
    """The quality of a graph.

    Args:
        graph: the graph.
        labelled: ids of the nodes that have a label.
        pinned: ids of the nodes of the subgraph.

    Raises:
        GraphError: its links run in a circle.
    """
    features = [node.node_id for node in graph.nodes if node.is_feature]
    influence = node_influence(graph)
    total = sum(influence[node_id] for node_id in features)
    of_labelled = sum(influence[node_id] for node_id in features if node_id in labelled)
    return Quality(
        n_labelled=sum(node_id in labelled for node_id in features),
        n_features=len(features),
        influence_labelled=of_labelled / total if total else 0.0,
        n_pinned=len(pinned),
        scores=graph_scores(graph, pinned=pinned),
    )


def node_influence(graph: Graph) -> dict[str, float]:
    """Each node's influence on the logits, direct and through others, by its id.

    With A the matrix of absolute weights (row: target), each row divided by its sum, and w the logits' probabilities:
    w A + w A² + ... (circuit-tracer, compute_influence). The file's own `influence` is another thing: the cumulative
    share of the nodes that have at least as much.

    Raises:
        GraphError: the links run in a circle.
    """
    influence = _influence(_normalised(_weights(graph)), _logit_weights(graph), graph.place)
    return {node.node_id: float(value) for node, value in zip(graph.nodes, influence, strict=True)}


def graph_scores(graph: Graph, *, pinned: Collection[str] = ()) -> Scores | None:
    """Replacement and completeness, of the pinned subgraph if anything is pinned.

    What a feature that is not pinned gives to others is added to what the error of its layer and position gives, if the
    graph has that error, and is dropped otherwise; then the feature is taken out. With A, w as in `node_influence` and
    i the influence: replacement = sum of i over tokens / sum over tokens and errors; completeness = weighted mean over
    all nodes of 1 - (share of the node's input that is from errors), weights i + w.

    Args:
        graph: the graph.
        pinned: node ids; only transcoder features among them matter.

    Returns:
        None for a graph with attention features.

    Raises:
        GraphError: the links run in a circle.
    """
    if any(node.feature_type.startswith("lorsa") for node in graph.nodes):
        return None
    weights = _normalised(_pinned_weights(graph, pinned) if pinned else _weights(graph))
    logits = _logit_weights(graph)
    influence = _influence(weights, logits, graph.place)
    is_error = np.array([node.kind == "error" for node in graph.nodes])
    is_token = np.array([node.kind == "embedding" for node in graph.nodes])
    from_tokens, from_errors = influence[is_token].sum(), influence[is_error].sum()
    not_from_errors = 1 - weights @ is_error.astype(float)
    output = influence + logits
    return Scores(
        replacement=_share(from_tokens, from_tokens + from_errors),
        completeness=_share((not_from_errors * output).sum(), output.sum()),
    )


def _weights(graph: Graph) -> sparse.csr_array:
    place = {node.node_id: i for i, node in enumerate(graph.nodes)}
    # Of two links between the same nodes the last one counts, as in the interfaces.
    cells = {(place[link.target], place[link.source]): link.weight for link in graph.links}
    rows, columns = zip(*cells, strict=True) if cells else ((), ())
    size = len(graph.nodes)
    return sparse.csr_array((list(cells.values()), (rows, columns)), shape=(size, size), dtype=float)


def _pinned_weights(graph: Graph, pinned: Collection[str]) -> sparse.csr_array:
    """The weights with features that are not pinned merged into errors."""
    errors = {(str(node.layer), node.ctx_idx): i for i, node in enumerate(graph.nodes) if node.kind == "error"}
    size = len(graph.nodes)
    kept, goes_to = np.ones(size), np.arange(size)
    for i, node in enumerate(graph.nodes):
        if node.feature_type == _MERGED and node.node_id not in pinned:
            kept[i] = 0
            goes_to[i] = errors.get((str(node.layer), node.ctx_idx), -1)
    moved = goes_to >= 0
    merge = sparse.csr_array((np.ones(moved.sum()), (np.flatnonzero(moved), goes_to[moved])), shape=(size, size))
    return sparse.diags_array(kept) @ _weights(graph) @ merge


def _normalised(weights: sparse.csr_array) -> sparse.csr_array:
    absolute = abs(weights)
    sums = np.maximum(np.asarray(absolute.sum(axis=1)).ravel(), _SMALLEST_SUM)
    return sparse.csr_array(sparse.diags_array(1 / sums) @ absolute)


def _logit_weights(graph: Graph) -> NDArray[np.float64]:
    return np.array([(node.token_prob or 0.0) if node.kind == "logit" else 0.0 for node in graph.nodes])


def _influence(weights: sparse.csr_array, logits: NDArray[np.float64], place: str) -> NDArray[np.float64]:
    transposed = sparse.csr_array(weights.T)
    current = transposed @ logits
    total = current.copy()
    for _ in range(_MOST_STEPS):
        if not current.any():
            return total
        current = transposed @ current
        total += current
    raise GraphError(f"{place}: the links run in a circle; expected each to lead from an earlier node to a later one.")


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
