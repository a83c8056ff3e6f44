import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from baez_pipeline.embedded.layers import LAYERS_REPORT_FILE, LayerSettings, draw_features, layer_file
from baez_pipeline.embedded.layers_write import write_layers
from baez_pipeline.errors import SourceError
from baez_pipeline_tests.tiny_layers import Tokenizer, write_tiny_layers


def test_features_are_drawn_among_those_with_enough_windows():
    active = np.array([30, 19, 20, 0, 25, 40])
    assert draw_features(active, LayerSettings(features=10)).tolist() == [0, 2, 4, 5]
    drawn = draw_features(active, LayerSettings(features=2))
    assert len(drawn) == 2
    assert set(drawn.tolist()) < {0, 2, 4, 5}


def test_another_seed_draws_other_features():
    active = np.full(500, 20)
    first, same, other = (draw_features(active, LayerSettings(features=50, seed=seed)) for seed in (0, 0, 1))
    assert first.tolist() == same.tolist()
    assert first.tolist() != other.tolist()


def test_decoder_rows_are_in_the_order_of_the_features(tmp_path):
    folder = write_tiny_layers(tmp_path / "work", tmp_path / "layers")
    assert load_file(folder / "decoder.safetensors")["W_dec"][:, 0].tolist() == [1, 1, 3, 3, 3]


def test_the_record_of_the_build_names_every_file_and_the_readme_its_figures(tmp_path):
    folder = write_tiny_layers(tmp_path / "work", tmp_path / "layers")
    files = json.loads((folder / "provenance.json").read_text())["files"]
    assert set(files) == {file.name for file in folder.iterdir()} - {"provenance.json", "README.md"}
    assert "| 7 | 0.500 | 0.500 | 100.0% | 5 | 3 |" in (folder / "README.md").read_text()


def test_what_lay_in_the_folder_before_is_replaced(tmp_path):
    (tmp_path / "layers").mkdir()
    (tmp_path / "layers" / "old.parquet").write_text("old")
    folder = write_tiny_layers(tmp_path / "work", tmp_path / "layers")
    assert not (folder / "old.parquet").exists()


def test_a_work_folder_without_a_blocks_results_is_refused_and_nothing_is_replaced(tmp_path):
    write_tiny_layers(tmp_path / "work", tmp_path / "layers")
    (tmp_path / "work" / layer_file(7)).unlink()
    before = sorted(file.name for file in (tmp_path / "layers").iterdir())
    with pytest.raises(SourceError, match=r"layer_07\.npz"):
        write_layers(tmp_path / "work", tmp_path / "layers", Tokenizer())
    (tmp_path / "work" / LAYERS_REPORT_FILE).unlink()
    with pytest.raises(SourceError, match=r"layers\.json"):
        write_layers(tmp_path / "work", tmp_path / "layers", Tokenizer())
    assert sorted(file.name for file in (tmp_path / "layers").iterdir()) == before
