"""Training texts as tokens and words: which token belongs to which word, and what a rule can ask of a word."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from baez_pipeline.embedded.judge_texts import TrainingText, with_marks

# What a rule can ask of a word besides which one it is, as bits.
NAME_LIKE, SENTENCE_START, ALL_CAPITALS, SENTENCE_END, IN_PARENTHESES, IN_QUOTES, DIGITS = (
    1 << bit for bit in range(7)
)


OPENING_QUOTE, CLOSING_QUOTE, OPENING_SINGLE, CLOSING_SINGLE = '"(', '")', "'(", "')"
NO_WORD = 0
"""The word between two texts."""

_WORD = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)*|[^\w\s]|_")
_PIECE_TOKENS = 160


@dataclass(frozen=True)
class TextWords:
    """Pieces of texts, at most 160 tokens each, as flat arrays."""

    tokens: NDArray[np.int64]
    """Token ids of all pieces, one after the other."""
    first_word: NDArray[np.int64]
    """For each token the place in `words` of the first word that it overlaps."""
    last_word: NDArray[np.int64]
    """Of the last one: a token may be `."`."""
    piece_start: NDArray[np.int64]
    piece_length: NDArray[np.int64]
    piece_topic: NDArray[np.int64]
    words: NDArray[np.int64]
    """Every word of all pieces as its place in `vocabulary`, `NO_WORD` between pieces."""
    kinds: NDArray[np.int64]
    """The bits of every word."""
    vocabulary: list[str]
    """Words in lower case; quotation marks by whether they open or close."""
    written: list[str]
    """How each of them was first written inside a sentence."""


def index_words(texts: Sequence[TrainingText], tokenizer: PreTrainedTokenizerBase, *, seed: int) -> TextWords:
    """Tokens and words of the texts, with brackets and numbers put in."""
    draw = random.Random(seed)
    place = {"": NO_WORD}
    written = [""]
    tokens: list[int] = []
    spans: list[tuple[int, int]] = []
    words: list[int] = [NO_WORD]
    kinds: list[int] = [0]
    pieces: list[tuple[int, int, int]] = []
    marked = [with_marks(each.text, draw) for each in texts]
    encoded = tokenizer(marked, add_special_tokens=False, return_offsets_mapping=True)
    for number, (each, text) in enumerate(zip(texts, marked, strict=True)):
        found = [(match.start(), match.end()) for match in _WORD.finditer(text)]
        if not found:
            continue
        base = len(words)
        for span, (key, kind) in zip(found, _described(text, found), strict=True):
            if key not in place:
                place[key] = len(place)
                written.append(text[slice(*span)])
            words.append(place[key])
            kinds.append(kind)
        words.append(NO_WORD)
        kinds.append(0)
        ids = encoded["input_ids"][number]
        overlapped = _overlapped(encoded["offset_mapping"][number], found)
        for start in range(0, len(overlapped) - 8, _PIECE_TOKENS):
            piece = slice(start, start + _PIECE_TOKENS)
            pieces.append((len(tokens), len(overlapped[piece]), each.topic))
            tokens += ids[piece]
            spans += [(base + first, base + last) for first, last in overlapped[piece]]
    first, last = np.array(spans).T
    start, length, topic = np.array(pieces).T
    return TextWords(
        np.array(tokens), first, last, start, length, topic, np.array(words), np.array(kinds), list(place), written
    )


def _overlapped(offsets: Sequence[tuple[int, int]], words: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """For each token the first and last word that it overlaps; the word before it where it is only space."""
    starts, ends = np.array(words).T
    token_starts, token_ends = np.array(offsets).T
    first = np.searchsorted(ends, token_starts, side="right")
    last = np.searchsorted(starts, token_ends, side="left") - 1
    last = np.clip(last, 0, len(words) - 1)
    return list(zip(np.minimum(first, last).tolist(), last.tolist(), strict=True))


def _described(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[str, int]]:
    """Key and bits of each word."""
    described: list[tuple[str, int]] = []
    starts_sentence, parentheses, in_quotes = True, 0, False
    for start, end in spans:
        word = text[start:end]
        key = _key(text, start, word)
        bits = (IN_PARENTHESES if parentheses else 0) | (IN_QUOTES if in_quotes else 0)
        if word[0].isalpha():
            bits |= SENTENCE_START if starts_sentence else NAME_LIKE if word[0].isupper() else 0
            bits |= ALL_CAPITALS if len(word) > 1 and word.isupper() else 0
            starts_sentence = False
        elif word[0].isdigit():
            bits |= DIGITS
            starts_sentence = False
        elif word in ".!?":
            starts_sentence = True
            if described:
                described[-1] = (described[-1][0], described[-1][1] | SENTENCE_END)
        elif word in "([":
            parentheses += 1
        elif word in ")]":
            parentheses = max(0, parentheses - 1)
        elif key in (OPENING_QUOTE, CLOSING_QUOTE):
            in_quotes = key == OPENING_QUOTE
        described.append((key, bits))
    return described


def _key(text: str, start: int, word: str) -> str:
    """The word in lower case, or a quotation mark by whether it opens or closes."""
    if word not in "\"'“”‘’":
        return word.lower()
    before, after = text[start - 1 : start] or " ", text[start + 1 : start + 2] or " "
    if word in "'‘’" and before.isalnum() and after.isalnum():
        return "'"
    opens = word in "“‘" or (
        word in "\"'" and not before.isalnum() and before not in ".,!?;:)]}" and not after.isspace()
    )
    if word in '"“”':
        return OPENING_QUOTE if opens else CLOSING_QUOTE
    return OPENING_SINGLE if opens else CLOSING_SINGLE
