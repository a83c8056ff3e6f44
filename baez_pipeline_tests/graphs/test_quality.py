import numpy as np
import pytest

from baez_pipeline.graphs.quality import graph_scores, node_influence, quality_of
from baez_pipeline.graphs.reading import GraphError, read_graph
from baez_pipeline_tests.graphs.made_up import error, feature, graph_body, graph_of, link, shared


def test_influence_and_scores_are_those_worked_out_by_hand():
    graph = graph_of(graph_body())
    influence = node_influence(graph)
    # The logit (p = .5) takes 6/8 from the last feature and 2/8 from the error.
    assert influence["20_13_3"] == pytest.approx(0.375)
    assert influence["0_11_2"] == influence["1_12_2"] == pytest.approx(0.375 / 4)
    assert influence["0_1_2"] == pytest.approx(0.125 + 0.375 / 4 / 4)
    tokens, errors = 0.375 / 2 + 0.375 / 4 + 0.375 / 4 * 3 / 4, 0.125 + 0.375 / 16
    scores = graph_scores(graph)
    assert scores.replacement == pytest.approx(tokens / (tokens + errors))
    output = 0.5 + 0.375 + 2 * 0.375 / 4 + tokens + errors
    assert scores.completeness == pytest.approx(1 - (0.5 / 4 + 0.375 / 4 / 4) / output)


def test_what_is_not_pinned_counts_as_an_error_of_its_layer_and_position():
    graph = graph_of(graph_body())
    all_pinned = graph_scores(graph, pinned=["0_11_2", "1_12_2", "20_13_3"])
    assert all_pinned == graph_scores(graph)
    # 1_12_2 goes into the error of layer 1 there; 0_11_2 has none, and is dropped.
    some = graph_scores(graph, pinned=["20_13_3"])
    tokens, errors = 0.375 * 4 / 6, 0.125 + 0.375 * 2 / 6
    assert some.replacement == pytest.approx(tokens / (tokens + errors))


def test_an_unexplored_node_is_merged_into_no_error_as_in_neuronpedias_worker():
    body = graph_body()
    body["nodes"][3]["feature_type"] = "unexplored node"
    body["nodes"][2]["feature_type"] = "unexplored node"
    assert graph_scores(graph_of(body), pinned=["20_13_3"]) == graph_scores(graph_of(graph_body()))


def test_the_share_of_influence_is_of_feature_nodes_alone():
    graph = graph_of(graph_body())
    quality = quality_of(graph, labelled=["20_13_3"], pinned=["20_13_3"])
    assert quality.influence_labelled == pytest.approx(2 / 3)
    assert (quality.n_labelled, quality.n_features, quality.n_pinned) == (1, 3, 1)


def test_a_graph_with_attention_features_has_no_score():
    body = graph_body()
    body["nodes"].append(feature(3, 4, 1, feature_type="lorsa"))
    assert graph_scores(graph_of(body)) is None


def test_links_in_a_circle_are_an_error_and_no_endless_loop():
    round_and_round = [link("20_13_3", "0_11_2", 1.0), link("0_11_2", "20_13_3", 1.0)]
    body = graph_body() | {"links": [*round_and_round, link("20_13_3", "27_22605_3", 1.0)]}
    with pytest.raises(GraphError, match="run in a circle"):
        node_influence(graph_of(body))


def test_a_graph_without_links_scores_nothing():
    body = graph_body() | {"links": []}
    assert graph_scores(graph_of(body)).replacement == 0


@pytest.mark.parametrize("every", [1, 3])
def test_the_real_graph_scores_as_the_dense_matrices_of_the_interfaces_do(every):
    graph = read_graph(shared("dallas_austin_gemma2_2b_clt_graph.json"))
    pinned = [node.node_id for node in graph.nodes if node.is_feature][::every]
    ours = graph_scores(graph, pinned=pinned)
    assert (ours.replacement, ours.completeness) == pytest.approx(_dense(graph, pinned), rel=1e-9)


def _dense(graph, pinned):
    """Node by node, in the order of Neuronpedia's score.worker.ts."""
    place = {node.node_id: i for i, node in enumerate(graph.nodes)}
    weights = np.zeros((len(place), len(place)))
    for each in graph.links:
        weights[place[each.target], place[each.source]] = each.weight
    errors = {(node.layer, node.ctx_idx): place[node.node_id] for node in graph.nodes if node.kind == "error"}
    for i, node in enumerate(graph.nodes):
        if node.kind == "feature" and node.node_id not in pinned:
            if (node.layer, node.ctx_idx) in errors:
                weights[:, errors[node.layer, node.ctx_idx]] += weights[:, i]
            weights[i] = weights[:, i] = 0
    weights = np.abs(weights) / np.maximum(np.abs(weights).sum(1, keepdims=True), 1e-10)
    logits = np.array([node.token_prob if node.kind == "logit" else 0 for node in graph.nodes])
    influence = logits @ np.linalg.inv(np.eye(len(place)) - weights) - logits
    kinds = np.array([node.kind for node in graph.nodes])
    tokens, wrong = influence[kinds == "embedding"].sum(), influence[kinds == "error"].sum()
    output = influence + logits
    right = 1 - weights[:, kinds == "error"].sum(1)
    return tokens / (tokens + wrong), (right * output).sum() / output.sum()


def test_an_error_node_never_counts_as_labelled():
    body = graph_body()
    body["nodes"].append(error(20, 3))
    assert quality_of(graph_of(body), labelled=["0_20_3"], pinned=[]).n_labelled == 0
