"""How like contexts are to a feature's examples in their words: cosine of tf-idf vectors over word pieces."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

from baez_pipeline.features.examples import SPECIAL_TOKENS, Peak
from baez_pipeline.features.lending import Lender, donor_of
from baez_pipeline.features.source import FeatureSource

# All features of an experiment have the same donors, but for one that is a donor itself: it has the others.
_CORPORA_IN_MEMORY = 2
# As many as the largest vocabularies have tokens, 100 bytes each.
_PIECES_IN_MEMORY = 2**18


class Corpus:
    """The contexts of donors, which say how rare a word piece is."""

    def __init__(self, donors: Sequence[Lender]) -> None:
        texts = [tokens for donor in donors for tokens in donor.contexts["tokens"].to_list()]
        self.contexts = [(donor, name) for donor in donors for name in donor.row_of]
        # scikit-learn takes no empty vocabulary; no text holds the empty piece.
        self.vocabulary = _numbered({"", *_pieces_of(texts)})
        counts = _counter(self.vocabulary).transform(texts or [[]])
        # Not scikit-learn's own, which is one higher: a word that every context holds makes none of them like another.
        self.rarity: NDArray[np.float64] = np.log((1 + len(texts)) / (1 + counts.getnnz(axis=0)))
        self.rarity_of_others = np.log(1 + len(texts))
        self.vectors = _weighted(counts, self.rarity)[: len(texts)]


class Likeness:
    """Likeness of contexts to a feature's examples: the mean of the cosines with them."""

    def __init__(self, corpus: Corpus, shown: Sequence[Sequence[str]], others: Sequence[Sequence[str]]) -> None:
        """Likeness to examples.

        Args:
            corpus: gives the weights.
            shown: what is shown of each example, as tokens.
            others: further texts of the feature's record, whose words are known, too.
        """
        known = corpus.vocabulary
        added = sorted(_pieces_of([*shown, *others]) - known.keys())
        self._corpus = corpus
        self._counter = _counter({**known, **{piece: len(known) + number for number, piece in enumerate(added)}})
        self._rarity = np.concatenate([corpus.rarity, np.full(len(added), corpus.rarity_of_others)])
        self._profile = np.asarray(self._vectors_of(shown).mean(axis=0)).ravel()

    def of_corpus(self) -> NDArray[np.float64]:
        """Of each of the corpus's contexts."""
        return self._corpus.vectors @ self._profile[: self._corpus.vectors.shape[1]]

    def of(self, texts: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """Of other texts."""
        return self._vectors_of(texts) @ self._profile if texts else np.zeros(0)

    def _vectors_of(self, texts: Sequence[Sequence[str]]) -> Any:
        return _weighted(self._counter.transform(texts), self._rarity)


@functools.lru_cache(_CORPORA_IN_MEMORY)
def corpus_of(source: FeatureSource, donors: tuple[int, ...], peak: Peak) -> Corpus:
    """The contexts of these donors. Give them sorted, so that one order is kept in memory for all.

    Raises:
        SourceError: a donor's record cannot be read.
    """
    return Corpus([donor for index in donors if (donor := donor_of(source, index, peak)) is not None])


def _weighted(counts: Any, rarity: NDArray[np.float64]) -> Any:
    """Vectors of norm 1 from counts, both sparse [texts, vocabulary]."""
    vectors = counts.astype(np.float64)
    # The same word ten times over does not make a text ten times as like.
    vectors.data = (1 + np.log(vectors.data)) * rarity[vectors.indices]
    return normalize(vectors, copy=False)


def _counter(vocabulary: Mapping[str, int]) -> Any:
    return CountVectorizer(analyzer=_word_pieces, vocabulary=vocabulary)


def _numbered(pieces: Iterable[str]) -> dict[str, int]:
    return {piece: number for number, piece in enumerate(sorted(pieces))}


def _pieces_of(texts: Iterable[Sequence[str]]) -> set[str]:
    return {piece for tokens in texts for piece in _word_pieces(tokens)}


def _word_pieces(tokens: Sequence[str]) -> list[str]:
    """The tokens in lower case, without the space before a word, for which some tokenizers write ▁ or Ġ."""
    return [piece for piece in map(_word_piece, tokens) if piece]


@functools.lru_cache(_PIECES_IN_MEMORY)
def _word_piece(token: str) -> str:
    return "" if token in SPECIAL_TOKENS else token.strip(" \n\t▁Ġ").lower()
