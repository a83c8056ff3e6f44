import json
import shutil

import pytest

from baez_pipeline.graphs.earlier_labels import read_to_label
from baez_pipeline.graphs.feature_files import FeatureFiles
from baez_pipeline.graphs.labelled import label_graph
from baez_pipeline.graphs.reading import GraphError
from baez_pipeline.graphs.writing import write_graph
from baez_pipeline_tests.graphs.labelled import ALSO_INPUT, INPUT, OUTPUT, labelled_graph, means, row_of
from baez_pipeline_tests.graphs.made_up import changed, graph_body


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A labelled graph, one label and one group of which somebody had made before; and the folder of its records."""
    body = changed(graph_body(), ("nodes", 4, "clerp"), "mine")
    body["qParams"] |= {"pinnedIds": ["20_13_3", "E_5_3"], "supernodes": [["my group", "20_13_3", "E_5_3"]]}
    folder = tmp_path_factory.mktemp("made")
    return folder, labelled_graph(folder, [INPUT, ALSO_INPUT, OUTPUT], body=body)


@pytest.fixture
def first(made, tmp_path):
    """The graph and its file, with its records beside it."""
    folder, labelled = made
    shutil.copytree(folder / "records", tmp_path / "records")
    graph, _ = write_graph(labelled, tmp_path / "out", experiment="small")
    return labelled, graph


def again(path, folder):
    """The graph in the file, labelled once more."""
    graph = read_to_label(path)
    return label_graph(graph, FeatureFiles(folder / "records", packed="cut").of(graph), means(), cost=dict)


def edited(path, change):
    body = json.loads(path.read_bytes())
    change(body)
    path.write_text(json.dumps(body))


def test_our_own_labels_pins_and_groups_are_made_anew_and_those_of_others_stay(first, tmp_path):
    labelled, path = first
    second = again(path, tmp_path)
    assert second.table.equals(labelled.table)
    assert second.subgraph == labelled.subgraph
    assert second.before == labelled.before
    assert row_of(second, "20_13_3")["state"] == "kept"


def test_a_label_that_does_not_come_again_is_gone(first, tmp_path):
    _, path = first
    (tmp_path / "records" / "0-clt-hp" / "11.json").unlink()
    second = again(path, tmp_path)
    assert row_of(second, "0_11_2")["label"] is None
    graph, _ = write_graph(second, tmp_path / "again", experiment="small")
    clerps = {node["node_id"]: node["clerp"] for node in json.loads(graph.read_bytes())["nodes"]}
    assert clerps["0_11_2"] == "" and clerps["1_12_2"] == '"capital"'


def test_what_was_changed_since_is_somebodys_own(first, tmp_path):
    _, path = first

    def change(body):
        next(node for node in body["nodes"] if node["node_id"] == "0_11_2")["clerp"] = "better"
        body["qParams"]["pinnedIds"].append("5_7_1")

    edited(path, change)
    second = again(path, tmp_path)
    assert (row_of(second, "0_11_2")["state"], row_of(second, "0_11_2")["label"]) == ("kept", "better")
    assert row_of(second, "1_12_2")["state"] == "labelled"
    assert second.subgraph.pinned[:3] == ("20_13_3", "E_5_3", "5_7_1")


def test_without_the_file_of_labels_all_count_as_others(first, tmp_path):
    _, path = first
    path.with_name("small-graph.labels.json").unlink()
    assert read_to_label(path).nodes[2].clerp == '"capital"'


def test_the_labels_of_another_graph_are_none_of_ours(first, tmp_path):
    _, path = first
    edited(path.with_name("small-graph.labels.json"), lambda said: said.update(graph="another"))
    assert read_to_label(path).nodes[2].clerp == '"capital"'


@pytest.mark.parametrize("content", ["{", "[]", '{"graph": "small-graph"}', "[" * 100_000])
def test_a_broken_file_of_labels_is_an_error_that_says_what_to_do(first, content):
    _, path = first
    path.with_name("small-graph.labels.json").write_text(content)
    with pytest.raises(GraphError, match=r"small-graph.labels.json lies beside the graph.*Take it away"):
        read_to_label(path)
