import json

import pytest

from baez_pipeline.features.activation_row import activation_row

BEFORE, DOCUMENT, AFTER = ["<bos>", " a", " b"], ["<bos>", " the", " cat", " sat"], ["<bos>", " z"]


def row(tokens, values, *, packed="cut", **fields):
    return activation_row(
        {"dataIndex": "12", "tokens": tokens, "values": values, **fields}, name="3-row-0", packed=packed
    )


def test_a_packed_context_is_cut_to_the_document_of_the_peak():
    cut = row([*BEFORE, *DOCUMENT, *AFTER], [0, 1, 0, 0, 0, 7, 2, 0, 3], maxValue=7, maxValueTokenIndex=5)
    assert cut["tokens"] == DOCUMENT
    assert cut["values"] == [0, 0, 7, 2]
    assert (cut["maxValue"], cut["maxValueTokenIndex"], cut["minValue"]) == (7, 2, 0)


def test_a_packed_context_can_be_kept_whole():
    tokens = [*BEFORE, *DOCUMENT]
    kept = row(tokens, [0, 0, 0, 0, 0, 7, 2], packed="keep")
    assert (kept["tokens"], kept["maxValueTokenIndex"]) == (tokens, 5)


@pytest.mark.parametrize(
    ("tokens", "values", "expected"),
    [
        ([" x", *DOCUMENT], [5, 0, 0, 0, 0], [" x"]),  # the first document begins before the context
        ([*BEFORE, *DOCUMENT], [0, 0, 0, 9, 0, 0, 1], DOCUMENT),  # a peak on <bos> belongs to what follows
        ([*DOCUMENT, "<bos>"], [0, 1, 0, 0, 0], DOCUMENT),  # a trailing <bos>
        ([" no", " bos"], [0, 1], [" no", " bos"]),
        ([*BEFORE, *DOCUMENT, *AFTER], [0] * 9, DOCUMENT),  # silent: the longest document
    ],
)
def test_where_a_document_begins_and_ends(tokens, values, expected):
    assert row(tokens, values)["tokens"] == expected


def test_a_bin_row_is_cut_to_the_document_of_its_qualifying_token():
    cut = row([*BEFORE, *DOCUMENT], [0, 9, 0, 0, 0, 3, 4], maxValue=9, maxValueTokenIndex=1, qualifyingTokenIndex=5)
    assert (cut["tokens"], cut["qualifyingTokenIndex"]) == (DOCUMENT, 2)
    assert (cut["maxValue"], cut["maxValueTokenIndex"]) == (4, 3)


@pytest.mark.parametrize("index", [-1, 99, None, 0, True, "2"])
def test_a_qualifying_token_that_is_none_is_left_out(index):
    assert row(DOCUMENT, [0, 1, 2, 3], qualifyingTokenIndex=index)["qualifyingTokenIndex"] is None


def test_ids_are_cut_with_the_tokens():
    cut = row([*BEFORE, *DOCUMENT], [0, 0, 0, 0, 0, 7, 2], tokenIds=[2, 10, 11, 2, 12, 13, 14])
    assert cut["tokenIds"] == [2, 12, 13, 14]
    assert row(DOCUMENT, [0, 1, 2, 3], tokenIds=[2, 12])["tokenIds"] is None


@pytest.mark.parametrize(
    "raw",
    [
        {"tokens": DOCUMENT, "values": [0, 1, 2]},
        {"tokens": DOCUMENT, "values": [0, 1, 2, 3], "maxValueTokenIndex": 4},
        {"tokens": DOCUMENT, "values": [0, 1, 2, 3], "maxValueTokenIndex": -1},
        {"tokens": DOCUMENT, "values": [0, 0, 0, 0], "maxValue": 3},  # else a verified negative
        {"tokens": DOCUMENT, "values": [0, 1, 2, 3], "maxValue": 0},
        {"tokens": DOCUMENT, "values": json.loads("[0, NaN, 2, 3]")},
        {"tokens": DOCUMENT, "values": json.loads("[0, 1e999, 2, 3]")},
        {"tokens": DOCUMENT, "values": [0, 1e39, 2, 3]},
        {"tokens": DOCUMENT, "values": [0, 10**400, 2, 3]},
        {"tokens": DOCUMENT, "values": [0, "1", 2, 3]},
        {"tokens": DOCUMENT, "values": [0, None, 2, 3]},
        {"tokens": [*DOCUMENT[:3], 7], "values": [0, 1, 2, 3]},
        {"tokens": [], "values": []},
        {"tokens": "text", "values": [0, 1, 2, 3]},
        {},
        None,
        "row",
    ],
)
def test_a_row_that_contradicts_itself_is_empty(raw):
    made = activation_row(raw, name="3-row-0", packed="cut")
    assert (made["tokens"], made["values"], made["maxValue"]) == ([], [], 0)


def test_the_largest_value_decides_where_the_peak_is():
    made = row(DOCUMENT, [0, 1, 7, 3], maxValue=7.004, maxValueTokenIndex=3)
    assert (made["maxValue"], made["maxValueTokenIndex"]) == (7, 2)


def test_a_row_without_a_context_id_is_named_by_its_own_and_else_by_its_place():
    assert row(DOCUMENT, [0, 1, 2, 3], dataIndex=None, id="c7")["dataIndex"] == "c7"
    assert row(DOCUMENT, [0, 1, 2, 3], dataIndex="")["dataIndex"] == "3-row-0"
    assert row(DOCUMENT, [0, 1, 2, 3], dataIndex=0)["dataIndex"] == "0"


def test_half_of_a_surrogate_pair_can_be_stored():
    tokens = json.loads('["\\ud83d", "\\ude00", "\\ud83d\\ude00"]')
    assert row(tokens, [0, 1, 2])["tokens"] == ["�", "�", "😀"]
