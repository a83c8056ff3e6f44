import json

import pytest

from baez_pipeline.answers import Answers
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import LocalSaeSource, NeuronpediaExportSource
from baez_pipeline.graphs.dictionary import named_in
from baez_pipeline.graphs.opening import open_records
from baez_pipeline.graphs.reading import FeatureId
from baez_pipeline.graphs.writing import neuronpedia_subgraph
from baez_pipeline_tests.graphs.labelled import INPUT, labelled_graph
from baez_pipeline_tests.graphs.made_up import (
    MODEL,
    SOURCE_SET,
    changed,
    feature,
    feature_body,
    graph_body,
    graph_of,
    write_records,
)
from baez_pipeline_tests.neuronpedia_server import FakeNeuronpedia, write_export

FIRST = FeatureId(0, 11)
OTHER_SET = "gemmascope-transcoder-16k"
TRANSCODERS = "mntss/clt-gemma-2-2b-2.5M@main"


def by_circuit_tracer(scan=TRANSCODERS):
    """The body of a graph as circuit-tracer writes it: transcoders in place of a model, no source set."""
    body = changed(graph_body(), ("metadata", "scan"), scan)
    del body["metadata"]["feature_details"]
    return body


def body_of_set(source_set, *, model=MODEL):
    return feature_body(0, 11, at="capital") | {"layer": f"0-{source_set}", "modelId": model}


def from_folder(folder, body, asked=None):
    return open_records(LocalSaeSource(), folder, dict, asked=asked).of(graph_of(body))


@pytest.mark.parametrize("scan", [TRANSCODERS, "custom--8032791", "mwhanna/gemma-scope-transcoders", "/home/me/clt"])
def test_a_graph_that_names_its_transcoders_is_of_the_one_dictionary_in_the_folder(tmp_path, scan):
    records = from_folder(write_records(tmp_path, [INPUT]), by_circuit_tracer(scan))
    assert set(records.found) == {FIRST}
    said = records.dictionary
    assert (said.model, said.source_set, said.named_by) == (MODEL, SOURCE_SET, "the records folder")


def test_flat_files_tell_the_dictionary_too(tmp_path):
    (tmp_path / "0_11.json").write_text(json.dumps(INPUT))
    assert set(from_folder(tmp_path, by_circuit_tracer()).found) == {FIRST}


def test_what_neuronpedia_takes_names_its_model_and_not_the_transcoders(tmp_path):
    labelled = labelled_graph(tmp_path, [INPUT], body=by_circuit_tracer())
    assert neuronpedia_subgraph(labelled)["modelId"] == MODEL
    assert set(labelled.table["feature"].str.split("-clt-hp_").list.get(0)) == {"0", "1", "5", "20"}


@pytest.mark.parametrize(
    "bodies",
    [
        [body_of_set(SOURCE_SET), body_of_set(OTHER_SET)],
        [body_of_set(SOURCE_SET) | {"index": "99"}, body_of_set(OTHER_SET)],
        [],
        [body_of_set(SOURCE_SET) | {"modelId": ["gemma"]}],
    ],
)
def test_what_the_folder_does_not_tell_is_asked_for(tmp_path, bodies):
    write_records(tmp_path, bodies)
    with pytest.raises(SourceError, match=r"'mntss/clt-gemma.*--features-of MODEL/SOURCE_SET"):
        from_folder(tmp_path, by_circuit_tracer())


def test_files_of_two_models_are_refused(tmp_path):
    write_records(tmp_path, [INPUT])
    (tmp_path / "0_11.json").write_text(json.dumps(body_of_set(SOURCE_SET, model="gemma-2-2b-it")))
    with pytest.raises(SourceError, match="gemma-2-2b-it/clt-hp, gemma-2-2b/clt-hp"):
        from_folder(tmp_path, by_circuit_tracer())


def test_the_user_says_which_dictionary_it_is(tmp_path):
    write_records(tmp_path, [body_of_set(SOURCE_SET), body_of_set(OTHER_SET)])
    records = from_folder(tmp_path, by_circuit_tracer("my-own-name"), f"{MODEL}/{OTHER_SET}")
    assert records.found[FIRST]["layer"].item() == f"0-{OTHER_SET}"
    assert records.dictionary.named_by == "the user"


@pytest.mark.parametrize("asked", ["gemma-2-2b", "a/b/c", "/", "gemma 2/clt"])
def test_a_dictionary_of_another_form_is_refused(asked):
    with pytest.raises(SourceError, match=r"expected Neuronpedia's ids as <model>/<source set>"):
        named_in(graph_of(graph_body()), asked)


def test_where_the_graph_names_no_set_a_folder_of_two_is_refused(tmp_path):
    body = graph_body()
    del body["metadata"]["feature_details"]
    write_records(tmp_path, [body_of_set(OTHER_SET), body_of_set(SOURCE_SET) | {"index": "99"}])
    with pytest.raises(SourceError, match="--features-of"):
        from_folder(tmp_path, body)


def test_attention_features_without_a_named_set_are_not_guessed(tmp_path):
    body = by_circuit_tracer()
    body["nodes"].append(feature(3, 4, 1, feature_type="lorsa"))
    with pytest.raises(SourceError, match="neuronpedia_lorsa_source_set"):
        from_folder(write_records(tmp_path, [INPUT]), body)


def test_an_address_at_neuronpedia_names_the_dictionary_and_two_of_them_name_none():
    body = by_circuit_tracer()
    body["metadata"]["info"] = {"source_urls": ["https://neuronpedia.org/gemma-2-2b/clt-hp"]}
    assert (named_in(graph_of(body)).model, named_in(graph_of(body)).source_set) == (MODEL, SOURCE_SET)
    body["metadata"]["info"]["source_urls"].append("https://neuronpedia.org/gemma-2-2b/another")
    assert (named_in(graph_of(body)).model, named_in(graph_of(body)).source_set) == (None, None)


def test_without_a_folder_the_experiments_source_says_which(tmp_path):
    write_export(tmp_path / "v1", FakeNeuronpedia(model=MODEL, source=f"0-{SOURCE_SET}"), [list(range(30))])
    source = NeuronpediaExportSource(url=str(tmp_path / "v1" / MODEL / f"0-{SOURCE_SET}"))
    answers = Answers.of(str(tmp_path), None)
    records = open_records(source, None, lambda: answers).of(graph_of(by_circuit_tracer()))
    assert set(records.found) == {FIRST}
    assert records.dictionary.named_by == "the experiment's source"
    asked = open_records(source, None, lambda: answers, asked=f"{MODEL}/{OTHER_SET}")
    with pytest.raises(SourceError, match=f"source set {OTHER_SET}, as the user has it"):
        asked.of(graph_of(by_circuit_tracer()))
