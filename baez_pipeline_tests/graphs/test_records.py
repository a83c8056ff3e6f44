import json
import shutil

import pytest
from starlette.applications import Starlette

from baez_pipeline.answers import Answers
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import LocalSaeSource, NeuronpediaApiSource, NeuronpediaExportSource
from baez_pipeline.graphs.opening import open_records
from baez_pipeline.graphs.reading import FeatureId
from baez_pipeline_tests.graphs.made_up import (
    MODEL,
    SOURCE_SET,
    changed,
    feature_body,
    graph_body,
    graph_of,
    write_records,
)
from baez_pipeline_tests.neuronpedia_server import FakeNeuronpedia, write_export
from baez_pipeline_tests.served import served

FIRST, SECOND, LAST = FeatureId(0, 11), FeatureId(1, 12), FeatureId(20, 13)


def no_answers():
    raise AssertionError("a folder needs no database")


def from_folder(folder, graph):
    return open_records(LocalSaeSource(), folder, no_answers).of(graph)


def body_of(feature):
    return feature_body(feature.layer, feature.index, at="capital")


def test_a_folder_of_feature_files_gives_what_it_has_and_says_what_is_missing(tmp_path):
    folder = write_records(tmp_path, [body_of(FIRST)])
    (folder / "1_12.json").write_text(json.dumps(body_of(SECOND)))
    records = from_folder(folder, graph_of(graph_body()))
    assert set(records.found) == {FIRST, SECOND}
    assert records.found[FIRST]["feature"].item() == "0-clt-hp_000011"
    assert records.missing == {LAST: "There is no file 20-clt-hp/13.json or 20_13.json."}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "0-clt-hp/11.json is not JSON."),
        ("[]", "is of source 'None'; expected '0-clt-hp'"),
        (json.dumps(body_of(SECOND)), "is of source '1-clt-hp'; expected '0-clt-hp'"),
        (json.dumps(body_of(FIRST) | {"layer": "0-gemmascope-res-16k"}), "0-gemmascope-res-16k'; expected '0-clt-hp'"),
        (json.dumps(body_of(FIRST) | {"index": "99"}), "names another one"),
        (json.dumps(body_of(FIRST) | {"modelId": "gpt2-small"}), "names another one"),
    ],
)
def test_a_file_of_another_feature_counts_as_none_and_says_so(tmp_path, content, sentence):
    folder = write_records(tmp_path, [body_of(FIRST)])
    (folder / "0-clt-hp" / "11.json").write_text(content)
    records = from_folder(folder, graph_of(graph_body()))
    assert not records.found
    assert sentence in records.missing[FIRST]


def test_a_local_sae_has_no_graph_and_the_error_says_how_to_go_on():
    with pytest.raises(SourceError, match="--records FOLDER"):
        open_records(LocalSaeSource(), None, no_answers)


def test_each_layer_is_asked_of_neuronpedia_as_its_own_source(tmp_path):
    server = FakeNeuronpedia(model=MODEL, source=f"0-{SOURCE_SET}")
    with served(Starlette(routes=server.routes())) as url:
        source = NeuronpediaApiSource(model=MODEL, source=f"20-{SOURCE_SET}", width=16, base_url=f"{url}/api")
        answers = Answers.of(str(tmp_path), None)
        records = open_records(source, None, lambda: answers).of(graph_of(graph_body()))
    assert set(records.found) == {FIRST}
    assert records.found[FIRST]["layer"].item() == "0-clt-hp"
    assert records.missing[LAST] == "Source 20-clt-hp does not have feature 13."
    assert f"/api/feature/{MODEL}/1-{SOURCE_SET}/12" in server.requests


def test_exports_of_the_layers_lie_side_by_side_and_one_may_be_absent(tmp_path):
    for layer in (0, 20):
        write_export(tmp_path / "v1", FakeNeuronpedia(model=MODEL, source=f"{layer}-{SOURCE_SET}"), [list(range(30))])
    source = NeuronpediaExportSource(url=str(tmp_path / "v1" / MODEL / f"20-{SOURCE_SET}"))
    answers = Answers.of(str(tmp_path), None)
    records = open_records(source, None, lambda: answers).of(graph_of(graph_body()))
    assert set(records.found) == {FIRST, LAST}
    assert f"1-{SOURCE_SET}" in records.missing[SECOND]


def test_an_export_that_lies_nowhere_is_an_error_and_not_a_graph_without_records(tmp_path):
    source = NeuronpediaExportSource(url=str(tmp_path / "v1" / MODEL / f"20-{SOURCE_SET}"))
    answers = Answers.of(str(tmp_path), None)
    with pytest.raises(SourceError, match="v1"):
        open_records(source, None, lambda: answers).of(graph_of(graph_body()))


@pytest.mark.parametrize("source", ["20-gemmascope-res-16k", "20-clt-hp"])
def test_features_of_another_dictionary_or_model_are_refused(tmp_path, source):
    model = MODEL if source != "20-clt-hp" else "gpt2-small"
    settings = NeuronpediaApiSource(model=model, source=source, width=16, base_url="http://127.0.0.1:1/api")
    answers = Answers.of(str(tmp_path), None)
    with pytest.raises(SourceError, match=r"source set clt-hp.*choose an experiment"):
        open_records(settings, None, lambda: answers).of(graph_of(graph_body()))


def test_without_a_named_source_set_the_folder_says_which(tmp_path):
    folder = write_records(tmp_path, [body_of(FIRST)])
    shutil.copytree(folder / "0-clt-hp", folder / "10-clt-hp")
    graph = graph_of(changed(graph_body(), ("metadata", "feature_details"), {}))
    assert set(from_folder(folder, graph).found) == {FIRST}
