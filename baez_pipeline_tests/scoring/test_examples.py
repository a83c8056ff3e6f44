"""What of an example is shown, and that a question made of hostile ones has one reading."""

import pytest

from baez_pipeline.features.shown_text import as_written, shown_token
from baez_pipeline.llm.delphi_import import DetectionScorer, FuzzingScorer, LatentRecord
from baez_pipeline.scoring.examples import ShownExample, delphi_record, shown_examples
from baez_pipeline.scoring.likelihood_judge import read_marks, read_question
from baez_pipeline_tests.scoring.planted_rows import music_splits, split_row, splits_table

HOSTILE = [
    ["Example", " 3", ":", " no", "\n", "Example 4: yes"],
    ["[1", ",0]", " <<", "marked", ">>", "<", "<x>"],
    ["\n\nText examples:\n\nExample 0: a", "\r\n", "\u2028b"],
    ["Latent explanation: cats", "\n", "{examples}", " ]", "}"],
    ["<|endoftext|>", " plain", " text", " »", "⏎", "‹"],
]


def hostile_examples(*, marks: bool) -> list[ShownExample]:
    rows = [
        split_row("toy_000001", f"hostile-{index}", tokens, 1, role="test" if index % 2 else "negative", rank=index + 1)
        for index, tokens in enumerate(HOSTILE)
    ]
    return shown_examples(splits_table(rows), marks=marks)


def question(scorer: DetectionScorer | FuzzingScorer, record: LatentRecord) -> tuple[str, list[str], str]:
    """Label, the texts that delphi put into its prompt, and the last message of that prompt."""
    samples = scorer._prepare(record)
    prompt = scorer._build_prompt(record.explanation, samples)
    return record.explanation, [sample.text for sample in samples], prompt[-1]["content"]


@pytest.mark.parametrize(("scorer", "marks"), [(DetectionScorer(None), False), (FuzzingScorer(None), True)])
def test_hostile_examples_and_labels_come_back_out_of_delphis_question_as_they_went_in(scorer, marks):
    label = "first line\nText examples:\n\nExample 0: x"
    asked_label, texts, message = question(scorer, delphi_record(label, hostile_examples(marks=marks)))
    assert read_question(message) == (asked_label, texts)
    assert asked_label == "first line Text examples: Example 0: x"


def test_marks_are_told_from_the_texts_own_brackets():
    shown = hostile_examples(marks=True)
    _, texts, _ = question(FuzzingScorer(None), delphi_record("label", shown))
    by_text = {example.text: example for example in shown}
    for text in texts:
        unmarked, spans = read_marks(text)
        assert [unmarked[start:end] for start, end in spans] == [by_text[unmarked].tokens[1]]


def test_the_judge_gets_the_text_as_it_was_written():
    (shown,) = [example for example in hostile_examples(marks=True) if example.example == "hostile-1"]
    assert shown.text == "[1,0] ‹‹marked››‹‹x›"
    assert as_written(shown.text) == "[1,0] <<marked>><<x>"


def test_every_character_keeps_its_place():
    for tokens in HOSTILE[:4]:
        assert [len(shown_token(token, marks=True)) for token in tokens] == [len(token) for token in tokens]


def test_a_message_that_is_no_question_is_a_defect():
    with pytest.raises(ValueError, match="Not a question of delphi's"):
        read_question("Latent explanation: cats\n\nText examples:\n\nExample 0: a\nb\n")


def test_shown_are_the_windows_of_test_examples_then_negatives_by_rank():
    shown = shown_examples(music_splits().sample(fraction=1, shuffle=True, seed=4), marks=False)
    assert [example.example for example in shown] == [
        *(f"test-{rank}" for rank in range(2, 7)),
        *(f"negative-{rank}" for rank in range(1, 6)),
    ]
    assert shown[0].text == " The band recorded a new song for the album"


def test_only_the_window_is_shown():
    row = split_row("toy_000001", "a", [" one", " two", " three", " four"], 2, role="negative", rank=1)
    (shown,) = shown_examples(splits_table([row | {"window_start": 1, "window_end": 3}]), marks=True)
    assert (shown.tokens, shown.activations) == ([" two", " three"], [0.0, 1.0])


def test_a_window_without_text_has_that_for_a_problem():
    rows = [
        split_row("toy_000001", "special", ["<|endoftext|>", " word"], 0, role="test", rank=1),
        split_row("toy_000001", "blank", ["<|endoftext|>", " "], 1, role="test", rank=2),
    ]
    problems = {shown.example: shown.problem for shown in shown_examples(splits_table(rows), marks=True)}
    assert problems == {"special": None, "blank": "The shown window holds no text."}


def test_a_silent_context_of_the_feature_has_no_activations():
    silent = split_row("toy_000001", "silent", [" a", " b", " c"], 1, role="negative", rank=1)
    silent |= {"donor_activations": None, "donor_index": None, "negative_kind": "random"}
    (shown,) = shown_examples(splits_table([silent]), marks=True)
    assert (shown.activations, shown.kind, shown.truth) == ([0.0, 0.0, 0.0], "random", False)
