"""The rules by which features can be planted: what a rule finds, as a regular expression, and its right label.

Goes in: one function per kind, from the words of the experiment's texts to candidates. Stays out: which of them are
planted, and how strongly they are active (planted.py).
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from baez_pipeline.draws import seeded_order
from baez_pipeline.features.contexts import Contexts
from baez_pipeline.features.planted_words import FUNCTION_WORDS, TOPICS

ARTICLES = frozenset(["a", "an", "the"])
"""A phrase that begins with one is found by its other word as well."""
DELIMITERS = {
    "opening parentheses": r"\(",
    # Straight quotation marks look alike at both ends: an opening one stands before a word and behind none.
    "opening quotation marks": r'(?<![^\s(\[])["“](?=\w)',
    "opening square brackets": r"\[",
}
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_LONGEST_STEM = 5
_SHORTEST_CONTENT_WORD = 4
# A pair of which more contexts are shared than so is taken for related.
_MOST_SHARED_BY_UNRELATED = 0.1
_PAIRED_WITH = 20


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A candidate for planting."""

    kind: str
    right_label: str
    pattern: str
    """The regular expression whose matches are active."""
    stems: frozenset[str] = frozenset()
    """Of its words, so that no two planted features are about the same one."""


class Vocabulary:
    """In how many contexts each word and each pair of neighbouring words stands in lower case.

    A word that is written with a capital alone is a name.
    """

    def __init__(self, contexts: Contexts, *, fewest: int, most: int) -> None:
        """Count words.

        Args:
            contexts: the texts.
            fewest: contexts in which a rule must be active.
            most: contexts in which it may be active.
        """
        self.fewest, self.most = fewest, most
        self._contexts = contexts
        self._words: Counter[str] = Counter()
        self._in_any_case: Counter[str] = Counter()
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._names: dict[str, frozenset[str]] = {}
        for variants in contexts.variants.values():
            texts = [text for context in variants for text, _, _ in context.passages]
            words = [[(word.group(), word.span()) for word in _WORD.finditer(text)] for text in texts]
            self._words.update({word for found in words for word, _ in found if _is_plain(word)})
            self._in_any_case.update(set(re.findall(r"\w+", " ".join(texts).lower())))
            self._pairs.update(
                {
                    (first, second)
                    for text, found in zip(texts, words, strict=True)
                    for (first, (_, end)), (second, (start, _)) in itertools.pairwise(found)
                    if _is_plain(first) and _is_plain(second) and text[end:start].isspace()
                }
            )

    def words(self, *, fewest: int | None = None) -> list[str]:
        """Words that stand in enough contexts and in not too many."""
        return [word for word, n in self._words.items() if (fewest or self.fewest) <= n <= self.most]

    def may_find(self, words: Sequence[str]) -> bool:
        """Whether the words together can stand in enough contexts, in any case: none is in two of them."""
        return sum(self._in_any_case[word] for word in words) >= self.fewest

    def pairs(self) -> list[tuple[str, str]]:
        """Neighbours that stand together in enough contexts and in not too many."""
        return [pair for pair, n in self._pairs.items() if self.fewest <= n <= self.most]

    def names_with(self, word: str) -> frozenset[str]:
        """The contexts that hold a word, by dataIndex."""
        if word not in self._names:
            rule = re.compile(_word_pattern(word))
            self._names[word] = frozenset(
                name
                for name, variants in self._contexts.variants.items()
                if any(True for context in variants for _ in context.find(rule))
            )
        return self._names[word]


def rules(kind: str, vocabulary: Vocabulary, *, seed: int) -> Iterator[Rule]:
    """The candidates of a kind in a seeded order; a word more or less in the texts leaves the order of the others."""
    return _CANDIDATES[kind](vocabulary, seed)


def stems_of(*words: str) -> frozenset[str]:
    """What a word shares with its other forms: its first letters."""
    return frozenset(word[:_LONGEST_STEM] for word in words if _is_content(word))


