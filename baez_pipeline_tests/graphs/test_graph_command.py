import json
import shutil
from pathlib import Path

import dagster as dg
import pytest

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Experiment, NeuronpediaExportSource, Tiers
from baez_pipeline.graphs.reading import GraphError
from baez_pipeline.orchestration.graphs import ASSET, add_graph, build_graph_asset, graph_partitions
from baez_pipeline.steps.graphs import fingerprint_of
from baez_pipeline.store import Address
from baez_pipeline.tables import GraphLabels
from baez_pipeline_tests.graphs.labelled import INPUT, OUTPUT
from baez_pipeline_tests.graphs.made_up import changed, graph_body, write_records

# Two features are too few for the nulls. Their words stand out to the real embedder, so that nobody is asked.
TIERS = {"mode": "article", "tau": 0.45, "examples": 6, "window": 1, "most_draws": 999}


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
        (["graph.json", "--records", "records", "--features-of", "clt-hp"], "expected Neuronpedia's ids as"),
    ],
)
def test_what_cannot_be_labelled_is_said_in_a_sentence(baez, files, arguments, sentence):
    code, printed = baez("graph", "label", *arguments, "--experiment", "own.toml")
    assert code == 1
    assert printed.startswith("baez: ") and sentence in printed
    assert not (files / "labelled_graphs").exists()


def test_a_folder_without_a_record_is_refused_and_one_that_cannot_be_taken_is_named(baez, files):
    (files / "empty").mkdir()
    code, printed = baez("graph", "label", "graph.json", "--experiment", "own.toml", "--records", "empty")
    assert (code, "None of the 3 features of graph.json has a record in empty" in printed) == (1, True)
    broken = files / "records" / "1-clt-hp" / "12.json"
    broken.parent.mkdir()
    broken.write_text("{")
    try:
        _, printed = baez("graph", "label", "graph.json", "--experiment", "own.toml", "--records", "records")
    finally:
        shutil.rmtree(broken.parent)
    assert "1 of the others have a file that cannot be taken" in printed


def test_an_output_that_cannot_be_written_is_said_before_anything_is_read(baez, files):
    (files / "small-graph.json").write_text((files / "graph.json").read_text())
    for file, output in (("graph.json", "own.toml"), ("small-graph.json", ".")):
        code, printed = baez(
            "graph", "label", file, "--experiment", "own.toml", "--records", "gone", "--output", output
        )
        assert code == 1 and "hoose another" in printed, printed


def test_a_graph_of_circuit_tracer_is_labelled_and_its_dictionary_said(baez, files):
    body = changed(graph_body(), ("metadata", "scan"), "mntss/clt-gemma-2-2b-2.5M@main")
    del body["metadata"]["feature_details"]
    (files / "graph.json").write_text(json.dumps(body))
    arguments = ["graph", "label", "graph.json", "--experiment", "own.toml", "--records", "records"]
    code, printed = baez(*arguments)
    assert code == 0, printed
    assert "Features of gemma-2-2b, source set clt-hp (by the records folder)" in printed
    code, printed = baez(*arguments, "--features-of", "gemma-2-2b/another")
    assert code == 1 and "None of the 3 features of graph.json has a record in records" in printed


def test_a_graph_that_was_labelled_already_is_labelled_anew(baez, files):
    arguments = ["--experiment", "own.toml", "--records", "records"]
    assert baez("graph", "label", "graph.json", *arguments)[0] == 0
    code, printed = baez("graph", "label", "labelled_graphs/small-graph.json", *arguments, "--output", "again")
    assert code == 0, printed
    assert "feature nodes with a label 0 of 3 2 of 3" in printed
    for name in ("small-graph.json", "small-graph.labels.json"):
        assert (files / "again" / name).read_bytes() == (files / "labelled_graphs" / name).read_bytes()


