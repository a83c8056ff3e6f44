"""Explanations by rule, and the measures that read explanations."""

import json

import pytest

from baez_pipeline.nla.paragraphs import FINAL_TOKEN, last_paragraph, paragraphs
from baez_pipeline.small_nla import targets
from baez_pipeline.small_nla.measures import named_token, text_measures, topic_words_named
from baez_pipeline.small_nla.targets import explanation_text, role_of
from baez_pipeline.small_nla.topic_words import TopicWords

BEFORE = "Anarchism is a political philosophy. It holds the state to be undesirable, unnecessary, and"


def _explained(**changes):
    given = {
        "genre": "Encyclopedia article",
        "topic_words": ["philosophy", "political", "state"],
        "before": BEFORE,
        "token": " harmful",
        "continuations": [".", " to", "\n", ".", ",", " in"],
    }
    return explanation_text(**(given | changes))


def test_an_explanation_has_the_three_paragraphs_of_the_released_form():
    text = _explained()
    assert paragraphs(text) == [
        "Encyclopedia article about philosophy: political, state.",
        'The text goes "be undesirable, unnecessary, and harmful".',
        'Final token "harmful", a word; ".", "to" or "," may follow.',
    ]
    assert last_paragraph(text) == (paragraphs(text)[2], False)
    assert targets.FINAL_TOKEN == FINAL_TOKEN


def test_quotes_line_breaks_and_an_unknown_topic_keep_the_form():
    text = _explained(topic_words=[], before='He said\n\n"no', token='"\n', continuations=[" ", "\n"])
    assert len(paragraphs(text)) == 3
    assert paragraphs(text)[0] == "Encyclopedia article."
    assert named_token(text) == '"'
    assert text.endswith("anything may follow.")
    assert named_token(_explained(token="\n")) == ""


@pytest.mark.parametrize(
    ("token", "before", "role"),
    [
        (" the", "of", "an article"),
        (" The", "ended. ", "an article"),
        ("comb", "the honey", 'in "honeycomb"'),
        ("9", "in 1", 'in "19"'),
        ("1", "in ", "a number"),
        (" Paris", "lives in", "a name"),
        (" Paris", "It ended.", "a first word"),
        (" business", "piece of", "a word"),
        (" workers", "the", "a plural or verb"),
        (" walking", "was", "an -ing form"),
        (",", "here", "a comma"),
        ("\n", "here.", "a line break"),
    ],
)
def test_the_role_of_a_token_is_told_from_the_text_up_to_it(token, before, role):
    assert role_of(token, before) == role


def test_topic_words_are_those_of_few_texts_that_were_mentioned_lately():
    texts = ["people talk about bees and honey"] * 3 + ["people talk about chess and people win"] * 3 + ["people"] * 94
    words = TopicWords(texts)
    text = "people talk about bees and honey. Then they play chess"
    assert set(words.at(text, [len(text)])[0]) == {"bees", "honey", "chess"}
    early = words.at(text, [24, 3])
    assert set(early[0]) == {"bees"}
    assert early[1] == []


def test_the_measures_count_what_an_explanation_got_right():
    right = _explained()
    wrong = _explained(topic_words=["cooking"], token=" kitchen")
    measured = text_measures(
        [right, wrong, "nothing of the form"],
        tokens=[" harmful"] * 3,
        contexts=[BEFORE + " harmful"] * 3,
        topic_words=[["philosophy", "political", "state"]] * 3,
    )
    assert measured == {
        "final_token": pytest.approx(1 / 3, abs=1e-4),
        # philosophy, political and state of these and cooking, nothing, form
        "topic_words_in_text": 0.5,
        "topic_words_found": pytest.approx(3 / 9, abs=1e-4),
        "form": pytest.approx(2 / 3, abs=1e-4),
    }
    assert topic_words_named("Encyclopedic prose about rivers, banks.\n\nx") == {"rivers", "banks"}
    assert named_token("Final token " + json.dumps('a "b"') + ", x") == 'a "b"'
    assert named_token("no form") is None