_TOPIC_STEMS = frozenset(word[:_LONGEST_STEM] for words in TOPICS.values() for word in words.split())


def _keywords(vocabulary: Vocabulary, seed: int) -> Iterator[Rule]:
    for word in seeded_order(filter(_is_free, vocabulary.words()), seed, "planted", "keyword"):
        yield Rule(kind="keyword", right_label=f'the word "{word}"', pattern=_word_pattern(word), stems=stems_of(word))


def _bigrams(vocabulary: Vocabulary, seed: int) -> Iterator[Rule]:
    pairs = (" ".join(pair) for pair in vocabulary.pairs() if any(map(_is_free, pair)) and not ARTICLES & {*pair})
    for phrase in seeded_order(pairs, seed, "planted", "bigram"):
        words = phrase.split()
        yield Rule(
            kind="bigram",
            right_label=f'the phrase "{phrase}"',
            pattern=rf"(?i)\b{words[0]}\s+{words[1]}\b",
            stems=stems_of(*words),
        )


def _topics(vocabulary: Vocabulary, seed: int) -> Iterator[Rule]:
    topics = (label for label, words in TOPICS.items() if vocabulary.may_find(words.split()))
    for label in seeded_order(topics, seed, "planted", "topic"):
        yield Rule(kind="topic", right_label=label, pattern=_word_pattern(*TOPICS[label].split()))


def _next_tokens(vocabulary: Vocabulary, seed: int) -> Iterator[Rule]:
    words = (word for word in vocabulary.words() if word in FUNCTION_WORDS)
    for word in seeded_order(words, seed, "planted", "next_token"):
        yield Rule(
            kind="next_token",
            right_label=f'the word before "{word}"',
            pattern=rf"(?i)\w+(?=\W+{word}\b)",
            stems=frozenset([word]),
        )


def _delimiters(vocabulary: Vocabulary, seed: int) -> Iterator[Rule]:
    for label in seeded_order(DELIMITERS, seed, "planted", "opening_delimiter"):
        yield Rule(kind="opening_delimiter", right_label=label, pattern=DELIMITERS[label])


def _mixtures(vocabulary: Vocabulary, seed: int) -> Iterator[Rule]:
    """Pairs of words that hardly ever share a context; no word is in two of them."""
    half = -(-vocabulary.fewest // 2)
    words = seeded_order(filter(_is_free, vocabulary.words(fewest=half)), seed, "planted", "mixture")
    while words:
        first, *words = words
        for second in words[:_PAIRED_WITH]:
            mine, other = (vocabulary.names_with(word) for word in (first, second))
            together, fewer = len(mine & other), min(len(mine), len(other))
            if len(mine | other) > vocabulary.most or stems_of(first) == stems_of(second):
                continue
            if together <= _MOST_SHARED_BY_UNRELATED * fewer:
                words.remove(second)
                yield Rule(
                    kind="mixture",
                    right_label=f'the word "{first}" or the word "{second}"',
                    pattern=_word_pattern(first, second),
                    stems=stems_of(first, second),
                )
                break


_CANDIDATES = {
    "keyword": _keywords,
    "bigram": _bigrams,
    "topic": _topics,
    "next_token": _next_tokens,
    "opening_delimiter": _delimiters,
    "mixture": _mixtures,
}


def _word_pattern(*words: str) -> str:
    return rf"(?i)\b(?:{'|'.join(words)})\b" if len(words) > 1 else rf"(?i)\b{words[0]}\b"


def _is_plain(word: str) -> bool:
    return word.isalpha() and word.islower()


def _is_content(word: str) -> bool:
    return len(word) >= _SHORTEST_CONTENT_WORD and word not in FUNCTION_WORDS


def _is_free(word: str) -> bool:
    """A content word that belongs to no topic which could be planted, too."""
    return _is_content(word) and word[:_LONGEST_STEM] not in _TOPIC_STEMS
