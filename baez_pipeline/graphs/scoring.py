"""How well a label tells its feature's held-out examples from those of the graph's other features. It costs nothing.

A label of counted words is held against the word at each peak, or after it; a written one is compared by the embedder
with the text around each peak, as in the benchmark `embedding`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from baez_pipeline.draws import seed_of
from baez_pipeline.graphs.examples import Examples, contexts_of, shown_texts
from baez_pipeline.tiers.token_labels import TokenLabel

FEWEST_JUDGED = 4
"""Test examples and negatives each, under which an area says nothing: three of each that are told apart without a fault
are so by chance in one of 20 cases, four in one of 70."""
CHANCE = 0.5

Embed = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class LabelScore:
    """The score of one label."""

    auroc: float | None
    """None with fewer than four test examples or negatives."""
    low: float | None
    high: float | None
    """Its interval (`auroc_interval`)."""
    scored_by: str
    n_test: int
    n_negatives: int

    @property
    def uncertain(self) -> bool:
        """Whether the label may tell nothing: its interval holds chance, or it has none."""
        return self.low is None or self.low <= CHANCE


def auroc_interval(area: float, *, n_test: int, n_negatives: int, confidence: float) -> tuple[float, float]:
    """The interval of an AUROC by its score, which has a width where nothing was confused, too.

    All areas t from which the one found is off by less than z standard deviations, with the variance of Hanley & McNeil
    (1982) at t, the numbers of both kinds in it replaced by their mean: method 5 of Newcombe (2006, Statistics in
    Medicine 25:559). At .95 the lower end is over .5 from .94 on with four of each, from .86 with six, from .76 with
    ten: where Mann and Whitney's exact test says so, but for one pair. Ties, as of words that match or do not, make it
    wider than need be.

    Args:
        area: found, 0 to 1.
        n_test: test examples.
        n_negatives: negatives.
        confidence: of the interval.

    Returns:
        Its ends, 0 to 1.
    """
    z = float(norm.ppf((1 + confidence) / 2))
    pairs, mean = n_test * n_negatives, (n_test + n_negatives) / 2 - 1

    def lower_end(found: float) -> float:
        def beyond(t: float) -> float:
            variance = t * (1 - t) * (1 + mean * ((1 - t) / (2 - t) + t / (1 + t))) / pairs
            return float((found - t) ** 2 - z * z * variance)

        if found <= 0:
            return 0.0
        # At 1 itself both sides are 0.
        return float(brentq(beyond, 0, min(found, 1 - 1e-9)))

    return lower_end(area), 1 - lower_end(1 - area)


def negatives_of(feature: str, examples: Mapping[str, Examples], *, seed: int) -> pl.DataFrame:
    """As many peaks of other features as the feature has test examples, none in a text that it is active in.

    Args:
        feature: its key.
        examples: of all features of the graph.
        seed: of the draw.

    Returns:
        Rows of ExampleSplits, one of a feature at most.
    """
    own = examples[feature]
    taken = set(own.active_in)
    rows = [own.test.clear()]
    others = [key for key in sorted(examples) if key != feature]
    # A graph may have thousands of features: a draw by hashes would take as many for each of them.
    for place in np.random.default_rng(seed_of(seed, "graph negatives", feature)).permutation(len(others)):
        free = examples[others[place]].test.filter(~pl.col("example").is_in(list(taken))).head(1)
        taken.update(free["example"])
        rows.append(free)
        if sum(found.height for found in rows) == own.test.height:
            break
    return pl.concat(rows)


def score_words(label: TokenLabel, test: pl.DataFrame, negatives: pl.DataFrame, *, confidence: float) -> LabelScore:
    """The score of a label of words; examples without a word there are not judged.

    Args:
        label: the label.
        test: rows of ExampleSplits.
        negatives: the same of other features.
        confidence: of the score's interval.
    """
    judged = [
        [float(fits) for context in contexts_of(rows) if (fits := label.fits(context)) is not None]
        for rows in (test, negatives)
    ]
    return _score(*judged, scored_by="matching words", confidence=confidence)


def score_text(
    label: str, test: pl.DataFrame, negatives: pl.DataFrame, embed: Embed, *, embedder: str, confidence: float
) -> LabelScore:
    """The score of a label in words of its own.

    Args:
        label: the label.
        test: rows of ExampleSplits.
        negatives: the same of other features.
        embed: the embedder.
        embedder: its name.
        confidence: of the score's interval.
    """
    (vector,) = embed([label])
    judged = [[float(value) for value in embed(shown_texts(rows)) @ vector] for rows in (test, negatives)]
    return _score(*judged, scored_by=f"cosine, {embedder}", confidence=confidence)


def _score(test: Sequence[float], negatives: Sequence[float], *, scored_by: str, confidence: float) -> LabelScore:
    area, low, high = None, None, None
    if min(len(test), len(negatives)) >= FEWEST_JUDGED:
        differences = np.subtract.outer(np.array(test), np.array(negatives))
        area = float((differences > 0).mean() + (differences == 0).mean() / 2)
        low, high = auroc_interval(area, n_test=len(test), n_negatives=len(negatives), confidence=confidence)
    return LabelScore(auroc=area, low=low, high=high, scored_by=scored_by, n_test=len(test), n_negatives=len(negatives))
