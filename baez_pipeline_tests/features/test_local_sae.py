import polars as pl
import pytest

from baez_pipeline.errors import SourceError
from baez_pipeline.features import LocalSae
from baez_pipeline_tests.tiny_sae import WIDTH, write_tiny_sae


def test_a_record_is_strongest_first_and_a_dead_one_empty(tmp_path):
    source = LocalSae.open(write_tiny_sae(tmp_path, dead={1}))
    peaks = [row["maxValue"] for row in source.record(0)["activations"][0]]
    assert peaks == sorted(peaks, reverse=True)
    assert len(source.record(1)["activations"][0]) == 0


def test_an_index_out_of_range_is_a_sentence(tmp_path):
    source = LocalSae.open(write_tiny_sae(tmp_path))
    with pytest.raises(SourceError, match=f"Feature {WIDTH} is out of range: source 2-tiny-res has features 0 to 39"):
        source.record(WIDTH)


def test_silence_is_read_from_the_bitmap_and_unknown_windows_are_not_guessed(tmp_path):
    source = LocalSae.open(write_tiny_sae(tmp_path))
    assert source.is_silent(3, "4-0") is False
    assert source.is_silent(3, "4-1") is True
    assert source.is_silent(3, "elsewhere") is None


@pytest.mark.parametrize("name", ["features.parquet", "activations-0.parquet", "provenance.json"])
def test_a_damaged_file_is_named(tmp_path, name):
    folder = write_tiny_sae(tmp_path)
    (folder / name).write_bytes((folder / name).read_bytes()[:20])
    with pytest.raises(SourceError, match=name):
        LocalSae.open(folder).record(0)


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("features.parquet", "pos_values", "high"),
        ("activations-0.parquet", "maxValue", "high"),
        ("activations-0.parquet", "tokens", None),
    ],
)
def test_a_file_with_other_columns_is_named_with_the_column(tmp_path, name, column, value):
    folder = write_tiny_sae(tmp_path)
    pl.read_parquet(folder / name).with_columns(pl.lit(value).alias(column)).write_parquet(folder / name)
    with pytest.raises(SourceError, match=f"{name}.*{column}.*build the folder anew"):
        LocalSae.open(folder).record(0)


def test_a_missing_row_is_noticed(tmp_path):
    folder = write_tiny_sae(tmp_path)
    features = pl.read_parquet(folder / "features.parquet")
    features.filter(pl.col("index") != "7").write_parquet(folder / "features.parquet")
    with pytest.raises(SourceError, match="without gaps"):
        LocalSae.open(folder)
