"""Texts as they are sent and results as they come, without a service between."""

import math

import polars as pl
import pytest

from baez_pipeline.nla.described import TextToPeak, explanation_of, same_token
from baez_pipeline.nla.engine import Peak
from baez_pipeline.tables import Outcome


def text_to(*tokens, position=None, most_characters=100):
    peak = Peak(tokens=tokens, token_ids=None, position=len(tokens) - 1 if position is None else position, seed=0)
    return TextToPeak.of(peak, most_characters=most_characters)


def test_the_text_ends_with_the_peak():
    context = text_to("<bos>", "The", " harbour", " was", position=2)
    assert (context.text, context.token, context.position) == ("<bos>The harbour", " harbour", 2)
    assert (context.has_bos, context.note) == (True, None)


@pytest.mark.parametrize("mark", ["▁", "Ġ"])
def test_a_space_that_a_tokenizer_writes_as_a_mark_is_a_space(mark):
    context = text_to("The", f"{mark}harbour")
    assert (context.text, context.token) == ("The harbour", " harbour")
    assert same_token(f"{mark}harbour", " harbour")
    assert not same_token("harbour", " harbour"), "a word without its space is another token"
    assert not same_token(None, " harbour")


def test_a_text_is_cut_at_a_token_and_keeps_its_peak():
    assert text_to("<bos>", "ab", "cd", "ef", most_characters=5).text == "cdef"
    context = text_to("<bos>", "ab", "cd", "ef", most_characters=4)
    assert (context.text, context.position, context.has_bos) == ("cdef", 1, False)
    assert context.note == "the service takes 4 characters: the first 2 tokens were left out"
    assert text_to("ab", "much too long", most_characters=4).text == "much too long"


def test_characters_are_counted_in_utf_16_units_as_the_service_counts_them():
    assert text_to("🐟", "🐟", "🐟", most_characters=5).text == "🐟🐟"
    assert text_to("é", "é", "é", "é", "é", most_characters=5).note is None


def test_only_a_bos_moves_a_position():
    assert text_to("The", " harbour").shifts == (0, 1)
    assert text_to("<bos>", " harbour").shifts == (0, 1, -1)
    assert text_to("", " harbour").shifts == (0, 1, -1), "a BOS that the source shows as nothing"
    assert text_to("<bos>").shifts == (0, 1), "there is no position before the first"


@pytest.mark.parametrize(
    ("description", "text", "detail"),
    [
        ("  Boats.\n\nFinal token.\n", "Boats.\n\nFinal token.", None),
        ("<explanation>\nBoats.\n</explanation>", "Boats.", None),
        ("<explanation>\nBoats.", "Boats.", "the explanation tag was not closed"),
        ("Boats.</explanation>", "Boats.", None),
    ],
)
def test_explanation_tags_are_removed(description, text, detail):
    said = explanation_of({"description": description})
    assert (said.outcome, said.text, said.detail) == (Outcome.OK, text, detail)


def test_an_unclosed_tag_and_a_cut_text_are_both_said():
    said = explanation_of({"description": "<explanation>Boats."}, note="the text was cut")
    assert said.detail == "the text was cut; the explanation tag was not closed"


@pytest.mark.parametrize("description", ["", " \n", "<explanation></explanation>", "<explanation>", "</explanation>"])
def test_nothing_described_is_empty(description):
    said = explanation_of({"description": description})
    assert (said.outcome, said.text) == (Outcome.EMPTY, "")


@pytest.mark.parametrize("result", [{}, {"description": None}, {"description": ["Boats."]}])
def test_a_result_without_a_description_is_unparsable(result):
    assert explanation_of(result).outcome is Outcome.UNPARSABLE


@pytest.mark.parametrize("number", [math.nan, math.inf, 1e300, 10**400, "0.1", True, [1], None])
def test_a_score_that_no_table_can_hold_is_none(number):
    said = explanation_of({"description": "Boats.", "mse": number, "cosine_similarity": number, "l2_norm": number})
    assert (said.outcome, said.mse, said.cosine, said.norm) == (Outcome.OK, None, None, None)


def test_half_a_character_does_not_reach_a_table():
    said = explanation_of({"description": "Boats \ud83d at sea"})
    assert pl.Series([said.text]).to_list() == ["Boats ? at sea"]
