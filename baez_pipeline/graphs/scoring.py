"""How well a label tells its feature's held-out examples from those of the graph's other features. It costs nothing.

A label of counted words is held against the word at each peak, or after it; a written one is compared by the embedder
with the text around each peak, as in the benchmark `embedding`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from baez_pipeline.draws import seed_of
from baez_pipeline.graphs.examples import Examples, contexts_of, shown_texts
from baez_pipeline.tiers.token_labels import TokenLabel

FEWEST_JUDGED = 3
"""Test examples and negatives each, under which an area says nothing."""
UNCERTAIN_BELOW = 0.7
"""AUROC under which a label is marked uncertain. Our choice: chance is .5, right labels reach .94 with this embedder
(field guide, scoring audit, row 46)."""

Embed = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class LabelScore:
    """The score of one label."""

    auroc: float | None
    """None with fewer than three test examples or negatives."""
    scored_by: str
    n_test: int
    n_negatives: int

    @property
    def uncertain(self) -> bool:
        """Whether the label is not known to be of use."""
        return self.auroc is None or self.auroc < UNCERTAIN_BELOW


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


def score_words(label: TokenLabel, test: pl.DataFrame, negatives: pl.DataFrame) -> LabelScore:
    """The score of a label of words; examples without a word there are not judged."""
    judged = [
        [float(fits) for context in contexts_of(rows) if (fits := label.fits(context)) is not None]
        for rows in (test, negatives)
    ]
    return _score(*judged, scored_by="matching words")


def score_text(label: str, test: pl.DataFrame, negatives: pl.DataFrame, embed: Embed, *, embedder: str) -> LabelScore:
    """The score of a label in words of its own.

    Args:
        label: the label.
        test: rows of ExampleSplits.
        negatives: the same of other features.
        embed: the embedder.
        embedder: its name.
    """
    (vector,) = embed([label])
    judged = [[float(value) for value in embed(shown_texts(rows)) @ vector] for rows in (test, negatives)]
    return _score(*judged, scored_by=f"cosine, {embedder}")


def _score(test: Sequence[float], negatives: Sequence[float], *, scored_by: str) -> LabelScore:
    area = None
    if min(len(test), len(negatives)) >= FEWEST_JUDGED:
        differences = np.subtract.outer(np.array(test), np.array(negatives))
        area = float((differences > 0).mean() + (differences == 0).mean() / 2)
    return LabelScore(auroc=area, scored_by=scored_by, n_test=len(test), n_negatives=len(negatives))
