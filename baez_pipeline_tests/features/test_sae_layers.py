import pytest

from baez_pipeline.answers import Answers
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import LocalSaeSource
from baez_pipeline.features import open_source
from baez_pipeline.features.sae_layers import SaeLayers
from baez_pipeline_tests.tiny_layers import write_tiny_layers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("layers")
    return write_tiny_layers(root / "work", root / "layers")


def no_answers() -> Answers:
    raise AssertionError("a local source asks nobody")


def test_an_experiment_that_lists_layers_has_the_features_of_all_of_them(folder):
    source = open_source(LocalSaeSource(path=folder, layers=(3, 7)), no_answers)
    assert source.width == 5
    assert source.layers["layer"].to_list() == [3, 3, 7, 7, 7]
    assert [(source.record(i)["layer"].item(), source.record(i)["index"].item()) for i in range(5)] == [
        ("3-topk-res-2k", "5"),
        ("3-topk-res-2k", "9"),
        ("7-topk-res-2k", "1"),
        ("7-topk-res-2k", "5"),
        ("7-topk-res-2k", "8"),
    ]


def test_two_layers_features_of_one_number_have_keys_of_their_own(folder):
    source = SaeLayers.open(folder, (3, 7))
    five = [i for i in range(5) if source.record(i)["index"].item() == "5"]
    assert [source.record(i)["feature"].item() for i in five] == [
        "layers-topk-res-2k_000000",
        "layers-topk-res-2k_000003",
    ]
    assert source.layers["feature"].to_list()[3] == "layers-topk-res-2k_000003"


def test_a_records_examples_are_whole_windows_strongest_first(folder):
    rows = SaeLayers.open(folder, (3, 7)).record(3)["activations"].item()
    assert [row["maxValue"] for row in rows] == [20 - rank for rank in range(20)]
    strongest = rows[0]
    assert strongest["dataIndex"] == "enwiki-1-Lanterns-0003"
    assert strongest["dataSource"].endswith("Lanterns")
    assert len(strongest["tokens"]) == len(strongest["tokenIds"]) == len(strongest["values"]) == 128
    assert strongest["maxValueTokenIndex"] == 13
    assert strongest["tokens"][13] == " t13"
    assert {place: value for place, value in enumerate(strongest["values"]) if value} == {13: 20, 14: 10}


def test_one_of_the_layers_alone_has_the_same_records_under_indices_of_its_own(folder):
    both, late = SaeLayers.open(folder, (3, 7)), SaeLayers.open(folder, (7,))
    assert late.width == 3
    assert late.record(1)["activations"].item().to_list() == both.record(3)["activations"].item().to_list()
    assert late.identity != both.identity
    # Feature 7/5 lies at place 3: active in windows 3 to 22.
    assert [late.is_silent(1, f"enwiki-1-Lanterns-{window:04d}") for window in (2, 3, 22, 23)] == [
        True,
        False,
        False,
        True,
    ]
    assert late.is_silent(1, "enwiki-elsewhere-0000") is None


def test_a_layer_that_the_folder_lacks_is_named_with_those_it_has(folder):
    with pytest.raises(SourceError, match=r"no features of layer 4: it has those of 3, 7"):
        SaeLayers.open(folder, (3, 4))


def test_a_folder_without_examples_says_which_file_is_missing(folder, tmp_path):
    for name in ("features.parquet", "provenance.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(SourceError, match=r"examples\.parquet is missing"):
        SaeLayers.open(tmp_path, (3, 7)).record(0)
