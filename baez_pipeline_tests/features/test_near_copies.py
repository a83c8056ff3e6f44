import pytest

from baez_pipeline.features.examples import with_peaks
from baez_pipeline.features.near_copies import without_near_copies
from baez_pipeline_tests.features.records import active, examples_of, words


def kept(window, *rows):
    return without_near_copies(with_peaks(examples_of(*rows), "maximum"), window)["dataIndex"].to_list()


def changed(tokens, *places):
    return [" other" if place in places else token for place, token in enumerate(tokens)]


# A window of 32 tokens has 28 runs of five. One word changed at its edge leaves 27 of 29 in common, one in its middle
# 23 of 33, which is less than 0.8.
@pytest.mark.parametrize(("place", "left"), [(37, ["strong"]), (20, ["strong", "weak"])])
def test_of_windows_that_differ_by_a_word_at_the_edge_the_stronger_stays(place, left):
    tokens = words("a")
    weak = active("weak", 3.0, tokens=changed(tokens, place))
    assert kept(32, weak, active("strong", 5.0, tokens=tokens)) == left


def test_what_is_not_shown_does_not_tell_windows_apart():
    tokens = words("a", 90)
    others = [*words("b", 51), *tokens[51:]]
    rows = (active("strong", 5.0, tokens=tokens, place=80), active("weak", 3.0, tokens=others, place=80))
    assert kept(32, *rows) == ["strong"]
    assert kept("whole", *rows) == ["strong", "weak"]


def test_short_texts_are_compared_as_a_whole():
    rows = [
        active(name, 5.0 - i, tokens=[*name.split("-")], place=1) for i, name in enumerate(["a-b-c", "a-b", "a-b-d"])
    ]
    assert len(kept(32, *rows)) == 3
