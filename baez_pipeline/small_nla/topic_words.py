"""Words that say what a text is about: general ones that an activation can hold, not rare names."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from baez_pipeline.small_nla.targets import FUNCTION_WORDS

COUNT = 4
_LEAST_TEXTS = 40
_LARGEST_SHARE = 0.03
"""A word in more of the texts says nothing of the topic."""
_MEMORY = 250.0
"""Characters after which a mention counts 1/e: an activation holds what was said lately."""

_WORD = re.compile(r"[A-Za-z]{4,}")


def content_words(text: str) -> list[tuple[int, str]]:
    """Where each word of four letters or more ends, and the word in lower case; function words are left out."""
    found = ((match.end(), match[0].lower()) for match in _WORD.finditer(text))
    return [(end, word) for end, word in found if word not in FUNCTION_WORDS]


class TopicWords:
    """Weights of words, from how many texts hold them."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = Counter(word for text in texts for word in {word for _, word in content_words(text)})
        least = min(_LEAST_TEXTS, max(2, len(texts) // 50))
        self._weights = {
            word: float(np.log(len(texts) / count))
            for word, count in counts.items()
            if least <= count <= max(least, _LARGEST_SHARE * len(texts))
        }

    def at(self, text: str, ends: Sequence[int]) -> list[list[str]]:
        """The most telling words of the text up to each end (a number of characters), at most `COUNT` each."""
        found = [(end, word) for end, word in content_words(text) if word in self._weights]
        if not found:
            return [[] for _ in ends]
        words = list(dict.fromkeys(word for _, word in found))
        places = np.array([end for end, _ in found], dtype=np.float64)
        which = np.array([words.index(word) for _, word in found])
        weights = np.array([self._weights[word] for word in words])
        distance = np.array(ends, dtype=np.float64)[:, None] - places
        recency: NDArray[np.float64] = np.where(distance >= 0, np.exp(-np.abs(distance) / _MEMORY), 0.0)
        scores = np.zeros((len(ends), len(words)))
        for column, word in enumerate(which):
            scores[:, word] += recency[:, column]
        scores *= weights
        best = np.argsort(-scores, axis=1, kind="stable")[:, :COUNT]
        return [[words[i] for i in row if scores[n, i] > 0] for n, row in enumerate(best)]
