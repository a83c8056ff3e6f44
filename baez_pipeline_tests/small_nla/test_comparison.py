"""Judging two engines alike: numbers whose figures are known, and the shipped reconstructor on real positions."""

import json

import numpy as np
import pytest

from baez_pipeline.embedded import BLOCK
from baez_pipeline.errors import SourceError
from baez_pipeline.nla.engine import Explanation
from baez_pipeline.nla.reconstructor import Reconstructor
from baez_pipeline.small_nla import FOLDER
from baez_pipeline.small_nla.card import README_FILE, card_text
from baez_pipeline.small_nla.comparison import Positions, differences, figures, measures_of, quoted_wording
from baez_pipeline.small_nla.evaluation import Said, compare, held_out_positions, read_record
from baez_pipeline.small_nla.measures import text_measures
from baez_pipeline.small_nla.targets import explanation_text
from baez_pipeline.small_nla.topic_words import TopicWords

CONTEXTS = (
    "The bees carry nectar to the hive",
    "The hive makes honey",
    "A knight moves on the board",
    "The queen takes the knight",
    "Rivers rise in the mountains",
    "Rivers flow past the towns",
)
TOPICS = (["bees", "nectar"], ["honey"], ["knight"], ["queen", "knight"], ["rivers"], ["rivers", "towns"])


def _said(topic, token, wording):
    return explanation_text(
        genre="Textbook", topic_words=topic, before=f"{wording} ", token=token, continuations=["and"]
    )


@pytest.fixture(scope="module")
def positions():
    vectors = np.eye(6, dtype=np.float32)
    return Positions(
        articles=["bees", "bees", "chess", "chess", "rivers", "rivers"],
        tokens=[" " + context.split()[-1] for context in CONTEXTS],
        contexts=list(CONTEXTS),
        topic_words=[list(words) for words in TOPICS],
        vectors=vectors,
    )


@pytest.fixture(scope="module")
def right(positions):
    texts = [
        _said(words, token, context.rpartition(" ")[0])
        for words, token, context in zip(TOPICS, positions.tokens, CONTEXTS, strict=True)
    ]
    return texts, measures_of(texts, positions.vectors, positions, variance=0.5)


def test_explanations_that_say_what_is_true_are_right_of_their_own_positions_alone(right, positions):
    shown = figures(right[1], positions)
    assert {name: each["own"]["value"] for name, each in shown.items()} == dict.fromkeys(shown, 1.0)
    assert {name: each["other_articles"]["value"] for name, each in shown.items()} == {
        "final_token": 0,
        "topic_words_in_text": 0,
        "topic_words_found": 0,
        "wording_in_text": 0,
        # Cosine 0 is an error of 2, of which the variance is a quarter.
        "fve": -3,
    }


def test_the_same_text_for_every_position_is_no_better_for_its_own(positions):
    text = _said(["rivers"], " board", "in the mountains")
    measures = measures_of([text] * 6, np.ones((6, 6), dtype=np.float32), positions, variance=0.5)
    shown = figures(measures, positions)
    for name in ("final_token", "topic_words_in_text", "fve"):
        assert shown[name]["own"]["value"] == pytest.approx(shown[name]["other_articles"]["value"], abs=1e-4)
    assert shown["final_token"]["own"]["value"] == pytest.approx(1 / 6, abs=1e-4)


def test_own_figures_are_those_of_the_training(right, positions):
    texts = [*right[0][:3], "nothing of the form", right[0][0], ""]
    shown = figures(measures_of(texts, positions.vectors, positions, variance=0.5), positions)
    trained = text_measures(
        texts, tokens=positions.tokens, contexts=positions.contexts, topic_words=positions.topic_words
    )
    for name in ("final_token", "topic_words_in_text", "topic_words_found"):
        assert shown[name]["own"]["value"] == trained[name]
        assert 0 < trained[name] < 1


def test_a_difference_counts_the_articles_in_which_an_engine_is_ahead(right, positions):
    worse = [*right[0][:3], right[0][0], *right[0][4:]]
    other = measures_of(worse, positions.vectors, positions, variance=0.5)
    compared = differences(right[1], other, positions)["final_token"]
    assert compared["value"] == pytest.approx(1 / 6, abs=1e-4)
    assert (compared["articles_ahead"], compared["of_articles"]) == (1, 3)
    assert compared["low"] <= compared["value"] <= compared["high"]


def test_the_wording_is_what_the_second_paragraph_quotes():
    text = 'About "this".\n\nThe wording "a b", "say \\"no\\"" recurs.\n\nFinal token "x"'
    assert quoted_wording(text) == ["a b", 'say \\"no\\"']
    assert quoted_wording("one paragraph") == []


@pytest.mark.slow
def test_the_shipped_reconstructor_tells_texts_of_their_own_positions_from_others(smollm2):
    model, tokenizer = smollm2
    positions = held_out_positions(model, tokenizer, TopicWords([*CONTEXTS] * 3), windows_each=1)
    assert len(positions.tokens) == 4 * 6
    assert len(set(positions.articles)) == 6
    rows = range(0, len(positions.tokens), 4)
    few = Positions(
        articles=[positions.articles[row] for row in rows],
        tokens=[positions.tokens[row] for row in rows],
        contexts=[positions.contexts[row] for row in rows],
        topic_words=[positions.topic_words[row] for row in rows],
        vectors=positions.vectors[list(rows)],
    )
    rule = [_said([], token, context[: -len(token)]) for token, context in zip(few.tokens, few.contexts, strict=True)]
    said = {
        "small_nla": Said([Explanation(text=text) for text in rule], seconds_each=0.1),
        "neighbours": Said([Explanation(text="Nothing of the form.")] * len(rule), seconds_each=0.2),
    }
    reconstructor = Reconstructor.open(FOLDER / "ar", layer=BLOCK)
    record = compare(said, few, reconstructor, tokenizer, variance=0.458)
    fve = record["small_nla"]["fve"]
    assert fve["own"]["value"] > 0.2 > 0 > fve["other_articles"]["value"]
    assert fve["own"]["value"] > record["fve_of_empty_text"]["value"]
    assert record["difference"]["final_token"]["value"] == 1
    assert record["neighbours"]["seconds_each"] == 0.2
    assert len(record["samples"]) == 6


def test_the_shipped_card_is_the_record_in_words():
    record = read_record(FOLDER)
    card = (FOLDER / README_FILE).read_text(encoding="utf-8")
    assert card == card_text(record)
    assert f"{record['held_out_text']['all']['final_token']:.1%}" in card
    assert f"{100 * record['engines']['difference']['final_token']['value']:+.1f} %" in card


def test_the_shipped_pair_is_small_and_anyone_may_read_it():
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 12e6
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in files)
    assert (FOLDER / "record.json").stat().st_size < 20_000


def test_a_folder_without_a_record_is_refused_with_the_command_that_makes_one(tmp_path):
    (tmp_path / "record.json").write_text(json.dumps(["half"])[:-1])
    with pytest.raises(SourceError, match=r"small_nla\.training"):
        read_record(tmp_path)
