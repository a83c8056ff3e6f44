"""Two engines' explanations of the same positions, judged alike: figures with intervals, numbers in, numbers out.

Every explanation is held against every position. What it says of its own position is what counts; what it says of the
positions of other articles shows what can be right by chance, or by saying the same of everything.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baez_pipeline.nla.reconstructor import faithfulness
from baez_pipeline.small_nla.measures import named_token, topic_words_named
from baez_pipeline.small_nla.topic_words import content_words
from baez_pipeline.statistics.bootstrap import clustered_interval

CONFIDENCE, RESAMPLES, SEED = 0.95, 2000, 0
OWN, OTHERS = "own", "other_articles"

Numbers = NDArray[np.float64]
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Positions:
    """What is true of the positions, row by row."""

    articles: list[str]
    tokens: list[str]
    """The final tokens."""
    contexts: list[str]
    """The texts up to and with them."""
    topic_words: list[list[str]]
    """What the rule of the training would have named."""
    vectors: NDArray[np.float32]
    """[n, d_model]"""

    @property
    def article_numbers(self) -> NDArray[np.int64]:
        """[n], 0 for the first article named."""
        names = list(dict.fromkeys(self.articles))
        return np.array([names.index(article) for article in self.articles], dtype=np.int64)


@dataclass(frozen=True)
class Measure:
    """A ratio of sums, as [explanations, positions]: what was right, of how much."""

    right: Numbers
    of: Numbers


def measures_of(
    texts: Sequence[str], rebuilt: NDArray[np.float32], positions: Positions, *, variance: float
) -> dict[str, Measure]:
    """Every explanation against every position.

    Args:
        texts: explanations, one per position.
        rebuilt: the activations that a reconstructor reads out of them, [n, d_model].
        positions: that were explained.
        variance: denominator of the FVE.

    Returns:
        final_token, topic_words_in_text, topic_words_found (as `measures.text_measures` has them), wording_in_text (of
        the content words quoted in the second paragraph, those in the text so far) and fve.
    """
    tokens = [token.strip() for token in positions.tokens]
    contexts = [_words(context) for context in positions.contexts]
    topics = [_words(" ".join(words)) for words in positions.topic_words]
    named = [topic_words_named(text) for text in texts]
    wording = [_words(" ".join(quoted_wording(text))) for text in texts]
    exact = [[float(token == said) for token in tokens] for said in map(named_token, texts)]
    shape = (len(texts), len(tokens))
    return {
        "final_token": Measure(np.array(exact), np.ones(shape)),
        "topic_words_in_text": Measure(_shared(named, contexts), _sizes(named, shape)),
        "topic_words_found": Measure(_shared(named, topics), _sizes(topics, shape[::-1]).T),
        "wording_in_text": Measure(_shared(wording, contexts), _sizes(wording, shape)),
        "fve": Measure(_fve(rebuilt, positions.vectors, variance=variance), np.ones(shape)),
    }


def quoted_wording(text: str) -> list[str]:
    """What stands in quotation marks in the second paragraph."""
    paragraphs = text.split("\n\n")
    return _QUOTED.findall(paragraphs[1]) if len(paragraphs) > 1 else []


def figures(measures: dict[str, Measure], positions: Positions) -> dict[str, dict[str, Any]]:
    """Each measure of the explanations' own positions and of those of other articles, with intervals over articles."""
    return {
        name: {
            kind: _with_interval([part], positions.article_numbers)
            for kind, part in ((OWN, _own(each)), (OTHERS, _others(each, positions.article_numbers)))
        }
        for name, each in measures.items()
    }


def differences(
    measures: dict[str, Measure], baseline: dict[str, Measure], positions: Positions
) -> dict[str, dict[str, Any]]:
    """Each measure less that of the baseline, own positions, with interval and the articles in which it is ahead."""
    numbers = positions.article_numbers
    compared = {}
    for name in measures:
        parts = [_own(measures[name]), _own(baseline[name])]
        by_article = [_difference((numbers == article)[None].astype(float), parts)[0] for article in set(numbers)]
        ahead = {"articles_ahead": sum(bool(value > 0) for value in by_article), "of_articles": len(by_article)}
        compared[name] = _with_interval(parts, numbers) | ahead
    return compared


def mean_with_interval(values: Numbers, positions: Positions) -> dict[str, float | None]:
    """The mean of one number per position, with its interval over articles."""
    return _with_interval([(values, np.ones_like(values))], positions.article_numbers)


def _own(measure: Measure) -> tuple[Numbers, Numbers]:
    return measure.right.diagonal(), measure.of.diagonal()


def _others(measure: Measure, articles: NDArray[np.int64]) -> tuple[Numbers, Numbers]:
    """Per position the means over the explanations of other articles."""
    elsewhere = (articles[:, None] != articles).astype(np.float64)
    elsewhere /= elsewhere.sum(0)
    return (measure.right * elsewhere).sum(0), (measure.of * elsewhere).sum(0)


def _difference(counts: Numbers, parts: Sequence[tuple[Numbers, Numbers]]) -> Numbers:
    """The ratio of the first part, less those of the others; rows count as often as they were drawn."""
    with np.errstate(divide="ignore", invalid="ignore"):
        first, *others = [(counts @ right) / (counts @ of) for right, of in parts]
    return np.asarray(first - sum(others))


def _with_interval(parts: Sequence[tuple[Numbers, Numbers]], articles: NDArray[np.int64]) -> dict[str, float | None]:
    value = _difference(np.ones((1, len(articles))), parts)[0]
    interval = clustered_interval(
        lambda counts: _difference(counts, parts), articles, confidence=CONFIDENCE, resamples=RESAMPLES, seed=SEED
    )
    ends = {name: None if end is None else round(end, 4) for name, end in interval._asdict().items()}
    return {"value": round(float(value), 4), **ends}


def _words(text: str) -> set[str]:
    return {word for _, word in content_words(text)}


def _shared(named: Sequence[set[str]], true: Sequence[set[str]]) -> Numbers:
    return np.array([[float(len(words & truth)) for truth in true] for words in named])


def _sizes(words: Sequence[set[str]], shape: tuple[int, int]) -> Numbers:
    """How many words each has, in every column."""
    return np.broadcast_to(np.array([[float(len(each))] for each in words]), shape)


def _fve(rebuilt: NDArray[np.float32], vectors: NDArray[np.float32], *, variance: float) -> Numbers:
    rows = [faithfulness(np.broadcast_to(each, vectors.shape), vectors, variance=variance) for each in rebuilt]
    return np.array([[score.fve for score in row] for row in rows], dtype=np.float64)
