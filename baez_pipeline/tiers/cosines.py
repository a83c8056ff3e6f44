"""Mean cosine over all pairs of vectors, without making the pairs.

Goes in: the score of the tier protocol as a formula. Stays out: of what, and against what.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]


def unit_vectors(vectors: NDArray[np.floating]) -> Floats:
    """Vectors of length 1 in double precision, [n, d]: what the formulas below ask for."""
    exact = np.asarray(vectors, dtype=np.float64)
    return exact / np.linalg.norm(exact, axis=-1, keepdims=True)


def mean_cosine(vectors: Floats, weights: Floats | None = None) -> float:
    """Mean cosine over all pairs, weighted by w_i w_j: (|sum w_i u_i|^2 - sum w_i^2) / ((sum w_i)^2 - sum w_i^2).

    The same as the sum over pairs, in O(n) (field guide, evaluation-and-tiers, 4; MonoLoss, arXiv:2602.12403).

    Args:
        vectors: [n, d] of length 1, n >= 2.
        weights: [n], at least two above 0; None = all alike.
    """
    weights = np.ones(len(vectors)) if weights is None else weights
    own = float(np.square(weights).sum())
    together = float(np.square(weights @ vectors).sum())
    return (together - own) / (float(weights.sum()) ** 2 - own)


def mean_cosines(gram: Floats, weights: Floats) -> Floats:
    """The same of many choices among the same vectors.

    Args:
        gram: [n, n], their products.
        weights: [choices, n], 0 for what a choice leaves out.
    """
    own = np.square(weights).sum(axis=1)
    together = np.einsum("ij,ij->i", weights @ gram, weights)
    return (together - own) / (np.square(weights.sum(axis=1)) - own)


def jackknife_interval(vectors: Floats, weights: Floats | None = None, *, outside: float) -> tuple[float, float]:
    """How far a mean cosine depends on which examples there are.

    Tukey's interval: score +- t(n - 1) * sqrt((n - 1) / n * sum (score without i - their mean)^2).

    Args:
        vectors: [n, d] of length 1, n >= 3.
        weights: [n], at least three above 0; None = all alike.
        outside: what the interval leaves on each side, 0.05 for one of 90 %.
    """
    weights = np.ones(len(vectors)) if weights is None else weights
    n, total = len(vectors), weights @ vectors
    own = np.square(weights).sum() - np.square(weights)
    together = np.square(total).sum() - 2 * weights * (vectors @ total) + np.square(weights)
    without = (together - own) / (np.square(weights.sum() - weights) - own)
    error = np.sqrt((n - 1) / n * np.square(without - without.mean()).sum())
    reach = float(stats.t.ppf(1 - outside, n - 1) * error)
    score = mean_cosine(vectors, weights)
    return score - reach, score + reach
