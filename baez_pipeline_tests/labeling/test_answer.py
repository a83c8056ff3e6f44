import pytest

from baez_pipeline.labeling.answer import read_label
from baez_pipeline.tables import Outcome


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("[EXPLANATION]: dates of battles", "dates of battles"),
        ("I will end with [EXPLANATION]: like so.\n[EXPLANATION]: verbs of motion.", "verbs of motion"),
        ('[EXPLANATION]: "**opening brackets**"\nThat is all.', "opening brackets"),
        ("[EXPLANATION]:\n\n  the token  'er' ", "the token 'er'"),
        ('[EXPLANATION]: "way" or "ways".', '"way" or "ways"'),
    ],
)
def test_the_line_after_the_last_marker_is_the_label(text, label):
    assert read_label(text).label == label


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("", Outcome.EMPTY),
        ("dates of battles", Outcome.UNPARSABLE),
        ("[EXPLANATION]:", Outcome.UNPARSABLE),
        ("[EXPLANATION]: ...", Outcome.UNPARSABLE),
    ],
)
def test_an_answer_without_a_label_is_an_outcome(text, outcome):
    answer = read_label(text)
    assert (answer.label, answer.outcome) == (None, outcome)
    assert answer.detail


def test_a_long_label_is_cut_and_says_so():
    answer = read_label("[EXPLANATION]: one two three, four", maximum_words=3)
    assert (answer.label, answer.detail) == ("one two three", "cut to 3 of 4 words")


def test_a_clause_that_would_be_cut_in_two_goes_altogether():
    answer = read_label('[EXPLANATION]: the word "way"; "in the way" of', maximum_words=5)
    assert answer.label == 'the word "way"'
