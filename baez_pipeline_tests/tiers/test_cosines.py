import itertools

import numpy as np
import pytest

from baez_pipeline.tiers.cosines import jackknife_interval, mean_cosine, mean_cosines, unit_vectors

GENERATOR = np.random.default_rng(0)
CASES = [(n, d) for n in (2, 3, 7, 40) for d in (1, 5, 384)]


def drawn(n, d):
    return unit_vectors(GENERATOR.standard_normal((n, d)) + 0.3), GENERATOR.uniform(0.05, 1, n)


def over_pairs(vectors, weights):
    pairs = list(itertools.combinations(range(len(vectors)), 2))
    above = sum(weights[i] * weights[j] * float(vectors[i] @ vectors[j]) for i, j in pairs)
    return above / sum(weights[i] * weights[j] for i, j in pairs)


@pytest.mark.parametrize(("n", "d"), CASES)
def test_the_mean_over_pairs_is_the_plain_double_sum(n, d):
    vectors, weights = drawn(n, d)
    assert mean_cosine(vectors) == pytest.approx(over_pairs(vectors, np.ones(n)), abs=1e-12)
    assert mean_cosine(vectors, weights) == pytest.approx(over_pairs(vectors, weights), abs=1e-12)


def test_equal_vectors_have_a_mean_cosine_of_one_and_opposite_ones_of_minus_one():
    assert mean_cosine(unit_vectors(np.full((5, 3), 2.0))) == pytest.approx(1)
    assert mean_cosine(np.array([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(-1)


def test_a_choice_among_vectors_scores_what_its_vectors_score():
    vectors, _ = drawn(9, 4)
    choices = np.zeros((2, 9))
    choices[0, [1, 4, 8]] = 1
    choices[1, [0, 2, 3, 5]] = [1.0, 0.5, 0.25, 0.1]
    scores = mean_cosines(vectors @ vectors.T, choices)
    assert scores[0] == pytest.approx(mean_cosine(vectors[[1, 4, 8]]))
    assert scores[1] == pytest.approx(mean_cosine(vectors[[0, 2, 3, 5]], choices[1, [0, 2, 3, 5]]))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_jackknife_leaves_each_example_out_once(weighted):
    vectors, weights = drawn(8, 6)
    weights = weights if weighted else np.ones(8)
    without = [mean_cosine(np.delete(vectors, i, 0), np.delete(weights, i)) for i in range(8)]
    low, high = jackknife_interval(vectors, weights, outside=0.025)
    error = np.sqrt(7 / 8 * np.sum((np.array(without) - np.mean(without)) ** 2))
    # 2.3646 = the 97.5 % quantile of t with 7 degrees of freedom, from a table.
    assert high - mean_cosine(vectors, weights) == pytest.approx(2.3646 * error, rel=1e-4)
    assert high + low == pytest.approx(2 * mean_cosine(vectors, weights))
