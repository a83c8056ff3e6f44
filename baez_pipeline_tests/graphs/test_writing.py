import json
from urllib.parse import parse_qs, unquote

import jsonschema
import pytest

from baez_pipeline.errors import TableError
from baez_pipeline.graphs.label_text import MOST_CHARACTERS, label_text
from baez_pipeline.graphs.reading import read_graph
from baez_pipeline.graphs.writing import (
    check_output,
    graph_file,
    labels_file,
    labels_said,
    neuronpedia_subgraph,
    viewer_query,
    write_graph,
)
from baez_pipeline.llm.chat import Completion
from baez_pipeline_tests.graphs.labelled import ALSO_INPUT, INPUT, OUTPUT, Writer, labelled_graph, means, row_of
from baez_pipeline_tests.graphs.made_up import TOPIC, feature_body, graph_body, shared


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    body = graph_body()
    body["metadata"]["info"] = {"creator_name": "somebody", "unknown": [1, 2]}
    body["qParams"] |= {"clerps": "[]", "pruningThreshold": "0.5"}
    return labelled_graph(tmp_path_factory.mktemp("graph"), [INPUT, ALSO_INPUT, OUTPUT], body=body)


def test_only_the_clerp_of_features_and_the_view_are_changed(labelled):
    before, after = labelled.graph.body, json.loads(graph_file(labelled))
    assert {key: value for key, value in after.items() if key not in ("qParams", "nodes")} == {
        key: value for key, value in before.items() if key not in ("qParams", "nodes")
    }
    changed = {new["node_id"] for old, new in zip(before["nodes"], after["nodes"], strict=True) if old != new}
    assert changed == {"0_11_2", "1_12_2", "20_13_3"}
    for old, new in zip(before["nodes"], after["nodes"], strict=True):
        assert {**old, "clerp": ""} == {**new, "clerp": ""} or old == new


def test_labels_raise_the_share_of_influence_and_group_what_is_alike(labelled):
    assert labelled.before.influence_labelled == 0
    assert labelled.after.influence_labelled == pytest.approx(1.0)
    assert labelled.subgraph.supernodes == (('"capital"', "0_11_2", "1_12_2"),)
    assert row_of(labelled, "0_11_2")["supernode"] == '"capital"'
    assert row_of(labelled, "20_13_3")["supernode"] is None


def test_the_view_pins_every_member_and_holds_no_list_of_labels_that_only_one_viewer_can_read(labelled):
    view = json.loads(graph_file(labelled))["qParams"]
    assert view["supernodes"] == [['"capital"', "0_11_2", "1_12_2"]]
    assert set(view["supernodes"][0][1:]) <= set(view["pinnedIds"])
    assert view["linkType"] == "both" and view["pruningThreshold"] == "0.5"
    assert "clerps" not in view


def test_the_output_is_valid_by_neuronpedias_schema(labelled):
    schema = json.loads(shared("neuronpedia_graph_schema.json").read_bytes())
    body = json.loads(graph_file(labelled))
    jsonschema.Draft7Validator(schema).validate(body)
    body["nodes"][0]["node_id"] = 3
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate(body)


def test_neuronpedias_overrides_name_layer_raw_feature_and_position(labelled):
    said = json.loads(labels_file(labels_said(labelled, experiment="small")))
    overrides = dict(said["neuronpedia_subgraph"]["clerps"])
    assert overrides == {"0_77_2": '"capital"', "1_103_2": '"capital"', "20_574_3": 'say "Austin"'}
    assert said["neuronpedia_subgraph"]["modelId"] == "gemma-2-2b"


def test_the_file_beside_it_says_what_each_label_rests_on(labelled):
    said = json.loads(labels_file(labels_said(labelled, experiment="small")))
    node = next(row for row in said["nodes"] if row["node_id"] == "20_13_3")
    assert node["tier"] == 1 and node["window"] == "output" and node["q_output"] <= 0.05
    assert {"r_input", "z_cross", "p_output", "score", "usd", "evidence", "method"} <= node.keys()
    assert 0.5 < node["score_low"] < node["score"] == node["score_high"] == 1
    assert said["features_of"]["model"] == "gemma-2-2b"
    assert said["after"]["influence_labelled"] > said["before"]["influence_labelled"]
    assert said["usd"] == 0


def test_the_viewers_address_survives_its_second_decoding(labelled):
    groups = parse_qs(viewer_query(labelled.graph, labelled.subgraph)[1:])["supernodes"][0]
    assert json.loads(unquote(groups)) == [['"capital"', "0_11_2", "1_12_2"]]


