import polars as pl
import pytest

from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import Split
from baez_pipeline.features import LocalSae, split_examples
from baez_pipeline.features.examples import distinct_examples, shown_window
from baez_pipeline_tests.tiny_sae import write_tiny_sae


@pytest.fixture
def source(tmp_path):
    return LocalSae.open(write_tiny_sae(tmp_path, rare={2}))


def splits_of(source, index=3, donors=(4, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17), **split):
    return split_examples(source.record(index), donors, source, Split(**split), seed=0)


def test_train_is_the_top_and_test_the_ranks_after_it(source):
    splits = splits_of(source)
    assert splits.filter(role="train")["peak_activation"].to_list() == [20.0, 19.0, 18.0, 17.0, 16.0]
    assert splits.filter(role="test")["rank"].to_list() == list(range(6, 16))
    assert splits.filter(role="test")["peak_activation"].to_list() == [float(15 - i) for i in range(10)]
    assert splits.filter(role="train")["relative_activation"][1] == pytest.approx(0.95)


def test_negatives_are_other_features_examples_in_which_the_target_is_silent(source):
    negatives = splits_of(source).filter(role="negative")
    assert negatives["donor_index"].to_list() == [4, 7, 8, 10, 11, 12, 13, 14, 15, 16]
    # Feature 3 is active in window 4-0, which only the bitmap tells.
    assert "4-0" not in negatives["example"].to_list()
    assert all(negatives["silent"])
    assert all(sum(values) == 0 for values in negatives["activations"])
    assert all(max(values) > 0 for values in negatives["donor_activations"])


def test_adding_donors_behind_does_not_move_the_negatives(source):
    fewer = splits_of(source, donors=(4, 7, 8, 10, 11, 12, 13, 14, 15, 16))
    assert fewer.equals(splits_of(source))


def test_too_few_donors_give_fewer_negatives_not_repeated_ones(source):
    negatives = splits_of(source, donors=(7, 8)).filter(role="negative")
    assert negatives["example"].n_unique() == negatives.height == 2


def test_equal_texts_count_once_and_silent_rows_not_at_all(source):
    record = source.record(3)
    rows = record["activations"][0].to_list()
    doubled = [
        *rows,
        {**rows[0], "dataIndex": "copy"},
        {**rows[1], "dataIndex": "zero", "tokens": ["x"] * 40, "maxValue": 0.0},
    ]
    record = record.with_columns(activations=pl.Series([doubled], dtype=record.schema["activations"]))
    assert distinct_examples(record).height == 20


def test_a_record_with_too_few_examples_is_a_sentence(source):
    with pytest.raises(SourceError, match="has 4 distinct activating examples"):
        splits_of(source, index=2)


@pytest.mark.parametrize(
    ("length", "peak", "expected"),
    [
        (40, 30, (6, 38)),  # three quarters before the peak
        (40, 39, (8, 40)),  # moved back at the end
        (40, 2, (1, 33)),  # the BOS is not shown
        (20, 10, (1, 20)),  # a short text is shown whole
    ],
)
def test_the_window_keeps_its_length_and_holds_the_peak(length, peak, expected):
    tokens = ["<bos>", *("x" for _ in range(length - 1))]
    start, end = shown_window(tokens, peak, 32)
    assert (start, end) == expected
    assert start <= peak < end
