"""Planted features that calibrate the judge: rules with a right label, found in articles that no experiment scores.

Of every kind that an experiment plants, and some kinds of topic more. None of their words was named in the judge's
training (`judge_lessons.HELD_OUT`).
"""

import itertools
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from baez_pipeline.draws import seed_of, seeded_order
from baez_pipeline.features.examples import shown_window
from baez_pipeline.features.shown_text import shown_token
from baez_pipeline.llm.smollm2 import load_smollm2

_TOPICS = {
    "war and battles": r"\b(?:wars?|battles?|troops|army|soldiers)\b",
    "political parties and elections": r"\b(?:part(?:y|ies)|elections?|elected|votes?|voters)\b",
    "governments and states": r"\b(?:governments?|states?|republic)\b",
    "films and actors": r"\b(?:films?|movies?|actors?|actress(?:es)?|directed)\b",
    "animals": r"\b(?:animals?|frogs?|toads?|mammals?|birds?|insects|ants)\b",
    "water, rivers and seas": r"\b(?:water|rivers?|seas?|coast(?:al)?|lakes?)\b",
    "land and islands": r"\b(?:land|islands?|mountains?|territor(?:y|ies)|regions?)\b",
    "books and writers": r"\b(?:books?|writers?|wrote|published|author)\b",
    "religion": r"\b(?:church|God|religio(?:n|us)|Christian\w*|Muslims?|mosques?)\b",
    "mathematics and algorithms": r"\b(?:algorithms?|mathematic\w+|numbers?|equations?)\b",
    "philosophy": r"\b(?:philosoph\w+|Kant|Hegel|metaphysic\w+)\b",
    "family members": r"\b(?:father|mother|sons?|daughters?|wife|brothers?|parents|children)\b",
    "body parts": r"\b(?:head|legs?|skin|eyes?|tongue|tail|feet|hands?|bod(?:y|ies))\b",
    "law and courts": r"\b(?:courts?|laws?|legal|judges?)\b",
    "workers and the economy": r"\b(?:workers?|labou?r|econom\w+|trade|industry)\b",
}
_KINDS_OF_WORD = {
    "time periods: years, decades, centuries": r"\b(?:years?|decades?|century|centuries)\b",
    "months of the year": r"\b(?:January|February|April|June|July|August|September|October|November|December)\b",
    "a year such as 1776 or 1944": r"\b1[5-9]\d\d\b",
    "small numbers such as two, three and four": r"\b(?:two|three|four|five|six)\b",
    "nationalities: American, British, French": r"\b(?:American|British|French|German|Italian|Greek|Spanish)\b",
    "comparisons with more and most": r"\b(?:more|most)\b",
}
_WORDS = "however which also first can but river army water century most government year century state while american"
_PHRASES = "such as;of the;one of;from the;can be;of which;in the;to be"
_NEXT_WORDS = "of to in and that with on by from which"
_DELIMITERS = {"opening parentheses": r"\(", "opening quotation marks": r'(?<![^\s(\[])["“](?=\w)'}
_MIXTURES = "river army;however which;first also;century water;government but;american while"

TEST_EXAMPLES = 10
NEGATIVES = 10
"""Of each kind: another feature's example, a random window, a silent window of the same article."""
WINDOW = 32
EXAMPLES_PER_ARTICLE = 3
"""Test examples that one article lends a planted feature at most: few articles would make every feature a topic."""
EARLIEST_PEAK = 4
"""Tokens before the first that may be a peak."""


class Rule(NamedTuple):
    """A planted feature: active is every token of what the pattern finds."""

    kind: str
    label: str
    pattern: str


@dataclass(frozen=True)
class Window:
    """Part of a text, with its active tokens."""

    text: str
    """Which text."""
    tokens: tuple[str, ...]
    """As they are shown."""
    marked: frozenset[int]
    """Which of them fuzz marks."""

    def shown(self, *, marks: bool) -> str:
        """The text, with marks as delphi sets them."""
        if not marks:
            return "".join(self.tokens)
        return "".join(f"<<{token}>>" if i in self.marked else token for i, token in enumerate(self.tokens))


@dataclass(frozen=True)
class Planted:
    """A planted feature's windows."""

    rule: Rule
    tests: tuple[Window, ...]
    others: tuple[Window, ...]
    """Around peaks of other planted features; their tokens are marked."""
    silent: tuple[Window, ...]
    """Random ones, and ones of the articles that lend a test example; a random token is marked."""
    tests_marked_elsewhere: tuple[Window, ...]
    """The test examples with as many silent tokens marked."""


def rules() -> list[Rule]:
    """Every rule."""
    words = [Rule("word", f'the word "{word}"', _word(word)) for word in dict.fromkeys(_WORDS.split())]
    phrases = [Rule("phrase", f'the phrase "{each}"', _word(each)) for each in _PHRASES.split(";")]
    before = [Rule("next word", f'the word before "{word}"', rf"\b\w+(?= {word}\b)") for word in _NEXT_WORDS.split()]
    mixtures = [
        Rule("mixture", f'the word "{one}" or the word "{two}"', f"{_word(one)}|{_word(two)}")
        for one, two in (pair.split() for pair in _MIXTURES.split(";"))
    ]
    return [
        *(Rule("topic", label, pattern) for label, pattern in _TOPICS.items()),
        *(Rule("kind of word", label, pattern) for label, pattern in _KINDS_OF_WORD.items()),
        *words,
        *phrases,
        *before,
        *(Rule("delimiter", label, pattern) for label, pattern in _DELIMITERS.items()),
        *mixtures,
    ]


