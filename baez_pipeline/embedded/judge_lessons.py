"""Labels that the judge is trained on: each says a rule, so that the truth of every token is known.

What must not be said in a label is `judge_held_out`'s business.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baez_pipeline.embedded import judge_wordings
from baez_pipeline.embedded.judge_held_out import is_taught, names_held_out_topic
from baez_pipeline.embedded.judge_texts import NO_TOPIC, Topic
from baez_pipeline.embedded.judge_words import NO_WORD, TextWords

_WORDS_PER_TOPIC = 25
_FEWEST_TEXTS = 4
_TYPICAL = 8.0
"""How many times likelier a typical word is in a text of its topic than in others."""


@dataclass(frozen=True)
class Clause:
    """What a word must be to be active: everything that is said here."""

    word: frozenset[int] | None = None
    before: frozenset[int] | None = None
    after: frozenset[int] | None = None
    kind: int = 0
    """Bits that the word must have."""


@dataclass(frozen=True)
class Lesson:
    """A label and its rule: a word is active where one clause holds, or every text of a topic is."""

    label: str
    clauses: tuple[Clause, ...] = ()
    topic: int = NO_TOPIC
    about: int = NO_TOPIC
    """The topic whose words the rule lists: its list is not complete, so other texts of the topic prove nothing."""


class Teacher:
    """Makes lessons whose labels are true somewhere in a batch of windows."""

    def __init__(self, texts: TextWords, topics: Sequence[Topic]) -> None:
        self._texts = texts
        self._topics = topics
        self._draw = random.Random()
        self._place = {word: index for index, word in enumerate(texts.vocabulary)}
        self._taught = np.array([is_taught(word) for word in texts.vocabulary])
        self._is_word = np.array([word.isalpha() for word in texts.vocabulary])
        typical = _typical_words(texts, len(topics))
        lists = [topic.words or typical[index] for index, topic in enumerate(topics)]
        self._lists = [frozenset(self._place[word] for word in words if self._sayable(word)) for words in lists]
        self._speakable = [not names_held_out_topic(" ".join(topic.names)) for topic in topics]
        self._makers: list[tuple[Callable[[], Lesson | None], float]] = [
            (self._word, 0.16),
            (self._phrase, 0.16),
            (self._before, 0.18),
            (self._after, 0.05),
            (self._pair, 0.05),
            (self._topic, 0.15),
            (self._alike, 0.04),
            (self._text, 0.06),
            (self._either, 0.16),
            (self._family, 0.03),
            (self._spelling, 0.02),
            (self._mark, 0.05),
            (self._kind, 0.03),
        ]
        self._present: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._distinct: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._topics_present: list[int] = []

    def lessons(
        self, count: int, word_places: NDArray[np.int64], topics: NDArray[np.int64], draw: random.Random
    ) -> list[Lesson]:
        """So many lessons.

        Args:
            count: how many.
            word_places: places in `TextWords.words` of the batch's words.
            topics: the batch's topics.
            draw: decides between lessons.
        """
        self._draw = draw
        ids = self._texts.words[word_places]
        usable = self._taught[ids] & self._is_word[ids]
        self._present = word_places[usable]
        # One place for each distinct word, so that the frequent ones do not make up all lessons.
        order = self._present[
            np.array(self._draw.sample(range(len(self._present)), len(self._present)), dtype=np.int64)
        ]
        self._distinct = order[np.unique(self._texts.words[order], return_index=True)[1]]
        self._topics_present = sorted(set(topics.tolist()) - {NO_TOPIC})
        makers, weights = zip(*self._makers, strict=True)
        found: list[Lesson] = []
        while len(found) < count:
            lesson = self._draw.choices(makers, weights)[0]()
            if lesson is not None:
                found.append(lesson)
        return found

    def _sayable(self, word: str) -> bool:
        return word in self._place and is_taught(word)

    def _place_of_word(self, frequent: float = 0.2) -> int:
        return int(self._draw.choice(self._present if self._draw.random() < frequent else self._distinct))

    def _said(self, word: int) -> str:
        text = self._texts.written[word]
        return text.capitalize() if self._draw.random() < 0.1 else text

    def _word(self) -> Lesson:
        word = int(self._texts.words[self._place_of_word()])
        return Lesson(
            self._draw.choice(judge_wordings.WORD_WORDINGS).format(self._said(word)), (Clause(word=frozenset([word])),)
        )

    def _phrase(self) -> Lesson | None:
        place = self._place_of_word(0.6)
        one, two = self._texts.words[place : place + 2].tolist()
        if not (self._is_word[two] and self._taught[two]):
            return None
        first, second = frozenset([one]), frozenset([two])
        label = self._draw.choice(judge_wordings.PHRASE_WORDINGS).format(self._said(one), self._texts.written[two])
        clauses = (Clause(before=first, word=second), Clause(word=first, after=second))
        # A phrase's feature is active on its last word more often than on both.
        return Lesson(label, clauses[:1] if self._draw.random() < 0.65 else clauses)

    def _pair(self) -> Lesson | None:
        place = self._place_of_word(0.6)
        first, second = self._texts.words[place : place + 2].tolist()
        if not (self._is_word[second] and self._taught[second]):
            return None
        one, two = self._texts.written[first], self._texts.written[second]
        if self._draw.random() < 0.5:
            return Lesson(f'"{one}" followed by "{two}"', (Clause(word=frozenset([first]), after=frozenset([second])),))
        return Lesson(
            self._draw.choice(('"{1}" after "{0}"', 'the word "{1}" after "{0}"')).format(one, two),
            (Clause(before=frozenset([first]), word=frozenset([second])),),
        )

    def _before(self) -> Lesson:
        word = int(self._texts.words[self._place_of_word(0.7)])
        return Lesson(
            self._draw.choice(judge_wordings.BEFORE_WORDINGS).format(self._said(word)),
            (Clause(after=frozenset([word])),),
        )

    def _after(self) -> Lesson:
        word = int(self._texts.words[self._place_of_word(0.6)])
        return Lesson(
            self._draw.choice(judge_wordings.AFTER_WORDINGS).format(self._said(word)),
            (Clause(before=frozenset([word])),),
        )

    def _some_topic(self) -> int | None:
        topic = self._draw.choice(self._topics_present) if self._topics_present else NO_TOPIC
        return topic if topic != NO_TOPIC and self._speakable[topic] else None

    def _topic(self) -> Lesson | None:
        topic = self._some_topic()
        if topic is None or not self._lists[topic]:
            return None
        name = self._draw.choice(self._topics[topic].names)
        return Lesson(
            self._draw.choice(judge_wordings.TOPIC_WORDINGS).format(name),
            (Clause(word=self._lists[topic]),),
            about=topic,
        )

    def _alike(self) -> Lesson | None:
        topic = self._some_topic()
        if topic is None or len(self._lists[topic]) < 6:
            return None
        named = [self._texts.written[word] for word in self._draw.sample(sorted(self._lists[topic]), 3)]
        wording = self._draw.choice(
            ('words such as "{}", "{}" and "{}"', "{}, {}, {} and similar words", "{}, {} and {}")
        )
        return Lesson(wording.format(*named), (Clause(word=self._lists[topic]),), about=topic)

    def _text(self) -> Lesson | None:
        topic = self._some_topic()
        if topic is None:
            return None
        name = self._draw.choice(self._topics[topic].names)
        return Lesson(self._draw.choice(judge_wordings.TEXT_WORDINGS).format(name), topic=topic)

    def _either(self) -> Lesson | None:
        if self._draw.random() < 0.5:
            return self._either_word()
        makers = [self._word, self._word, self._phrase, self._before, self._topic, self._topic, self._mark]
        one, two = self._draw.choice(makers)(), self._draw.choice(makers)()
        if one is None or two is None or NO_TOPIC not in (one.about, two.about):
            return None
        joined = self._draw.choice((" or ", " or ", " or ", " and ", ", "))
        return Lesson(one.label + joined + two.label, one.clauses + two.clauses, about=max(one.about, two.about))

    def _either_word(self) -> Lesson:
        one, two = (int(self._texts.words[self._place_of_word()]) for _ in range(2))
        wording = self._draw.choice(
            (
                *['the word "{}" or the word "{}"'] * 4,
                *('the words "{}" and "{}"', '"{}" or "{}"', 'the word "{}" or "{}"'),
            )
        )
        return Lesson(wording.format(self._said(one), self._said(two)), (Clause(word=frozenset([one, two])),))

    def _family(self) -> Lesson | None:
        stem = self._texts.vocabulary[self._texts.words[self._place_of_word()]]
        forms = [stem, f"{stem}s", f"{stem}es", f"{stem}ed", f"{stem}ing", f"{stem}ly", f"{stem}d", f"{stem[:-1]}ing"]
        present = [form for form in dict.fromkeys(forms) if self._sayable(form)]
        if len(stem) < 3 or len(present) < 2:
            return None
        wording = self._draw.choice(
            ('forms of "{}"', 'the word "{}" and its forms', 'the verb "{}"', "{} in all its forms")
        )
        return Lesson(wording.format(stem), (Clause(word=frozenset(self._place[form] for form in present)),))

    def _spelling(self) -> Lesson | None:
        word = self._texts.vocabulary[self._texts.words[self._place_of_word()]]
        if len(word) < 6:
            return None
        length = self._draw.choice((2, 3, 3, 4))
        ends = self._draw.random() < 0.6
        part = word[-length:] if ends else word[:length]
        test = str.endswith if ends else str.startswith
        # Words that the batch has not are of no consequence.
        present = set(self._texts.words[self._distinct].tolist())
        alike = frozenset(index for index in present if test(self._texts.vocabulary[index], part))
        wording = ('words ending in "{}"', 'words with the suffix "-{}"') if ends else ('words starting with "{}"',)
        return Lesson(self._draw.choice(wording).format(part), (Clause(word=alike),))

    def _mark(self) -> Lesson | None:
        names, mark = self._draw.choice(list(judge_wordings.PUNCTUATION.items()))
        if mark not in self._place:
            return None
        return Lesson(self._draw.choice(names.split(";")), (Clause(word=frozenset([self._place[mark]])),))

    def _kind(self) -> Lesson:
        names, bit = self._draw.choice(list(judge_wordings.KINDS.items()))
        return Lesson(self._draw.choice(names.split(";")), (Clause(kind=bit),))


def _typical_words(texts: TextWords, topics: int) -> list[list[str]]:
    """For each topic words that set its texts apart: in at least four of them, and far more often than elsewhere."""
    counts = np.zeros((topics + 1, len(texts.vocabulary)), dtype=np.int32)
    for start, length, topic in zip(texts.piece_start, texts.piece_length, texts.piece_topic, strict=True):
        # The last row is for texts without a topic.
        counts[topic, np.unique(texts.words[texts.first_word[start : start + length]])] += 1
    pieces = np.bincount(texts.piece_topic % (topics + 1), minlength=topics + 1)
    elsewhere = counts.sum(axis=0)
    found = []
    for topic in range(topics):
        share = counts[topic] / max(1, pieces[topic])
        ratio = share / ((elsewhere - counts[topic] + 1) / pieces.sum())
        ratio[counts[topic] < _FEWEST_TEXTS] = 0
        ratio[NO_WORD] = 0
        best = np.argsort(-ratio)[:_WORDS_PER_TOPIC]
        found.append(
            [texts.vocabulary[word] for word in best if ratio[word] > _TYPICAL and texts.vocabulary[word].isalpha()]
        )
    return found
