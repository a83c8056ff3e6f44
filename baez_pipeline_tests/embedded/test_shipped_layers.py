"""The files in `baez_pipeline/embedded/data/layers` agree with each other, with the corpus and with the model."""

import hashlib
import json

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file

from baez_pipeline.embedded import DATA
from baez_pipeline.embedded.lens import logit_lens
from baez_pipeline.experiment import load_experiment
from baez_pipeline.features.sae_layers import LAYERS_DATA, SaeLayers

BLOCKS = (1, 10, 15, 20, 25)


@pytest.fixture(scope="module")
def source():
    return SaeLayers.open(None, BLOCKS)


@pytest.fixture(scope="module")
def examples():
    return pl.read_parquet(LAYERS_DATA / "examples.parquet")


def test_files_are_those_of_the_provenance_record_and_five_megabytes_at_most():
    files = json.loads((LAYERS_DATA / "provenance.json").read_text())["files"]
    assert set(files) == {file.name for file in LAYERS_DATA.iterdir()} - {"provenance.json", "README.md"}
    for name, expected in files.items():
        assert hashlib.sha256((LAYERS_DATA / name).read_bytes()).hexdigest() == expected["sha256"], name
    assert sum(file.stat().st_size for file in LAYERS_DATA.iterdir()) <= 5e6


def test_every_block_of_the_shipped_experiment_has_as_many_features(source):
    assert load_experiment("smollm2_layers").source.layers == BLOCKS
    assert dict(source.layers.group_by("layer").len().iter_rows()) == dict.fromkeys(BLOCKS, 250)


def test_every_feature_has_enough_examples_for_the_shipped_experiment(examples, source):
    counts = examples.group_by("place").len()
    assert counts.height == source.width
    assert counts["len"].min() >= load_experiment("smollm2_layers").sample.minimum_examples


def test_peaks_lie_after_the_first_token_and_bitmaps_know_every_example(examples, source):
    assert examples["values"].list.min().min() > 0
    assert examples["positions"].list.min().min() >= 1
    for place in range(0, source.width, 50):
        rows = examples.filter(pl.col("place") == place)
        assert not any(source.is_silent(place, window) for window in rows["dataIndex"])
    assert source.is_silent(0, "no such window") is None


def test_windows_are_of_the_articles_that_features_may_be_shown_with():
    articles = pl.read_csv(DATA / "articles.csv").filter(pl.col("split") == "features")
    windows = pl.read_parquet(LAYERS_DATA / "windows.parquet")
    shown = set(windows["dataIndex"].str.replace(r"-\d+$", ""))
    assert len(shown) <= articles.height
    assert shown <= set(pl.read_parquet(DATA / "activations-0.parquet")["dataIndex"].str.replace(r"-\d+$", ""))


def test_decoder_rows_lie_in_the_order_of_the_features_and_give_their_top_logits(source, smollm2):
    model, tokenizer = smollm2
    rows = load_file(LAYERS_DATA / "decoder.safetensors")["W_dec"].astype(np.float32)
    assert rows.shape == (source.width, model.config.hidden_size)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=2e-3)
    chosen = list(range(0, source.width, 125))
    ids = logit_lens(model, torch.from_numpy(rows[chosen]), count=20)[0]
    for place, found in zip(chosen, ids, strict=True):
        told = source.record(place)["pos_str"].item().to_list()
        # float16 rows: near ties swap.
        assert len(set(told) & {tokenizer.decode([int(token)]) for token in found}) >= 18