def test_a_graph_is_handed_to_the_asset_from_the_shell(baez, files):
    code, printed = baez("graph", "add", "graph.json", "--experiment", "own.toml")
    assert code == 0, printed
    assert "small-graph is a partition of own/labelled_graph" in printed


@pytest.fixture
def made(files):
    """Makes the asset of the graph; its metadata."""
    with dg.DagsterInstance.ephemeral() as instance:

        def make(**config):
            equipment = Equipment(Experiment(name="own", tiers=Tiers(**TIERS)), str(files / "data"))
            slug = add_graph(equipment, files / "graph.json", instance)
            assert instance.get_dynamic_partitions(graph_partitions("own").name) == [slug]
            result = dg.materialize(
                [build_graph_asset(equipment)],
                instance=instance,
                partition_key=slug,
                run_config={"ops": {"own__labelled_graph": {"config": {"records": str(files / "records"), **config}}}},
            )
            (event,) = result.asset_materializations_for_node("own__labelled_graph")
            return equipment.store, {name: each.value for name, each in event.metadata.items()}

        yield make


ADDRESS = Address(table=ASSET, feature="small-graph")
PAGES = ("graphs/small-graph/small-graph.json", "graphs/small-graph/small-graph.labels.json")


def test_the_asset_is_partitioned_by_graph_and_stores_the_table_and_both_files(made):
    store, metadata = made()
    assert metadata["labelled_nodes"] == 2 and metadata["feature_nodes"] == 3
    assert metadata["features_of"] == "gemma-2-2b/clt-hp (by the graph file)"
    table = store.read(ADDRESS, schema=GraphLabels)
    assert table.filter(table["state"] == "labelled").height == 2
    for page in PAGES:
        assert json.loads(store.read_page(page))


def test_a_graph_is_made_once_and_again_when_a_page_is_gone(made):
    def written():
        store.refresh()
        return [Path(store.location(ADDRESS)).stat().st_mtime_ns, *(Path(page).stat().st_mtime_ns for page in pages)]

    store, metadata = made()
    pages = [store.page_location(page) for page in PAGES]
    first = written()
    _, again = made()
    assert written() == first and again == metadata
    Path(pages[0]).unlink()
    made()
    assert min(written()) > max(first)


def test_another_graph_record_or_dictionary_makes_it_anew(files):
    equipment = Equipment(Experiment(name="own"), str(files / "data"))

    def fingerprint(content=b"graph", features_of=None):
        return fingerprint_of(equipment, content, records=files / "records", features_of=features_of)

    first = fingerprint()
    assert fingerprint() == first
    assert first not in (fingerprint(b"another"), fingerprint(features_of="gemma-2-2b/clt-hp"))
    write_records(files / "records", [OUTPUT | {"pos_str": [" Dallas"]}])
    assert fingerprint() != first


def test_of_an_export_it_cannot_be_told_whether_it_has_changed(files):
    source = NeuronpediaExportSource(url=str(files / "v1" / "gemma-2-2b" / "0-clt-hp"))
    equipment = Equipment(Experiment(name="own", source=source), str(files / "data"))
    assert fingerprint_of(equipment, b"graph", records=None, features_of=None) is None


def test_half_a_surrogate_pair_in_a_graph_is_no_trouble_for_the_asset(made, files):
    body = changed(graph_body(), ("metadata", "prompt"), "\ud800")
    (files / "graph.json").write_text(json.dumps(body))
    store, _ = made()
    assert json.loads(store.read_page(PAGES[0]))["metadata"]["prompt"] == "\ud800"


def test_the_asset_takes_a_labelled_graph_as_it_was_before(baez, files, made):
    arguments = ["--experiment", "own.toml", "--records", "records", "--output", "."]
    assert baez("graph", "label", "graph.json", *arguments)[0] == 0
    (files / "graph.json").write_bytes((files / "small-graph.json").read_bytes())
    _, metadata = made()
    assert metadata["influence_labelled_before"] == 0 and metadata["labelled_nodes"] == 2


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