def _word(word: str) -> str:
    return rf"(?i:\b{word}\b)"


class _Texts:
    """The texts and where each rule is active in them."""

    def __init__(self, windows: pl.DataFrame) -> None:
        _, tokenizer = load_smollm2()
        pieces = {token: tokenizer.decode([token]) for token in windows["tokenIds"].explode().unique()}
        rows = list(windows.iter_rows(named=True))
        self.tokens = {row["dataIndex"]: [pieces[token] for token in row["tokenIds"]] for row in rows}
        self.titles = {row["dataIndex"]: row["title"] for row in rows}

    def active(self, rule: Rule) -> dict[str, frozenset[int]]:
        """By text the active positions."""
        pattern = re.compile(rule.pattern)
        return {name: frozenset(active_positions(pattern, tokens)) for name, tokens in self.tokens.items()}

    def window(self, text: str, peak: int, marked: frozenset[int]) -> tuple[Window, range]:
        """The window around a peak, and its positions."""
        tokens = self.tokens[text]
        start, end = shown_window(tokens, peak, WINDOW)
        shown = tuple(shown_token(token, marks=True) for token in tokens[start:end])
        return Window(text, shown, frozenset(each - start for each in marked if start <= each < end)), range(start, end)


def active_positions(pattern: re.Pattern[str], tokens: Sequence[str]) -> list[int]:
    """Positions of the tokens that the rule finds a part of, the leading special token apart."""
    found = [match.span() for match in pattern.finditer("".join(tokens[1:]))]
    ends = np.cumsum([len(token) for token in tokens[1:]]).tolist()
    return [
        position
        for position, (token, end) in enumerate(zip(tokens[1:], ends, strict=True), start=1)
        if any(end - len(token) < match_end and match_start < end for match_start, match_end in found)
    ]


def planted_features(windows: pl.DataFrame) -> list[Planted]:
    """Every planted feature with its windows.

    Args:
        windows: dataIndex, title and tokenIds of texts, each beginning with a special token.
    """
    texts = _Texts(windows)
    active = {rule.label: texts.active(rule) for rule in rules()}
    peaks = {label: _peaks(label, texts, positions) for label, positions in active.items()}
    return [_planted(rule, texts, active, peaks) for rule in rules()]


def _peaks(label: str, texts: _Texts, active: Mapping[str, frozenset[int]]) -> dict[str, int]:
    """Texts of the test examples, and their peaks."""
    found: dict[str, int] = {}
    lent: Counter[str] = Counter()
    for text in seeded_order(active, "planted", label):
        late = [position for position in active[text] if position > EARLIEST_PEAK]
        if late and len(found) < TEST_EXAMPLES and lent[texts.titles[text]] < EXAMPLES_PER_ARTICLE:
            lent[texts.titles[text]] += 1
            found[text] = min(late)
    return found


def _planted(
    rule: Rule,
    texts: _Texts,
    active: Mapping[str, Mapping[str, frozenset[int]]],
    peaks: Mapping[str, Mapping[str, int]],
) -> Planted:
    own = active[rule.label]
    draw = random.Random(seed_of("silent", rule.label))
    tests = [texts.window(text, peak, own[text])[0] for text, peak in peaks[rule.label].items()]
    articles = {texts.titles[text] for text in peaks[rule.label]}
    same = [text for text, title in texts.titles.items() if title in articles]
    silent = [
        window
        for names in (list(texts.tokens), same)
        for window in itertools.islice(_silent(texts, own, names, draw), NEGATIVES)
    ]
    return Planted(
        rule,
        tuple(tests),
        tuple(itertools.islice(_others(rule.label, texts, active, peaks), NEGATIVES)),
        tuple(silent),
        tuple(_marked_elsewhere(texts, own, peaks[rule.label], draw)),
    )


def _others(
    label: str,
    texts: _Texts,
    active: Mapping[str, Mapping[str, frozenset[int]]],
    peaks: Mapping[str, Mapping[str, int]],
) -> Iterator[Window]:
    """One window each around a peak of the other features in which this one is silent."""
    for donor in seeded_order([other for other in peaks if other != label], "donor", label):
        for text in seeded_order(peaks[donor], "negative", label, donor):
            window, positions = texts.window(text, peaks[donor][text], active[donor][text])
            if active[label][text].isdisjoint(positions):
                yield window
                break


def _marked_elsewhere(
    texts: _Texts, own: Mapping[str, frozenset[int]], peaks: Mapping[str, int], draw: random.Random
) -> Iterator[Window]:
    for text, peak in peaks.items():
        window, positions = texts.window(text, peak, own[text])
        quiet = [each for each in positions if each not in own[text] and texts.tokens[text][each].strip()]
        marked = frozenset(draw.sample(quiet, min(len(quiet), len(window.marked))))
        yield texts.window(text, peak, marked)[0]


def _silent(
    texts: _Texts, own: Mapping[str, frozenset[int]], names: Sequence[str], draw: random.Random
) -> Iterator[Window]:
    """Windows of the named texts in which the feature is silent, each with a random token marked."""
    while True:
        text = draw.choice(names)
        peak = draw.randrange(EARLIEST_PEAK, len(texts.tokens[text]))
        window, positions = texts.window(text, peak, frozenset([peak]))
        if own[text].isdisjoint(positions) and texts.tokens[text][peak].strip():
            yield window
