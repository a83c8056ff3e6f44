"""A graph with its labels: what became of each feature node, which are pinned and grouped, and what that gained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from baez_pipeline.features.activation_row import text_of
from baez_pipeline.graphs.dictionary import Dictionary
from baez_pipeline.graphs.grouping import Labelled, Subgraph, propose_subgraph
from baez_pipeline.graphs.label_text import label_text
from baez_pipeline.graphs.labelling import FeatureLabel, Means, label_by_tier
from baez_pipeline.graphs.quality import Quality, node_influence, quality_of
from baez_pipeline.graphs.reading import FeatureId, Graph, Node
from baez_pipeline.graphs.records import Records
from baez_pipeline.tables import GraphLabels

_WINDOWS = ("input", "output", "cross")
_OF_LABELS = ("method", "writer", "score", "score_low", "score_high", "scored_by", "n_test", "n_negatives", "evidence")


@dataclass(frozen=True, kw_only=True)
class LabelledGraph:
    """A graph and everything that is said of it."""

    graph: Graph
    dictionary: Dictionary
    """What its features are numbers of."""
    table: pl.DataFrame
    """GraphLabels."""
    subgraph: Subgraph
    before: Quality
    after: Quality
    usd: float
    """What its labels have cost, in US dollars, over all runs."""


def label_graph(
    graph: Graph, records: Records, means: Means, *, cost: Callable[[], Mapping[str, float]]
) -> LabelledGraph:
    """Label a graph's features, and propose its subgraph. A node that has a label keeps it.

    Args:
        graph: the graph.
        records: of its features.
        means: what they are labelled with.
        cost: feature key -> US dollars; called once the labels are there.

    Raises:
        GraphError: its links run in a circle.
        BaezError: what stops the run: no budget left, no access to the writer.
    """
    own_labels = _own_labels(graph)
    features = {feature: records.dictionary.key(feature) for feature in graph.features}
    in_need = {features[node.feature_id] for node in graph.nodes if node.is_feature and node.node_id not in own_labels}
    labels = label_by_tier({features[each]: record for each, record in records.found.items()}, means, in_need=in_need)
    influence, paid = node_influence(graph), cost()
    rows = [
        _row(node, features, records, labels, own_labels, influence, paid) for node in graph.nodes if node.is_feature
    ]
    table = pl.DataFrame(rows, schema=GraphLabels.create_empty().schema, orient="row")
    subgraph = propose_subgraph(graph, _labelled(table), means.embed)
    group_of = {member: text_of(label) for label, *members in subgraph.supernodes for member in members}
    table = table.with_columns(
        supernode=pl.col("node_id").replace_strict(group_of, default=None, return_dtype=pl.String)
    )
    with_label = set(table.filter(pl.col("label").is_not_null())["node_id"])
    return LabelledGraph(
        graph=graph,
        dictionary=records.dictionary,
        table=GraphLabels.validate(table),
        subgraph=subgraph,
        before=quality_of(graph, labelled=own_labels, pinned=graph.view.pinned),
        after=quality_of(graph, labelled=with_label, pinned=subgraph.pinned),
        usd=float(table.unique("feature")["usd"].sum()),
    )


def _own_labels(graph: Graph) -> dict[str, str]:
    """The labels that feature nodes have already: `clerp`, or a user's own in circuit-tracer's saved view.

    The latter are moved into the nodes, and made fit for it; what stands there already stays as it is.
    """
    by_feature = {feature: shown for feature, label in graph.view.clerps if (shown := label_text(label))}
    return {
        node.node_id: label
        for node in graph.nodes
        if node.is_feature and (label := by_feature.get(str(node.feature)) or node.clerp).strip()
    }


def _row(
    node: Node,
    features: Mapping[FeatureId, str],
    records: Records,
    labels: Mapping[str, FeatureLabel],
    own_labels: Mapping[str, str],
    influence: Mapping[str, float],
    paid: Mapping[str, float],
) -> dict[str, Any]:
    feature = node.feature_id
    key = features[feature]
    row: dict[str, Any] = {
        "node_id": node.node_id,
        "feature": key,
        "layer": feature.layer,
        "index": feature.index,
        "position": node.ctx_idx,
        "influence": influence[node.node_id],
        "uncertain": False,
        "usd": paid.get(key, 0.0),
    }
    made = labels.get(key)
    if made is not None:
        row |= _from_label(made)
    if node.node_id in own_labels:
        row |= {"state": "kept", "detail": None, "label": own_labels[node.node_id], "uncertain": False}
        row |= dict.fromkeys(_OF_LABELS)
    elif made is None:
        row |= {"state": "no_record", "detail": text_of(records.missing.get(feature, ""))}
    return row | {"evidence": row.get("evidence") or []}


def _from_label(made: FeatureLabel) -> dict[str, Any]:
    score, tier = made.score, made.tier
    shown = label_text(made.label) if made.label is not None else None
    if shown == "":
        made = replace(made, state="failed", detail="its label has no character that can be shown", label=None)
        score = None
    uncertain = score is not None and score.uncertain
    return {
        "state": made.state,
        "detail": text_of(made.detail),
        "label": None if made.label is None else label_text(made.label, uncertain=uncertain),
        "uncertain": uncertain,
        "tier": tier["tier"],
        "window": tier["window"],
        "method": made.method,
        "writer": made.writer,
        "score": score.auroc if score else None,
        "score_low": score.low if score else None,
        "score_high": score.high if score else None,
        "scored_by": score.scored_by if score else None,
        "n_test": score.n_test if score else None,
        "n_negatives": score.n_negatives if score else None,
        "evidence": list(made.evidence),
        **{f"{name}_{window}": tier[f"{name}_{window}"] for name in "rzpq" for window in _WINDOWS},
    }


def _labelled(table: pl.DataFrame) -> list[Labelled]:
    return [
        Labelled(
            node_id=row["node_id"],
            label=row["label"],
            sort=(row["tier"], row["window"]),
            position=row["position"],
            influence=row["influence"],
            groupable=row["state"] == "labelled" and not row["uncertain"],
        )
        for row in table.filter(pl.col("label").is_not_null()).iter_rows(named=True)
    ]
