import polars as pl
import pytest

from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import Split
from baez_pipeline.features import LocalSae, split_examples
from baez_pipeline.features.examples import distinct_examples, shown_window, silent_contexts, unreadable_rows
from baez_pipeline.tables import ActivationRow
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


def with_rows(record, changed):
    """The record with other activation rows: `changed` makes them of those it has."""
    rows = changed(record["activations"][0].to_list())
    return record.with_columns(activations=pl.Series([rows], dtype=record.schema["activations"]))


def silent_row(name, *, words=40, **fields):
    return {
        **dict.fromkeys(ActivationRow.columns()),
        "dataIndex": name,
        "tokens": ["<bos>", *(f" {name}-{i}" for i in range(words - 1))],
        "values": [0.0] * words,
        "maxValue": 0.0,
        "maxValueTokenIndex": 0,
        "minValue": 0.0,
        **fields,
    }


def with_silent_rows(source, *rows):
    return with_rows(source.record(3), lambda there: [*there, *rows])


DONORS = (4, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17)


def test_contexts_verified_as_silent_come_first_among_the_negatives(source):
    record = with_silent_rows(source, *(silent_row(f"z{i}") for i in range(7)))
    negatives = split_examples(record, DONORS, source, Split(silent_rows=5), seed=0).filter(role="negative")
    assert negatives["rank"].to_list() == list(range(1, 11))
    own, lent = negatives.head(5), negatives.tail(5)
    assert own["example"].str.starts_with("z").all()
    assert own["example"].n_unique() == 5
    assert own["silent"].all()
    assert own["donor_index"].null_count() == own["donor_activations"].null_count() == 5
    assert own["peak_activation"].to_list() == [0.0] * 5
    assert own["activations"].list.max().to_list() == [0.0] * 5
    assert lent["donor_index"].to_list() == [4, 7, 8, 10, 11]
    assert lent["rank"].to_list() == [6, 7, 8, 9, 10]


def test_the_donors_negatives_do_not_depend_on_the_silent_contexts(source):
    record = with_silent_rows(source, silent_row("z0"))
    lent = split_examples(record, DONORS, source, Split(), seed=0).filter(role="negative").tail(9)
    assert lent["example"].to_list() == splits_of(source).filter(role="negative").head(9)["example"].to_list()


def test_the_place_shown_of_a_silent_context_is_drawn_among_its_words_by_the_seed(source):
    record = with_silent_rows(source, *(silent_row(f"z{i}", words=90) for i in range(5)))

    def places(seed):
        own = split_examples(record, DONORS, source, Split(), seed=seed).filter(pl.col("example").str.starts_with("z"))
        return dict(own.select("example", "peak_position").iter_rows())

    assert places(0) == places(0) != places(1)
    assert len(set(places(0).values())) > 2
    assert 0 not in places(0).values()


def test_no_more_silent_contexts_than_asked_for_even_if_donors_run_short(source):
    record = with_silent_rows(source, *(silent_row(f"z{i}") for i in range(7)))
    negatives = split_examples(record, DONORS[:2], source, Split(silent_rows=3), seed=0).filter(role="negative")
    assert negatives["silent"].len() == 5
    assert split_examples(record, DONORS, source, Split(silent_rows=0), seed=0)["donor_index"].drop_nulls().len() == 10
    only = split_examples(record, DONORS, source, Split(silent_rows=5, negatives=2), seed=0).filter(role="negative")
    assert only["donor_index"].null_count() == only.height == 2


def test_a_silent_context_is_used_once_and_only_if_it_says_nothing_else(source):
    example = source.record(3)["activations"][0].to_list()[0]
    zero = silent_row("z0")
    record = with_silent_rows(
        source,
        zero,
        {**zero, "dataIndex": "z0-again"},
        silent_row("example", tokens=example["tokens"], values=[0.0] * len(example["tokens"])),
        silent_row("below zero", minValue=-1.0),
        silent_row("broken", values=[0.0]),
        silent_row("only special", words=1),
    )
    assert silent_contexts(record)["dataIndex"].to_list() == ["z0"]


