"""Which tokens of a negative are marked in fuzz: as many as in a test example, in the same places of the window.

delphi marks another feature's peaks, or as many tokens as are active at all, one of them always in the same place: the
marks alone then tell negatives from test examples, whose marks are the tokens near their peak's strength (field guide,
audit rows 36 to 42). Here a test example is drawn for every negative, and the negative is marked like it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from baez_pipeline.scoring.examples import SAME_TEXT, ShownExample

MARKED_FROM = 0.3
"""Share of a window's largest activation from which on a token of a test example is marked; delphi's value."""

_NOTHING_TO_MARK = "No token of the shown window is active, so there is nothing to mark."
_NO_PLACE = "The shown window has no token that could be marked wrongly."


def marked_positions(shown: ShownExample) -> list[int]:
    """Where delphi marks a test example: tokens at or over 0.3 of the window's largest activation.

    It is no different here: what is marked in a test example is what the label should say.
    """
    lowest = MARKED_FROM * max(shown.activations)
    return [place for place, value in enumerate(shown.activations) if value >= lowest and value > 0]


def with_marks_checked(tests: Sequence[ShownExample]) -> list[ShownExample]:
    """Test examples; those in which no token is active have that for a problem."""
    return [
        shown if shown.problem or marked_positions(shown) else replace(shown, problem=_NOTHING_TO_MARK)
        for shown in tests
    ]


def same_texts(tests: Sequence[ShownExample]) -> list[ShownExample]:
    """The test examples again, as negatives: with the target feature's activations, and not yet marked."""
    return [replace(shown, kind=SAME_TEXT, relative_activation=None) for shown in tests]


def marked_like(
    tests: Sequence[ShownExample], negatives: Sequence[ShownExample], draw: Callable[[ShownExample], Random]
) -> list[ShownExample]:
    """The negatives with marks that are distributed like those of the test examples.

    Every negative is marked like a test example that is drawn for it: count and places together, so that tokens which
    are marked side by side in test examples are so in negatives, too. A place is carried over in proportion to the
    lengths of the windows. One that cannot be had (no text, or the feature is active there) moves to the nearest that
    can. Other tokens of an active word come last: a mark on half of a word says to a reader what one on all of it says.
    A window with too few places gets fewer marks.

    Args:
        tests: at least one without a problem.
        negatives: of a `same_text` one, the activations are the target feature's; in all others it is silent.
        draw: the random generator of a negative.

    Returns:
        The negatives, with activation 1 on tokens to mark and 0 elsewhere, by which delphi marks those tokens alone.
    """
    patterns = [(marked_positions(shown), len(shown.tokens)) for shown in tests if shown.problem is None]
    return [shown if shown.problem else _marked(shown, patterns, draw(shown)) for shown in negatives]


def _marked(shown: ShownExample, patterns: Sequence[tuple[list[int], int]], rng: Random) -> ShownExample:
    active = [shown.kind == SAME_TEXT and value > 0 for value in shown.activations]
    free = [place for place, token in enumerate(shown.tokens) if token.strip() and not active[place]]
    words = _words(shown.tokens)
    active_words = {word for word, is_active in zip(words, active, strict=True) if is_active}
    pattern, length = rng.choice(patterns)
    chosen: list[int] = []
    for wanted in (place * (len(shown.tokens) - 1) / max(1, length - 1) for place in pattern[: len(free)]):
        # A draw decides between left and right where both are as near.
        nearest = min(free, key=lambda place: (words[place] in active_words, abs(place - wanted), rng.random()))
        free.remove(nearest)
        chosen.append(nearest)
    return replace(
        shown,
        activations=[float(place in chosen) for place in range(len(shown.tokens))],
        problem=None if chosen else _NO_PLACE,
    )


def _words(tokens: Sequence[str]) -> list[int]:
    """The number of each token's word: a token that begins with a letter or digit goes on with a word that ends so."""
    numbers: list[int] = []
    for before, token in zip(["", *tokens], tokens, strict=False):
        goes_on = before[-1:].isalnum() and token[:1].isalnum()
        numbers.append((numbers[-1] if numbers else 0) + (not goes_on))
    return numbers
