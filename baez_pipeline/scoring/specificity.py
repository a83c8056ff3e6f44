"""Does a label find its own feature among all? A label that fits every feature says nothing of one.

Goes in: ranks by the sentence embedder, without any judge. Stays out: means over features.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from baez_pipeline.embedding import SentenceEmbedder
from baez_pipeline.features.shown_text import as_written
from baez_pipeline.scoring.examples import shown_examples

_LABELS_AT_ONCE = 1024
_FEATURES_AT_ONCE = 16_384
"""Labels and features of a matrix product: 64 MB of cosines, however many there are of either."""

_TIED = 1e-6
"""Cosines nearer than this are equal: more than the rounding of a product of 384 single-precision numbers."""

Embeddings = NDArray[np.float32]

_COLUMNS = {
    "feature": pl.String,
    "method": pl.String,
    "reciprocal_rank": pl.Float64,
    "n_candidates": pl.Int64,
    "first": pl.Boolean,
    "words": pl.Int64,
}


def shown_texts(splits: pl.DataFrame) -> pl.DataFrame:
    """The shown windows of all test examples: columns feature and text.

    Args:
        splits: ExampleSplits of any features.
    """
    rows = [
        {"feature": feature, "text": as_written(shown.text)}
        for (feature,), own in splits.partition_by("feature", as_dict=True, maintain_order=True).items()
        for shown in shown_examples(own, marks=False)
        if shown.truth and shown.problem is None
    ]
    return pl.DataFrame(rows, schema={"feature": pl.String, "text": pl.String})


def label_specificity(labels: pl.DataFrame, texts: pl.DataFrame, embedder: SentenceEmbedder) -> pl.DataFrame:
    """The rank of every label's own feature among all, by the mean cosine of the label and a feature's texts.

    Args:
        labels: columns feature, method and label, the labels to rank; every feature has a text.
        texts: columns feature and text: the features that a label is looked for among, with their test windows.
        embedder: of labels and texts.

    Returns:
        One row per label, in their order: feature, method, reciprocal_rank (1 = its own feature comes first; features
        that tie share their mean rank), n_candidates (features with texts), first, words (of the label).
    """
    features = texts["feature"].unique(maintain_order=True).to_list()
    place = {feature: index for index, feature in enumerate(features)}
    means = _mean_embeddings(texts, features, embedder)
    ranks: list[float] = []
    for start in range(0, labels.height, _LABELS_AT_ONCE):
        chosen = labels.slice(start, _LABELS_AT_ONCE)
        ranks += _ranks(
            embedder.embed(chosen["label"].to_list()), means, [place[feature] for feature in chosen["feature"]]
        )
    return pl.DataFrame(
        {
            "feature": labels["feature"],
            "method": labels["method"],
            "reciprocal_rank": [1 / rank for rank in ranks],
            "n_candidates": [len(features)] * labels.height,
            "first": [rank == 1 for rank in ranks],
            "words": [len(label.split()) for label in labels["label"]],
        },
        schema=_COLUMNS,
    )


def _ranks(labels: Embeddings, means: Embeddings, own_places: list[int]) -> list[float]:
    # The mean cosine is the cosine's numerator with the mean embedding: all of them have length 1.
    own = np.einsum("ld,ld->l", labels, means[own_places])[:, None]
    above, tied = np.zeros(len(labels)), np.zeros(len(labels))
    for start in range(0, len(means), _FEATURES_AT_ONCE):
        cosines = labels @ means[start : start + _FEATURES_AT_ONCE].T
        above += (cosines > own + _TIED).sum(axis=1)
        tied += (np.abs(cosines - own) <= _TIED).sum(axis=1)
    # It is tied with itself.
    ranks: list[float] = (1 + above + (tied - 1) / 2).tolist()
    return ranks


def mean_label_cosine(labels: list[str], embedder: SentenceEmbedder) -> float | None:
    """Mean cosine of any two of the labels, -1 to 1; 1 = all alike. None for fewer than two."""
    if len(labels) < 2:
        return None
    n_labels = len(labels)
    total = embedder.embed(labels).astype(np.float64).sum(axis=0)
    # The squared length of the sum holds every pair twice, and each label with itself.
    return float((total @ total - n_labels) / (n_labels * (n_labels - 1)))


def _mean_embeddings(texts: pl.DataFrame, features: list[str], embedder: SentenceEmbedder) -> Embeddings:
    by_feature = texts.partition_by("feature", as_dict=True)
    return np.stack([embedder.embed(by_feature[feature,]["text"].to_list()).mean(axis=0) for feature in features])
