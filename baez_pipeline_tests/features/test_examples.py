import pytest

from baez_pipeline.features import LocalSae
from baez_pipeline.features.examples import (
    distinct_examples,
    document_of,
    readable_rows,
    shown_window,
    silent_contexts,
    unreadable_rows,
)
from baez_pipeline_tests.features.records import row, silent, with_rows
from baez_pipeline_tests.tiny_sae import write_tiny_sae


@pytest.fixture
def record(tmp_path):
    return LocalSae.open(write_tiny_sae(tmp_path)).record(3)


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


@pytest.mark.parametrize("peak", [1, 500, 999])
def test_the_whole_window_is_all_of_the_context_but_for_its_bos(peak):
    assert shown_window(["<bos>", *["x"] * 999], peak, "whole") == (1, 1000)


def test_equal_texts_count_once_and_silent_rows_not_at_all(record):
    record = with_rows(
        record, lambda rows: [*rows, {**rows[0], "dataIndex": "copy"}, silent("zero", tokens=["x"] * 40)]
    )
    assert distinct_examples(record).height == 20


@pytest.mark.parametrize(
    "copy",
    [
        lambda row: {**row, "tokens": [" ", *row["tokens"][1:]]},  # without its <bos>
        lambda row: {**row, "tokens": row["tokens"][:32], "values": row["values"][:32]},  # its document cut off
        lambda row: {**row, "tokens": [*row["tokens"], " more", " text"], "values": [*row["values"], 0.0, 0.0]},
    ],
)
def test_a_text_inside_another_is_the_same_example(record, copy):
    record = with_rows(record, lambda rows: [*rows, {**copy(rows[4]), "dataIndex": "copy"}])
    assert distinct_examples(record).height == 20


def test_a_few_words_inside_another_text_are_an_example_of_their_own(record):
    record = with_rows(
        record,
        lambda rows: [*rows, row("short", rows[4]["tokens"][25:31], rows[4]["values"][25:31])],
    )
    assert distinct_examples(record).height == 21


def test_of_several_rows_from_one_context_one_is_an_example(record):
    record = with_rows(
        record, lambda rows: [*rows, row(rows[2]["dataIndex"], [f" other {i}" for i in range(9)], [1.0] * 9)]
    )
    assert distinct_examples(record).height == 20


@pytest.mark.parametrize("broken", [{"values": [1.0]}, {"maxValueTokenIndex": 40}, {"tokens": [], "values": []}])
def test_a_row_that_contradicts_itself_is_no_example_and_is_counted(record, broken):
    record = with_rows(record, lambda rows: [{**rows[0], **broken}, *rows[1:]])
    assert distinct_examples(record).height == readable_rows(record).height == 19
    assert unreadable_rows(record) == 1


def test_a_record_without_rows_has_nothing(record):
    empty = with_rows(record, lambda rows: [])
    assert [read(empty).height for read in (distinct_examples, readable_rows)] == [0, 0]
    assert silent_contexts(empty, distinct_examples(empty)).height == 0
    assert unreadable_rows(empty) == 0


def test_a_silent_context_is_used_once_and_only_if_it_says_nothing_else(record):
    zero = silent("z0")
    record = with_rows(
        record,
        lambda rows: [
            *rows,
            zero,
            {**zero, "dataIndex": "z0-again"},
            silent("example", tokens=rows[0]["tokens"]),
            {**silent("below zero"), "minValue": -1.0},
            {**silent("broken"), "values": [0.0]},
            silent("only special", tokens=["<bos>"]),
        ],
    )
    assert silent_contexts(record, distinct_examples(record))["dataIndex"].to_list() == ["z0"]


@pytest.mark.parametrize(
    ("data_source", "document"),
    [("enwiki: Autism", "enwiki: Autism"), ("monology/pile-uncopyrighted", None), (None, None)],
)
def test_a_document_is_known_where_the_source_names_more_than_the_data_set(data_source, document):
    assert document_of(data_source) == document
