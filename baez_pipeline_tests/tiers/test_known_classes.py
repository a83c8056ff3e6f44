import random
from collections import Counter

import polars as pl
import pytest

from baez_pipeline.features.contexts import Contexts
from baez_pipeline.features.planted_words import TOPICS
from baez_pipeline.tables import ActivationRow
from baez_pipeline.tiers.known_classes import EXPECTED, known_features

EXAMPLES = 8
KEYWORDS = ("lantern", "meadow", "copper", "ribbon", "thistle", "saddle")
RARE = ("velvet", "walnut", "kettle", "jigsaw")
MUSIC = TOPICS["music and songs"].split()


@pytest.fixture(scope="module")
def features():
    """160 contexts of 40 documents: each holds one keyword, some "than", some three words about music."""
    generator = random.Random(0)
    rows = []
    for number in range(160):
        tokens = ["<bos>", *(f" {''.join(generator.choices('abcdefgh', k=9))}" for _ in range(40))]
        tokens[10] = f" {KEYWORDS[number % len(KEYWORDS)]}"
        # Too rare for features of their own.
        if number % 10 < len(RARE):
            tokens[18] = f" {RARE[number % 10]}"
        if number % 5 == 0:
            tokens[25] = " than"
        if number % 6 == 1:
            tokens[32], tokens[35], tokens[38] = (f" {word}" for word in MUSIC[:3])
        row = {"dataIndex": f"c{number:03d}", "dataSource": f"texts: {number // 4}", "tokens": tokens}
        rows.append(row | {"maxValueTokenIndex": 0})
    # One document of many contexts, which must not be all that a feature is about.
    rows = [row | {"dataSource": "texts: large"} if number < 12 else row for number, row in enumerate(rows)]
    contexts = Contexts(pl.DataFrame(rows, schema=ActivationRow.create_empty().schema))
    return known_features(contexts, per_class=2, random=3, examples=EXAMPLES, seed=1)


def of_class(features, kind):
    return [feature for feature in features if feature.kind == kind]


def test_every_class_that_the_texts_carry_is_planted(features):
    counts = Counter(feature.kind for feature in features)
    assert counts == {
        "input token": 2,
        "output token": 2,
        "mixture of two tokens": 2,
        "topic": 1,
        "article": 1,
        "random": 3,
    }
    assert counts.keys() == EXPECTED.keys()
    assert all(len(feature.contexts) == EXAMPLES for feature in features)


def test_input_features_have_their_word_at_the_peak_and_output_features_after_it(features):
    for feature in of_class(features, "input token"):
        (word,) = {context.tokens[context.peak].strip() for context in feature.contexts}
        assert feature.name == f'the word "{word}"'
    found = of_class(features, "output token")
    after = [{context.tokens[context.peak + 1].strip() for context in feature.contexts} for feature in found]
    assert [feature.name for feature in found] == [f'the word before "{word}"' for (word,) in after]
    # A function word and a word of weight, which no input feature has.
    assert after[0] == {"than"}
    assert not any(str(*after[1]) in feature.name for feature in of_class(features, "input token"))


def test_a_mixture_has_either_of_two_words_at_the_peak(features):
    for feature in of_class(features, "mixture of two tokens"):
        found = {context.tokens[context.peak].strip() for context in feature.contexts}
        assert len(found) == 2
        assert all(f'"{word}"' in feature.name for word in found)


def test_a_topic_is_about_its_words_and_peaks_anywhere(features):
    (feature,) = of_class(features, "topic")
    assert feature.name == "music and songs"
    assert all(sum(f" {word}" in context.tokens for word in MUSIC) >= 3 for context in feature.contexts)
    assert len({context.peak for context in feature.contexts}) > 3


def test_an_articles_examples_are_of_one_document_and_others_hardly_share_one(features):
    for feature in features:
        most = max(Counter(context.document for context in feature.contexts).values())
        assert most == EXAMPLES if feature.kind == "article" else feature.kind == "random" or most <= 3


def test_no_peak_is_on_a_special_token(features):
    assert all(context.peak > 0 for feature in features for context in feature.contexts)