def test_files_are_written_and_read_again_and_the_input_is_never_replaced(labelled, tmp_path):
    graph, labels = write_graph(labelled, tmp_path / "out", experiment="small")
    assert read_graph(graph).nodes[2].clerp == '"capital"'
    assert labels.name == "small-graph.labels.json"
    with pytest.raises(TableError, match="choose another folder"):
        check_output(read_graph(graph), tmp_path / "out")


@pytest.mark.parametrize("taken", ["out", "out/small-graph.json", "out/small-graph.labels.json"])
def test_an_output_that_cannot_be_written_is_refused_and_nothing_is_made(labelled, tmp_path, taken):
    (tmp_path / taken).mkdir(parents=True)
    if taken == "out":
        (tmp_path / "out").rmdir()
        (tmp_path / "out").write_text("a file")
    with pytest.raises(TableError, match=r"Choose another one|choose another one"):
        check_output(labelled.graph, tmp_path / "out")
    assert check_output(labelled.graph, tmp_path / "new" / "er")[0].name == "small-graph.json"
    assert not (tmp_path / "new").exists()


HALF = "\ud83d"


def with_halves():
    """A graph with halves of surrogate pairs in whatever holds text, as JavaScript leaves them when it cuts one."""
    body = graph_body()
    body["metadata"] |= {"prompt_tokens": ["<bos>", "The", f" {HALF}", " is"], "info": {"creator_name": f"x{HALF}"}}
    body["nodes"][-1]["clerp"] = f'Output "{HALF}" (p=0.100)'
    body["nodes"][3]["clerp"] = f"mine {HALF}"
    body["qParams"] |= {"supernodes": [[f"group {HALF}", "20_13_3", "E_5_3"]], "clerps": [["103", ""]], "more": HALF}
    return body


def test_half_a_surrogate_pair_anywhere_in_the_graph_goes_through(tmp_path):
    body = with_halves()
    record = feature_body(0, 11, at=f"capital{HALF}")
    labelled = labelled_graph(tmp_path, [record, ALSO_INPUT, OUTPUT], body=body)
    graph, labels = write_graph(labelled, tmp_path / "out", experiment="small")
    written = json.loads(graph.read_bytes())
    assert written["metadata"]["info"] == body["metadata"]["info"] and written["qParams"]["more"] == HALF
    assert written["nodes"][3]["clerp"] == f"mine {HALF}"
    assert row_of(labelled, "1_12_2")["label"] == "mine \ufffd"
    assert row_of(labelled, "20_13_3")["supernode"] == "group \ufffd"
    assert row_of(labelled, "0_11_2")["label"] == '"capital\ufffd"'
    assert json.loads(labels.read_bytes())["graph"] == "small-graph"
    assert viewer_query(labelled.graph, labelled.subgraph).isascii()


def test_somebodys_label_stays_as_it_is_in_its_node_but_is_made_fit_where_it_is_moved(tmp_path):
    body = graph_body()
    body["nodes"][3]["clerp"] = "<b>mine</b>"
    body["qParams"]["clerps"] = [["77", "<img src=x onerror=alert(1)>" + "y" * 60], ["574", "\u200b"]]
    labelled = labelled_graph(tmp_path, [OUTPUT], body=body)
    clerps = {node["node_id"]: node["clerp"] for node in json.loads(graph_file(labelled))["nodes"]}
    assert clerps["1_12_2"] == "<b>mine</b>"
    assert clerps["0_11_2"].startswith("‹img src=x onerror=alert(1)›y") and len(clerps["0_11_2"]) == MOST_CHARACTERS
    assert clerps["20_13_3"] == 'say "Austin"'
    sent = dict(neuronpedia_subgraph(labelled)["clerps"])
    assert sent["1_103_2"] == "‹b›mine‹/b›"


def test_a_label_of_nothing_that_can_be_shown_is_a_failed_one(tmp_path):
    writer = Writer(**{"1-clt-hp_000012": Completion(text="[EXPLANATION]: \u200b\u2028\ue000")})
    on_a_topic = feature_body(1, 12, words=TOPIC)
    row = row_of(labelled_graph(tmp_path, [on_a_topic], using=means(writer)), "1_12_2")
    assert (row["state"], row["label"], row["score"], row["uncertain"]) == ("failed", None, None, False)


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("a\nb\tc\x00d\u202ee", "a b c d e"),
        ("<img src=x onerror=alert(1)>", "‹img src=x onerror=alert(1)›"),
        ("x" * 100, "x" * 59 + "…"),
        ("", ""),
        ("日本語 & more", "日本語 & more"),
    ],
)
def test_a_label_is_one_short_line_without_markup(label, shown):
    assert label_text(label) == shown


def test_the_mark_of_an_uncertain_label_counts_towards_its_length():
    marked = label_text("x" * 100, uncertain=True)
    assert marked.startswith("?x") and len(marked) == MOST_CHARACTERS