def test_a_donor_does_not_lend_a_text_of_the_feature_itself(source):
    donor_rows = source.record(4)["activations"][0].to_list()
    record = with_rows(
        source.record(3),
        lambda rows: [
            *rows[:16],
            *({**row, "dataIndex": f"own-{place}"} for place, row in enumerate(donor_rows)),
        ],
    )
    negatives = split_examples(record, DONORS, source, Split(), seed=0).filter(role="negative")
    assert 4 not in negatives["donor_index"].to_list()


def binned(rows):
    """The strongest row was drawn from a low bin, by a token that is not its largest."""
    values = [*rows[0]["values"]]
    values[12] = 4.5
    low = {**rows[0], "values": values, "qualifyingTokenIndex": 12, "binMin": 4.0, "binMax": 5.0}
    return [low, *({**row, "qualifyingTokenIndex": None} for row in rows[1:])]


def test_a_row_from_a_bin_has_its_peak_where_it_qualifies_and_ranks_there(source):
    record = with_rows(source.record(3), binned)
    splits = split_examples(record, DONORS, source, Split(train=5, test=15), seed=0)
    row = splits.filter(peak_position=12).row(0, named=True)
    assert (row["peak_activation"], row["rank"]) == (4.5, 16)
    assert row["window_start"] <= 12 < row["window_end"]
    # The feature's largest peak is now that of the second row.
    assert splits["peak_activation"].max() == 19.0
    assert row["relative_activation"] == pytest.approx(4.5 / 19)
    assert splits["relative_activation"][0] == 1.0


def test_the_peak_can_be_the_largest_value_whatever_the_bin(source):
    record = with_rows(source.record(3), binned)
    assert (
        splits_of(source)
        .drop("activations")
        .equals(split_examples(record, DONORS, source, Split(peak="maximum"), seed=0).drop("activations"))
    )


@pytest.mark.parametrize("index", [-1, 40, 5])
def test_a_qualifying_token_that_is_outside_or_silent_is_no_peak(source, index):
    record = with_rows(source.record(3), lambda rows: [{**rows[0], "qualifyingTokenIndex": index}, *rows[1:]])
    assert split_examples(record, DONORS, source, Split(), seed=0)["peak_position"][0] == 30


def test_how_many_examples_there_are_does_not_depend_on_the_choice_of_peak(source):
    record = with_rows(source.record(3), binned)
    assert distinct_examples(record).height == distinct_examples(source.record(3)).height


@pytest.mark.parametrize(
    "copy",
    [
        lambda row: {**row, "tokens": [" ", *row["tokens"][1:]]},  # without its <bos>
        lambda row: {**row, "tokens": row["tokens"][:32], "values": row["values"][:32]},  # its document cut off
        lambda row: {**row, "tokens": [*row["tokens"], " more", " text"], "values": [*row["values"], 0.0, 0.0]},
    ],
)
def test_a_text_inside_another_is_the_same_example(source, copy):
    record = with_rows(source.record(3), lambda rows: [*rows, {**copy(rows[4]), "dataIndex": "copy"}])
    assert distinct_examples(record).height == 20


def test_a_few_words_inside_another_text_are_an_example_of_their_own(source):
    record = with_rows(
        source.record(3),
        lambda rows: [
            *rows,
            {**rows[4], "dataIndex": "short", "tokens": rows[4]["tokens"][25:31], "values": rows[4]["values"][25:31]}
            | {"maxValueTokenIndex": 5},
        ],
    )
    assert distinct_examples(record).height == 21


def test_of_several_rows_from_one_context_one_is_an_example(source):
    record = with_rows(
        source.record(3),
        lambda rows: [*rows, {**silent_row(rows[2]["dataIndex"]), "values": [1.0] * 40, "maxValue": 1.0}],
    )
    assert distinct_examples(record).height == 20


@pytest.mark.parametrize("broken", [{"values": [1.0]}, {"maxValueTokenIndex": 40}, {"tokens": [], "values": []}])
def test_a_row_that_contradicts_itself_is_no_example_and_is_counted(source, broken):
    record = with_rows(source.record(3), lambda rows: [{**rows[0], **broken}, *rows[1:]])
    assert distinct_examples(record).height == 19
    assert unreadable_rows(record) == 1
