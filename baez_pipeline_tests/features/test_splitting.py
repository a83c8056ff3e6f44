import polars as pl
import pytest

from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import Split
from baez_pipeline.features import LocalSae
from baez_pipeline.features.designs import can_split
from baez_pipeline.features.examples import distinct_examples
from baez_pipeline_tests.features.records import splits_of, with_rows
from baez_pipeline_tests.tiny_sae import write_tiny_sae

DONORS = (4, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17)


@pytest.fixture
def source(tmp_path):
    return LocalSae.open(write_tiny_sae(tmp_path, rare={2}))


def test_a_split_has_train_test_and_negatives_with_windows_around_their_places(source):
    splits = splits_of(source, 3, DONORS, Split())
    assert splits["role"].to_list() == ["train"] * 5 + ["test"] * 10 + ["negative"] * 10
    assert splits["rank"].to_list() == [*range(1, 16), *range(1, 11)]
    for row in splits.iter_rows(named=True):
        assert 1 <= row["window_start"] <= row["peak_position"] < row["window_end"] <= 40
        assert len(row["tokens"]) == len(row["token_ids"]) == len(row["activations"]) == 40
    active = splits.filter(pl.col("role") != "negative")
    assert active["silent"].null_count() == active["donor_index"].null_count() == 15
    assert active["activations"].list.get(30).to_list() == active["peak_activation"].to_list()


def test_the_articles_split_shows_whole_contexts_and_donors_unchecked_peaks(source):
    negatives = {"random": 0, "hard": 0, "other_peak": 10, "verified_silent": False}
    article = Split(documents="shared", peak="maximum", window="whole", negatives=negatives)
    splits = splits_of(source, 3, DONORS, article)
    assert splits.select("window_start", "window_end").unique().rows() == [(1, 40)]
    assert splits["negative_kind"].drop_nulls().unique().to_list() == ["other_peak"]
    assert splits["silent"].null_count() == 25


def test_a_record_with_too_few_examples_is_a_sentence(source):
    with pytest.raises(SourceError, match=r"Feature 2-tiny-res_000002 has 4 distinct activating examples"):
        splits_of(source, 2, DONORS, Split())


def binned(rows):
    """The strongest row was drawn from a low bin, by a token that is not its largest."""
    values = [*rows[0]["values"]]
    values[12] = 4.5
    low = {**rows[0], "values": values, "qualifyingTokenIndex": 12, "binMin": 4.0, "binMax": 5.0}
    return [low, *({**row, "qualifyingTokenIndex": None} for row in rows[1:])]


def test_a_row_from_a_bin_has_its_peak_where_it_qualifies_and_ranks_there(source):
    record = with_rows(source.record(3), binned)
    splits = splits_of(source, 3, DONORS, Split(train=5, test=15), record=record)
    row = splits.filter(pl.col("role") != "negative", peak_position=12).row(0, named=True)
    assert (row["peak_activation"], row["rank"]) == (4.5, 16)
    assert row["window_start"] <= 12 < row["window_end"]
    # The feature's largest peak is now that of the second row.
    assert splits.filter(pl.col("role") != "negative")["peak_activation"].max() == 19.0
    assert row["relative_activation"] == pytest.approx(4.5 / 19)
    assert splits["relative_activation"][0] == 1.0


def test_the_peak_can_be_the_largest_value_whatever_the_bin(source):
    record = with_rows(source.record(3), binned)
    assert (
        splits_of(source, 3, DONORS, Split())
        .drop("activations")
        .equals(splits_of(source, 3, DONORS, Split(peak="maximum"), record=record).drop("activations"))
    )


@pytest.mark.parametrize("index", [-1, 40, 5])
def test_a_qualifying_token_that_is_outside_or_silent_is_no_peak(source, index):
    record = with_rows(source.record(3), lambda rows: [{**rows[0], "qualifyingTokenIndex": index}, *rows[1:]])
    assert splits_of(source, 3, DONORS, Split(), record=record)["peak_position"][0] == 30


def test_how_many_examples_there_are_does_not_depend_on_the_choice_of_peak(source):
    record = with_rows(source.record(3), binned)
    assert distinct_examples(record).height == distinct_examples(source.record(3)).height


@pytest.fixture(scope="module")
def embedded():
    return LocalSae.open()


@pytest.mark.parametrize("design", ["top", "quantiles", "importance"])
def test_no_article_of_the_embedded_corpus_is_in_train_and_test(embedded, design):
    for feature in (0, 101, 250):
        splits = splits_of(embedded, feature, range(300, 305), Split(design=design))
        train, test = (set(splits.filter(role=role)["document"]) for role in ("train", "test"))
        assert splits["role"].to_list()[:15].count("test") == 10
        assert not train & test
        assert None not in train | test


# Of 27, 21 and 28 examples 23, 17 and all come from one article.
@pytest.mark.parametrize("feature", [379, 1118, 1807])
def test_a_feature_of_one_article_cannot_be_split_and_says_of_which(embedded, feature):
    examples = distinct_examples(embedded.record(feature))
    reason = can_split(examples, Split())
    assert examples["dataSource"].mode().item() in reason
    assert can_split(examples, Split(documents="shared")) is None
