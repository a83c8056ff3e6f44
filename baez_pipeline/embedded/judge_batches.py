"""The steps of the judge's training: windows of texts, labels that each say a rule, and what is true of each pair."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from baez_pipeline.embedded.judge_lessons import Clause, Lesson, Teacher
from baez_pipeline.embedded.judge_model import LABEL_END, LABEL_START, TEXT_START, JudgeShape
from baez_pipeline.embedded.judge_texts import NO_TOPIC
from baez_pipeline.embedded.judge_words import NO_WORD, TextWords


@dataclass(frozen=True)
class TrainingSettings:
    """How the adapter is trained."""

    shape: JudgeShape = field(default_factory=JudgeShape)
    texts_per_topic: int = 40
    steps: int = 2100
    topics: int = 48
    windows_per_topic: int = 8
    """Two each of four texts, so that silent windows are of a feature's own texts and topic, too."""
    labels: int = 512
    shortest: int = 12
    longest: int = 40
    """Tokens of a window."""
    news_share: float = 0.15
    learning_rate: float = 1e-3
    seed: int = 0


class TrainingStep(NamedTuple):
    """w windows of up to t tokens, l labels, and what is true of their pairs."""

    ids: Tensor
    """[w, 1 + t], beginning with `TEXT_START`."""
    lengths: Tensor
    """Tokens without the start, [w]."""
    label_ids: Tensor
    """[l, tokens], from `LABEL_START` to `LABEL_END`."""
    label_lengths: Tensor
    active: Tensor
    """Whether a token is active by the label's rule, [l, w, t]."""
    of_text: Tensor
    """Whether the label is true of the window as a whole, [l, w]."""
    unknown: Tensor
    """Windows of which nothing is known, [l, w]."""


class TrainingSteps(Dataset[TrainingStep]):
    """Every step by its number: what it holds depends on nothing else, so that workers can make them in any order."""

    def __init__(
        self, texts: TextWords, teacher: Teacher, tokenizer: PreTrainedTokenizerBase, settings: TrainingSettings
    ) -> None:
        self._texts = texts
        self._teacher = teacher
        self._tokenizer = tokenizer
        self._settings = settings
        self._of_topic = [np.flatnonzero(texts.piece_topic == topic) for topic in range(texts.piece_topic.max() + 1)]
        self._news = np.flatnonzero(texts.piece_topic == NO_TOPIC)

    def __len__(self) -> int:
        return self._settings.steps

    def __getitem__(self, step: int) -> TrainingStep:
        texts, settings = self._texts, self._settings
        draw = np.random.default_rng([settings.seed, step])
        pieces = self._pieces(draw)
        places, lengths = self._windows(pieces, draw)
        valid = places >= 0
        first = np.where(valid, texts.first_word[places], NO_WORD)
        last = np.where(valid, texts.last_word[places], NO_WORD)
        topics = texts.piece_topic[pieces]
        # The order of topics among equals would follow the hash of strings; numbers sort alike everywhere.
        lessons = self._teacher.lessons(
            settings.labels, np.unique(first[valid]), topics, random.Random(int(draw.integers(2**62)))
        )
        ids = np.where(valid, texts.tokens[places], TEXT_START)
        label_ids, label_lengths = encode_labels(self._tokenizer, [lesson.label for lesson in lessons])
        active = rule_truth(lessons, texts, first, last)
        label_topics = np.array([lesson.topic for lesson in lessons])[:, None]
        about = np.array([lesson.about for lesson in lessons])[:, None]
        unknown = (about == topics) & (about != NO_TOPIC) & ~active.any(-1)
        return TrainingStep(
            torch.from_numpy(np.pad(ids, ((0, 0), (1, 0)), constant_values=TEXT_START)),
            torch.from_numpy(lengths),
            label_ids,
            label_lengths,
            torch.from_numpy(active),
            torch.from_numpy((label_topics == topics) & (label_topics != NO_TOPIC)),
            torch.from_numpy(unknown),
        )

    def _pieces(self, draw: np.random.Generator) -> NDArray[np.int64]:
        """Pieces of texts, each twice in a row."""
        each = self._settings.windows_per_topic // 2
        topics = draw.permutation(len(self._of_topic))[: self._settings.topics]
        pieces = np.concatenate([draw.choice(self._of_topic[topic], each) for topic in topics])
        news = draw.random(len(pieces)) < self._settings.news_share
        pieces[news] = draw.choice(self._news, int(news.sum()))
        return pieces.repeat(2)

    def _windows(
        self, pieces: NDArray[np.int64], draw: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of a window's tokens, -1 past its end, and its length."""
        texts, settings = self._texts, self._settings
        wanted = draw.integers(settings.shortest, settings.longest + 1, len(pieces))
        lengths = np.minimum(wanted, texts.piece_length[pieces])
        room = texts.piece_length[pieces] - lengths + 1
        starts = texts.piece_start[pieces] + (draw.random(len(pieces)) * room).astype(np.int64)
        steps = np.arange(settings.longest)
        return np.where(steps < lengths[:, None], starts[:, None] + steps, -1), lengths


def rule_truth(
    lessons: Sequence[Lesson], texts: TextWords, first: NDArray[np.int64], last: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which tokens are active: those that overlap a word for which one of the lesson's clauses holds.

    Args:
        lessons: l lessons.
        texts: the words.
        first: place of each token's first word, `NO_WORD` for no token, [w, t].
        last: of its last word, [w, t].

    Returns:
        [l, w, t]
    """
    places, token_words = np.unique(np.concatenate([first[None], last[None]]), return_inverse=True)
    neighbours = {"word": texts.words[places], "before": texts.words[places - 1]}
    neighbours["after"] = texts.words[np.minimum(places + 1, len(texts.words) - 1)]
    kinds = texts.kinds[places]
    is_word = neighbours["word"] != NO_WORD
    by_word = np.zeros((len(lessons), len(places)), dtype=bool)
    for row, lesson in zip(by_word, lessons, strict=True):
        for clause in lesson.clauses:
            row |= _holds(clause, neighbours, kinds)
    by_word &= is_word
    token_words = token_words.reshape(2, *first.shape)
    active: NDArray[np.bool_] = by_word[:, token_words[0]] | by_word[:, token_words[1]]
    return active


def _holds(clause: Clause, neighbours: dict[str, NDArray[np.int64]], kinds: NDArray[np.int64]) -> NDArray[np.bool_]:
    holds: NDArray[np.bool_] = (kinds & clause.kind) == clause.kind
    for name, words in neighbours.items():
        allowed: frozenset[int] | None = getattr(clause, name)
        if allowed is not None:
            holds &= words == next(iter(allowed)) if len(allowed) == 1 else np.isin(words, list(allowed))
    return holds


def encode_labels(tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Labels as `JudgeModel` reads them, [n, tokens], padded at the end, and their lengths."""
    encoded = tokenizer(list(labels), add_special_tokens=False, split_special_tokens=True)["input_ids"]
    rows = [[LABEL_START, *ids, LABEL_END] for ids in encoded]
    lengths = torch.tensor([len(row) for row in rows])
    width = int(lengths.max())
    return torch.tensor([row + [LABEL_END] * (width - len(row)) for row in rows]), lengths
