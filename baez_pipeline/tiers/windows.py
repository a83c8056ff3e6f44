"""The windows around a feature's peaks, as texts to embed.

Goes in: which tokens a window has, what is done at text ends, special tokens and words cut in two, and which examples
count. Stays out: embedding and comparing. Definitions and edge cases: field guide, evaluation-and-tiers, 4 and 6.
"""

import unicodedata
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import polars as pl

from baez_pipeline.features.examples import (
    DOCUMENT_STARTS,
    SPECIAL_TOKENS,
    Peak,
    distinct_examples,
    document_of,
    with_peaks,
)
from baez_pipeline.features.near_copies import without_near_copies

WindowKind = Literal["input", "output", "cross"]
KINDS: tuple[WindowKind, ...] = get_args(WindowKind)

FEWEST_WINDOWS = 6
"""m of the field guide: with fewer nothing is concluded."""
COMPARED = 32
"""Tokens around the peak by which near copies are found, as many as label writers are shown by default."""


class Context(NamedTuple):
    """One activating text window of a feature."""

    tokens: Sequence[str]
    peak: int
    activation: float
    """At the peak, in the source's own unit; greater than 0."""
    document: str | None


class Passage(NamedTuple):
    """The text of one document around a place, without special tokens."""

    tokens: Sequence[str]
    """With a blank where the tokenizer writes ▁ or Ġ."""
    place: int


class Window(NamedTuple):
    """A window as it is embedded."""

    text: str
    length: int
    """Tokens that it has of those that were asked for, words' other pieces not counted."""


def contexts_of_record(record: pl.DataFrame, *, examples: int, peak: Peak) -> list[Context]:
    """The strongest distinct examples of a feature, strongest first.

    Of texts that are copies or near copies of each other the strongest counts, and of each text one peak: the score of
    ten copies would be 1.

    Args:
        record: one row of FeatureRecords.
        examples: how many.
        peak: which token is an example's peak; the one that labels are made from and judged by (`split.peak`).
    """
    ranked = without_near_copies(with_peaks(distinct_examples(record), peak), COMPARED).head(examples)
    return [
        Context(row["tokens"], row["peak_position"], row["peak_activation"], document_of(row["dataSource"]))
        for row in ranked.iter_rows(named=True)
    ]


def passage_of(tokens: Sequence[str], place: int) -> Passage | None:
    """The document around a place of a context; None where a special token stands there."""
    if tokens[place] in SPECIAL_TOKENS:
        return None
    start = max((i + 1 for i in range(place) if tokens[i] in DOCUMENT_STARTS), default=0)
    end = next((i for i in range(place, len(tokens)) if tokens[i] in DOCUMENT_STARTS), len(tokens))
    kept = [i for i in range(start, end) if tokens[i] not in SPECIAL_TOKENS]
    return Passage([_plain(tokens[i]) for i in kept], kept.index(place))


def window_at(passage: Passage, kind: WindowKind, *, size: int) -> Window | None:
    """The window of a kind around a passage's place; None where it is shorter than half, or blank.

    At a text's end it is clipped. Words that an edge cuts are taken in whole, with two exceptions: an output window
    never reaches back over the peak, and an edge moves by `size` tokens at most, as some scripts have no blanks.

    Args:
        passage: the text.
        kind: input = [-size, 0], output = [1, size], cross = [-size, size].
        size: k, in tokens.
    """
    tokens, place = passage
    first, last = place - size, place + size
    if kind == "input":
        last = place
    elif kind == "output":
        first = place + 1
    asked_for = last - first + 1
    first, last = max(0, first), min(len(tokens) - 1, last)
    length = last - first + 1
    if 2 * length < asked_for or length < 1:
        return None
    for _ in range(size):
        if kind != "output" and first > 0 and _is_one_word(tokens[first - 1], tokens[first]):
            first -= 1
        if last + 1 < len(tokens) and _is_one_word(tokens[last], tokens[last + 1]):
            last += 1
    text = " ".join("".join(tokens[first : last + 1]).split())
    return Window(text, length) if text else None


def windows(contexts: Sequence[Context], *, size: int) -> dict[WindowKind, list[Window | None]]:
    """The windows of each kind around the peaks of examples; None where an example has none.

    Args:
        contexts: examples.
        size: k, in tokens.
    """
    passages = [passage_of(context.tokens, context.peak) for context in contexts]
    return {
        kind: [None if passage is None else window_at(passage, kind, size=size) for passage in passages]
        for kind in KINDS
    }


def _plain(token: str) -> str:
    # ▁ of SentencePiece; Ġ and Ċ of byte-level BPE; a byte token.
    if token == "<0x0A>":
        return "\n"
    return token.replace("▁", " ").replace("Ġ", " ").replace("Ċ", "\n")


def _is_one_word(token: str, following: str) -> bool:
    """Whether a word goes on from one token to the next."""
    if not token or not following:
        return False
    ends, begins = token[-1], following[0]
    # Chinese and Japanese characters are letters, and no word ends at a blank.
    wide = unicodedata.east_asian_width(begins) in "WF"
    return ends.isalnum() and begins.isalnum() and not wide
