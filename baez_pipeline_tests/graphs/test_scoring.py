import pytest
from scipy.stats import mannwhitneyu

from baez_pipeline.graphs.scoring import LabelScore, auroc_interval


def score(area, n, negatives=None):
    """A score with its interval."""
    negatives = negatives or n
    low, high = auroc_interval(area, n_test=n, n_negatives=negatives, confidence=0.95)
    return LabelScore(auroc=area, low=low, high=high, scored_by="", n_test=n, n_negatives=negatives)


@pytest.mark.parametrize("area", [0.0, 0.3, 0.5, 0.8, 1.0])
def test_an_interval_holds_its_area_and_is_narrower_with_more_examples(area):
    few, many = score(area, 5), score(area, 50)
    assert 0 <= few.low <= many.low <= area <= many.high <= few.high <= 1
    assert many.high - many.low < few.high - few.low


def test_labels_without_a_fault_have_a_width_too():
    assert score(1.0, 10).low == pytest.approx(0.800, abs=0.001)
    assert score(0.0, 10).high == pytest.approx(1 - score(1.0, 10).low)


def test_both_kinds_count():
    assert score(0.9, 4, 50).low == pytest.approx(score(0.9, 50, 4).low)
    assert score(0.9, 4, 50).low < score(0.9, 50).low


@pytest.mark.parametrize("n", [4, 5, 6, 10, 20])
def test_a_label_is_certain_where_the_exact_test_says_that_it_is_above_chance_but_for_one_pair(n):
    confused = max(pairs for pairs in range(n * n // 2) if exact_p(n, pairs) <= 0.05)
    assert not score(1 - confused / n**2, n).uncertain
    assert score(1 - (confused + 2) / n**2, n).uncertain


def exact_p(n, confused):
    """Of Mann and Whitney's test, where so many of the n * n pairs come the wrong way round."""
    over_all, over = divmod(confused, n)
    negatives = [*(n + 2.0 + i for i in range(over_all)), over + 0.5, *(-1.0 - i for i in range(n))][:n]
    return mannwhitneyu([1.0 + i for i in range(n)], negatives, alternative="two-sided", method="exact").pvalue


def test_without_an_area_a_label_is_uncertain():
    assert LabelScore(auroc=None, low=None, high=None, scored_by="", n_test=3, n_negatives=3).uncertain
