import json

import pytest

from baez_pipeline.graphs.dictionary import named_in
from baez_pipeline.graphs.reading import FeatureId, GraphError, cantor, parse_graph, read_graph
from baez_pipeline_tests.graphs.made_up import changed, feature, graph_body, graph_of, shared


def test_a_feature_is_told_by_its_type_and_its_layer_and_index_by_its_node_id():
    graph = graph_of(graph_body())
    assert graph.features == [FeatureId(0, 11), FeatureId(1, 12), FeatureId(20, 13)]
    kinds = {node.node_id: node.kind for node in graph.nodes}
    assert kinds["0_1_2"] == "error"
    assert kinds["27_22605_3"] == "logit"


def test_the_real_graph_is_read_and_its_source_set_found():
    graph = read_graph(shared("dallas_austin_gemma2_2b_clt_graph.json"))
    assert (len(graph.nodes), len(graph.links), len(graph.features)) == (322, 3506, 191)
    assert (named_in(graph).model, named_in(graph).source_set) == ("gemma-2-2b", "clt-hp")
    assert cantor(1, 57794) == 1670217704


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (("nodes", 2, "feature"), 67, "node '0_11_2': feature is 67; expected 77, the Cantor number"),
        (("nodes", 2, "node_id"), "0_11", "node '0_11': expected the id of a feature"),
        (("nodes", 2, "layer"), "3", "node '0_11_2': expected the id of a feature"),
        (("nodes", 3, "node_id"), "0_11_2", "node '0_11_2' is there twice"),
        (("nodes", 2, "ctx_idx"), 4, "ctx_idx is 4; expected less than the 4 tokens"),
        (("nodes", 2, "ctx_idx"), "two", "node '0_11_2', ctx_idx is \"two\""),
        (("links", 0, "weight"), None, "links.0.weight is null"),
        (("metadata", "slug"), "../../etc", "metadata.slug is"),
        (("metadata",), {"slug": "a"}, "metadata.scan is missing"),
        (("qParams", "supernodes"), ["x"], "qParams cannot be read"),
        (("qParams", "clerps"), "[not json", "qParams cannot be read"),
    ],
)
def test_what_is_wrong_is_said_with_file_node_found_and_expected(place, value, sentence):
    with pytest.raises(GraphError, match=r"graph\.json") as raised:
        graph_of(changed(graph_body(), place, value))
    assert sentence in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_graph_is_refused_in_a_sentence(content):
    with pytest.raises(GraphError, match=r"graph\.json is"):
        parse_graph(content, place="graph.json")


def test_a_cantor_number_is_asked_for_only_where_the_schema_has_it():
    body = changed(graph_body(), ("nodes", 2, "feature"), 11)
    del body["metadata"]["schema_version"]
    assert graph_of(body).features[0] == FeatureId(0, 11)


def test_a_view_saved_by_circuit_tracers_server_is_read_though_its_lists_are_text():
    view = {"pinnedIds": "0_11_2,1_12_2", "supernodes": json.dumps([["a", "0_11_2"]]), "clerps": '[["77","mine"]]'}
    read = graph_of(graph_body() | {"qParams": view}).view
    assert read.pinned == ("0_11_2", "1_12_2")
    assert read.supernodes == (("a", "0_11_2"),)
    assert read.clerps == (("77", "mine"),)


def test_an_attention_feature_has_a_source_set_of_its_own():
    body = graph_body()
    body["nodes"].append(feature(3, 4, 1, feature_type="lorsa"))
    body["metadata"]["feature_details"]["neuronpedia_lorsa_source_set"] = "lorsa-8x"
    graph = graph_of(body)
    assert FeatureId(3, 4, attention=True) in graph.features
    dictionary = named_in(graph).completed(model="", source_set="", by="nobody")
    assert dictionary.source(FeatureId(3, 4, attention=True)) == "3-lorsa-8x"
    assert dictionary.source(FeatureId(3, 4)) == "3-clt-hp"


def test_a_graph_without_features_has_nothing_to_label():
    body = graph_body()
    with pytest.raises(GraphError, match=r"graph\.json has 4 nodes and no feature among them"):
        graph_of(body | {"nodes": [node for node in body["nodes"] if node["feature_type"] != "cross layer transcoder"]})
    with pytest.raises(GraphError, match="has 0 nodes"):
        graph_of(body | {"nodes": [], "links": []})
