import pytest

from baez_pipeline.tiers.token_labels import token_label, word_of
from baez_pipeline.tiers.windows import Context


def context(text, peak, activation=1.0):
    """Tokens with a bar between them."""
    return Context(text.split("|"), peak, activation, None)


def peaks(*words):
    return [context(f"the| old| {word}| is", 2, 10.0 - place) for place, word in enumerate(words)]


def following(*words):
    return [context(f"so| we| went| {word}", 2) for word in words]


@pytest.mark.parametrize(
    ("words", "label"),
    [
        (["dog", "Dog", "DOG"], '"dog"'),
        (["dog", "dog", "dog", "dog", "cat"], '"dog"'),
        (["dog", "dog", "cat", "cat"], '"dog", "cat"'),
        (["dog", "dog", "cat", "hen"], '"dog"'),
        (["dog", "cat", "hen", "fox"], '"dog", "cat", "hen"'),
    ],
)
def test_an_input_label_names_the_common_words_and_no_more_than_needed(words, label):
    assert token_label(peaks(*words), "input").label == label


def test_an_output_label_says_what_follows():
    label = token_label(following("home", "home", "away", "away"), "output")
    assert label.label == 'say "away" or "home"'
    assert label.share == 1.0


@pytest.mark.parametrize(
    ("text", "peak", "window", "word"),
    [
        ("an| un|believ|able| story", 2, "input", "unbelievable"),
        ("an| un|believ|able| story", 2, "output", "able"),
        ("an| un|believ|able| story", 3, "output", "story"),
        ("the| end", 1, "output", None),
        ("the| end|<eos>", 1, "output", None),
        ("a| |\n| word", 0, "output", "word"),
        ("▁the▁|▁city", 1, "input", "city"),
    ],
)
def test_a_word_is_whole_and_special_tokens_and_blanks_are_none(text, peak, window, word):
    assert word_of(context(text, peak), window) == word


def test_no_word_gives_no_label():
    assert token_label([context("the| end", 1)], "output") is None
    assert token_label([], "input") is None


def test_a_label_fits_a_context_by_its_word_and_says_nothing_where_there_is_none():
    label = token_label(peaks("dog", "dog"), "input")
    assert label.fits(peaks("Dog")[0]) is True
    assert label.fits(peaks("cat")[0]) is False
    assert token_label(following("home"), "output").fits(context("the| end", 1)) is None
