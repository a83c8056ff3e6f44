import json

import dagster as dg
import pytest

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Experiment, Tiers
from baez_pipeline.graphs.reading import GraphError
from baez_pipeline.orchestration.graphs import ASSET, add_graph, build_graph_asset, graph_partitions
from baez_pipeline.store import Address
from baez_pipeline.tables import GraphLabels
from baez_pipeline_tests.graphs.labelled import INPUT, OUTPUT
from baez_pipeline_tests.graphs.made_up import changed, graph_body, write_records

# Two features are too few for the nulls. Their words stand out to the real embedder, so that nobody is asked.
TIERS = {"mode": "article", "tau": 0.45, "examples": 6, "window": 1}


@pytest.fixture
def files(tmp_path):
    write_records(tmp_path / "records", [INPUT, OUTPUT])
    (tmp_path / "graph.json").write_text(json.dumps(graph_body()))
    (tmp_path / "own.toml").write_text(
        'name = "own"\n[tiers]\n' + "".join(f"{name} = {json.dumps(value)}\n" for name, value in TIERS.items())
    )
    return tmp_path


def test_the_command_writes_a_labelled_graph_and_says_what_became_of_its_nodes(baez, files):
    code, printed = baez("graph", "label", "graph.json", "--experiment", "own.toml", "--records", "records")
    assert code == 0, printed
    assert "feature nodes with a label 0 of 3 2 of 3" in printed and "1 no record" in printed
    body = json.loads((files / "labelled_graphs" / "small-graph.json").read_text())
    clerps = {node["node_id"]: node["clerp"] for node in body["nodes"]}
    assert clerps["0_11_2"].removeprefix("?") == '"capital"' and clerps["1_12_2"] == ""
    assert clerps["27_22605_3"] == 'Output " Austin" (p=0.500)'
    said = json.loads((files / "labelled_graphs" / "small-graph.labels.json").read_text())
    assert said["experiment"] == "own"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere.json"], "nowhere.json cannot be read"),
        (["graph.json"], "give the folder of the features' files (--records FOLDER)"),
        (["graph.json", "--records", "nowhere"], "nowhere is no folder"),
        (["own.toml", "--records", "records"], "own.toml is not JSON"),
    ],
)
def test_what_cannot_be_labelled_is_said_in_a_sentence(baez, files, arguments, sentence):
    code, printed = baez("graph", "label", *arguments, "--experiment", "own.toml")
    assert code == 1
    assert printed.startswith("baez: ") and sentence in printed
    assert not (files / "labelled_graphs").exists()


def test_a_graph_is_handed_to_the_asset_from_the_shell(baez, files):
    code, printed = baez("graph", "add", "graph.json", "--experiment", "own.toml")
    assert code == 0, printed
    assert "small-graph is a partition of own/labelled_graph" in printed


def test_the_asset_is_partitioned_by_graph_and_stores_the_table_and_both_files(files):
    equipment = Equipment(Experiment(name="own", tiers=Tiers(**TIERS)), str(files / "data"))
    asset = build_graph_asset(equipment)
    with dg.DagsterInstance.ephemeral() as instance:
        slug = add_graph(equipment, files / "graph.json", instance)
        assert instance.get_dynamic_partitions(graph_partitions("own").name) == [slug]
        result = dg.materialize(
            [asset],
            instance=instance,
            partition_key=slug,
            run_config={"ops": {"own__labelled_graph": {"config": {"records": str(files / "records")}}}},
        )
    (event,) = result.asset_materializations_for_node("own__labelled_graph")
    assert event.metadata["labelled_nodes"].value == 2 and event.metadata["feature_nodes"].value == 3
    table = equipment.store.read(Address(table=ASSET, feature=slug), schema=GraphLabels)
    assert table.filter(table["state"] == "labelled").height == 2
    for name in (f"{slug}.json", f"{slug}.labels.json"):
        assert json.loads(equipment.store.read_page(f"graphs/{slug}/{name}"))


def test_a_graph_that_cannot_be_labelled_fails_with_the_reason_and_is_not_tried_again(files):
    equipment = Equipment(Experiment(name="own"), str(files / "data"))
    with dg.DagsterInstance.ephemeral() as instance:
        slug = add_graph(equipment, files / "graph.json", instance)
        result = dg.materialize(
            [build_graph_asset(equipment)], instance=instance, partition_key=slug, raise_on_error=False
        )
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "--records FOLDER" in failure.step_failure_data.user_failure_data.description


def test_a_broken_graph_becomes_no_partition(files):
    (files / "graph.json").write_text(json.dumps(changed(graph_body(), ("nodes", 2, "feature"), 5)))
    equipment = Equipment(Experiment(name="own"), str(files / "data"))
    with dg.DagsterInstance.ephemeral() as instance:
        with pytest.raises(GraphError, match="expected 77"):
            add_graph(equipment, files / "graph.json", instance)
        assert not instance.get_dynamic_partitions(graph_partitions("own").name)
