import pytest

from baez_pipeline.tiers.windows import Context, contexts_of_record, passage_of, window_at, windows
from baez_pipeline_tests.features.records import active, examples_of, words
from baez_pipeline_tests.tiers.made_up import record_of_rows

TEXT = ["<bos>", " The", " old", " bridge", " over", " the", " river", " was", " closed", " today", "."]


def text_of(tokens, peak, kind, size):
    passage = passage_of(tokens, peak)
    window = None if passage is None else window_at(passage, kind, size=size)
    return None if window is None else (window.text, window.length)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("input", ("bridge over the", 3)),
        ("output", ("river was", 2)),
        ("cross", ("bridge over the river was", 5)),
    ],
)
def test_a_window_is_counted_from_the_peak(kind, expected):
    assert text_of(TEXT, 5, kind, 2) == expected


@pytest.mark.parametrize(
    ("peak", "kind", "size", "expected"),
    [
        # Five of the nine tokens of [-8, 0] are there, then four of nine.
        (5, "input", 8, ("The old bridge over the", 5)),
        (4, "input", 8, None),
        # Two of four tokens of [1, 4], then one.
        (8, "output", 4, ("today.", 2)),
        (9, "output", 4, None),
        (10, "output", 1, None),
        (10, "output", 4, None),
    ],
)
def test_at_a_text_end_a_window_is_clipped_and_one_shorter_than_half_is_dropped(peak, kind, size, expected):
    assert text_of(TEXT, peak, kind, size) == expected


def test_special_tokens_are_left_out_and_not_counted():
    tokens = ["<bos>", "<start_of_turn>", "user", "\n", "Hi", "<end_of_turn>", "\n", "<start_of_turn>", "model", " Yes"]
    assert text_of(tokens, 8, "input", 2) == ("Hi model", 3)


def test_a_peak_on_a_special_token_has_no_windows():
    assert windows([Context(TEXT, 0, 1.0, None)], size=2) == {"input": [None], "output": [None], "cross": [None]}


def test_another_document_in_the_same_context_is_beyond_the_texts_end():
    tokens = ["<bos>", " one", " two", " three", "<bos>", " four", " five", " six"]
    assert text_of(tokens, 5, "cross", 2) == ("four five six", 3)
    assert text_of(tokens, 3, "output", 2) is None


RIVERS = [" A", " riv", "er", "bank", " near", " the", " moun", "tain", "s", "."]


@pytest.mark.parametrize(
    ("peak", "kind", "size", "expected"),
    [
        (4, "input", 2, ("riverbank near", 3)),
        (1, "input", 1, ("A river", 2)),
        (5, "cross", 1, ("near the mountain", 3)),
        (4, "output", 2, ("the mountains", 2)),
        # Reaching back for the word's beginning would put the peak into the window.
        (1, "output", 2, ("erbank", 2)),
    ],
)
def test_a_word_that_an_edge_cuts_is_taken_in_whole(peak, kind, size, expected):
    assert text_of(RIVERS, peak, kind, size) == expected


def test_an_edge_moves_by_no_more_than_the_windows_size():
    assert text_of([*"abcdefghij"], 5, "input", 2) == ("bcdefgh", 3)


def test_scripts_without_blanks_are_not_taken_for_one_long_word():
    assert text_of([*"我们今天去河边看桥"], 4, "cross", 2) == ("今天去河边", 5)


@pytest.mark.parametrize(
    "tokens",
    [["▁the", "▁riv", "er", "▁was"], ["Ġthe", "Ġriv", "er", "Ġwas"], ["<0x0A>", "▁riv", "er", "▁was"]],
)
def test_a_tokenizers_mark_for_a_blank_is_a_blank(tokens):
    assert text_of(tokens, 2, "cross", 1)[0] == "river was"


def test_a_window_of_white_space_alone_is_none():
    assert text_of([" end", "\n", " \n", "\t"], 0, "output", 3) is None


def test_the_windows_of_examples_keep_their_order():
    contexts = [Context(TEXT, peak, 1.0, None) for peak in (6, 10)]
    found = windows(contexts, size=1)
    assert [window and window.text for window in found["output"]] == ["was", None]
    assert [window and window.text for window in found["input"]] == ["the river", "today."]


def test_near_copies_collapse_and_the_strongest_examples_come_first():
    copied = words("copy")
    record = record_of_rows(
        active("weak", 1.0),
        active("strong", 9.0, document="texts: a"),
        active("copy-a", 5.0, tokens=[*copied[:-1], " 1998"]),
        active("copy-b", 4.0, tokens=[*copied[:-1], " 1999"]),
        active("middling", 3.0),
    )
    contexts = contexts_of_record(record, examples=3, peak="maximum")
    assert [context.activation for context in contexts] == [9.0, 5.0, 3.0]
    assert [context.peak for context in contexts] == [30, 30, 30]
    assert [context.document for context in contexts] == ["texts: a", None, None]


def test_a_text_with_several_peaks_is_one_example():
    values = [0.0] * 40
    values[5] = values[20] = 7.0
    rows = examples_of(active("twice", 7.0), {**active("twice", 7.0), "values": values, "maxValueTokenIndex": 5})
    assert len(contexts_of_record(record_of_rows(*rows.to_dicts()), examples=20, peak="maximum")) == 1


def test_the_peak_is_the_one_that_labels_are_made_from():
    row = active("drawn", 7.0)
    values = list(row["values"])
    values[4] = 3.0
    record = record_of_rows(row | {"values": values, "qualifyingTokenIndex": 4})
    found = {peak: contexts_of_record(record, examples=3, peak=peak)[0] for peak in ("maximum", "qualifying_token")}
    assert {peak: (context.peak, context.activation) for peak, context in found.items()} == {
        "maximum": (30, 7.0),
        "qualifying_token": (4, 3.0),
    }
