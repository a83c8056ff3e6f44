"""Features whose class is known, planted in a source's texts: examples with a peak, and no model that reads them.

Goes in: how each class is planted, and which tier it should get. Stays out: scoring and routing them.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest

from baez_pipeline.draws import seed_of, seeded_order
from baez_pipeline.features import contexts as texts_of_source
from baez_pipeline.features.examples import text_places
from baez_pipeline.features.planted_rules import Rule, Vocabulary, rules
from baez_pipeline.features.planted_words import TOPICS
from baez_pipeline.tiers.windows import Context

EXPECTED: dict[str, tuple[int, str | None]] = {
    "input token": (1, "input"),
    "output token": (1, "output"),
    "mixture of two tokens": (1, "input"),
    "topic": (2, "cross"),
    "article": (2, "cross"),
    "random": (3, None),
}
"""Class -> the tier and window that are right, said before any was scored. Two words at the peak are found by counting
peak tokens as one is, and a label that names both is right: so a mixture is of tier 1."""

FEWEST = 25
"""Contexts that a rule is found in."""
FEWEST_EXAMPLES = 12
"""Of a feature: few topics have more."""
MOST_OF_ALL = 1 / 4
"""Share of the contexts that a rule is found in at most."""
MOST_OF_ONE_DOCUMENT = 3
"""Examples of a feature, but for an article's: else it would be about that document."""
TOPIC_WORDS = 3
"""Different words of a topic in a context that is about it."""

_Place = tuple[texts_of_source.Context, int]


@dataclass(frozen=True, kw_only=True)
class KnownFeature:
    """A feature of a class, by its examples; all are as strong."""

    kind: str
    name: str
    """What it finds."""
    contexts: Sequence[Context]


def known_features(
    contexts: texts_of_source.Contexts, *, per_class: int, random: int, examples: int, seed: int
) -> list[KnownFeature]:
    """Features of every class; fewer where the texts do not carry so many.

    - input token: a word at the peak. Output token: a word after the peak, every other one a function word.
    - mixture: one of two words that hardly ever share a context, at the peak.
    - topic: any place of contexts with three words of a topic. Article: any place of one article's contexts.
    - random: any place of any context.

    Args:
        contexts: the texts.
        per_class: features of each class but random.
        random: features of class random.
        examples: of each feature.
        seed: of all that is drawn.
    """
    return list(chain.from_iterable(_classes(contexts, per_class, random, examples, seed)))


def _classes(
    contexts: texts_of_source.Contexts, per_class: int, random: int, examples: int, seed: int
) -> Iterator[Iterator[KnownFeature]]:
    texts = [variants[0] for variants in contexts.variants.values()]
    planting = _Planting(texts, examples, seed)
    vocabulary = Vocabulary(contexts, fewest=FEWEST, most=int(MOST_OF_ALL * len(texts)))
    keywords = rules("keyword", vocabulary, seed=seed)
    yield islice(planting.by_rules("input token", keywords), per_class)
    # Of the words that no input feature has.
    before = map(_before_word, keywords)
    together = (rule for pair in zip_longest(rules("next_token", vocabulary, seed=seed), before) for rule in pair)
    yield islice(planting.by_rules("output token", filter(None, together)), per_class)
    yield islice(planting.by_rules("mixture of two tokens", rules("mixture", vocabulary, seed=seed)), per_class)
    yield islice(planting.topics(), per_class)
    yield islice(planting.articles(), per_class)
    yield (planting.random(number) for number in range(random))


def _before_word(rule: Rule) -> Rule:
    word = re.sub(r"^the word ", "", rule.right_label).strip('"')
    pattern = rf"(?i)\w+(?=\W+{re.escape(word)}\b)"
    return Rule(kind="next_token", right_label=f'the word before "{word}"', pattern=pattern)


class _Planting:
    """The texts that features are planted in."""

    def __init__(self, texts: Sequence[texts_of_source.Context], examples: int, seed: int) -> None:
        self._texts, self._examples, self._seed = texts, examples, seed

    def by_rules(self, kind: str, candidates: Iterable[Rule]) -> Iterator[KnownFeature]:
        for rule in candidates:
            pattern = re.compile(rule.pattern)
            found = ((text, next(text.find(pattern), None)) for text in self._texts)
            yield from self._feature(kind, rule.right_label, [(text, match.token) for text, match in found if match])

    def topics(self) -> Iterator[KnownFeature]:
        for label in seeded_order(TOPICS, self._seed, "topics"):
            pattern = re.compile(rf"(?i)\b(?:{'|'.join(TOPICS[label].split())})\b")
            about = [text for text in self._texts if len({m.words for m in text.find(pattern)}) >= TOPIC_WORDS]
            yield from self._feature("topic", label, [(text, self._any_place(text, label)) for text in about])

    def articles(self) -> Iterator[KnownFeature]:
        of_article: dict[str, list[texts_of_source.Context]] = {}
        for text in self._texts:
            of_article.setdefault(text.document or text.data_index, []).append(text)
        for name in seeded_order(of_article, self._seed, "articles"):
            places = [(text, self._any_place(text, "article")) for text in of_article[name]]
            yield from self._feature("article", name, places, most_of_one_document=self._examples)

    def random(self, number: int) -> KnownFeature:
        name = f"random {number}"
        drawn = self._in_order(name, [(text, self._any_place(text, name)) for text in self._texts])
        return self._made("random", name, drawn[: self._examples])

    def _feature(
        self, kind: str, name: str, places: Sequence[_Place], *, most_of_one_document: int = MOST_OF_ONE_DOCUMENT
    ) -> Iterator[KnownFeature]:
        """The feature, if its examples are enough."""
        of_document: dict[str | None, int] = {}
        chosen = []
        for text, place in self._in_order(name, places):
            of_document[text.document] = of_document.get(text.document, 0) + 1
            if of_document[text.document] <= most_of_one_document:
                chosen.append((text, place))
        if len(chosen) >= min(self._examples, FEWEST_EXAMPLES):
            yield self._made(kind, name, chosen[: self._examples])

    def _made(self, kind: str, name: str, places: Sequence[_Place]) -> KnownFeature:
        contexts = [Context(text.tokens, place, 1.0, text.document) for text, place in places]
        return KnownFeature(kind=kind, name=name, contexts=contexts)

    def _in_order(self, name: str, places: Sequence[_Place]) -> list[_Place]:
        by_name = {text.data_index: (text, place) for text, place in places}
        return [by_name[index] for index in seeded_order(by_name, self._seed, name)]

    def _any_place(self, text: texts_of_source.Context, name: str) -> int:
        places = text_places(text.tokens)
        return places[seed_of(self._seed, "place", name, text.data_index) % len(places)]
