import numpy as np
import polars as pl
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from baez_pipeline.statistics.spread import Spread, assumed_spread, paired_spreads
from baez_pipeline_tests.statistics.tables import judged, judged_many


def only(*tables):
    (found,) = paired_spreads(pl.concat(tables))
    return found


def test_more_examples_take_away_the_part_within_features_alone():
    spread = Spread(between=0.0064, within=0.0036)
    assert spread.sd() == pytest.approx(0.1)
    assert spread.sd(4) == pytest.approx((0.0064 + 0.0009) ** 0.5)


def test_the_spread_of_answers_is_that_of_balanced_accuracy():
    tables = []
    for feature, right_a, right_b in (("f0", 9, 5), ("f1", 7, 7), ("f2", 6, 8)):
        for method, right in (("baez", right_a), ("baez_last", right_b)):
            active, silent = [True] * right + [False] * (10 - right), [False, False, True, False]
            tables.append(judged(feature, method, active=active, silent=silent))
    found = only(*tables)
    assert (found.metric, found.n_features, found.n_examples) == ("balanced_accuracy", 3, 14)
    assert found.mean_difference == pytest.approx(np.mean([0.2, 0, -0.1]))
    assert found.spread.sd() == pytest.approx(np.std([0.2, 0, -0.1], ddof=1))


def test_the_difference_by_placements_is_that_of_the_aurocs():
    generator = np.random.default_rng(0)
    truth = np.arange(16) < 7
    differences = []
    tables = []
    for place in range(4):
        said = {method: generator.choice(np.linspace(0, 1, 9), size=16) for method in ("baez", "baez_last")}
        for method, values in said.items():
            one = {"active": list(map(float, values[truth])), "silent": list(map(float, values[~truth]))}
            tables.append(judged(f"f{place}", method, "embedding", **one))
        differences.append(roc_auc_score(truth, said["baez"]) - roc_auc_score(truth, said["baez_last"]))
    found = only(*tables)
    assert found.metric == "auroc"
    assert found.mean_difference == pytest.approx(np.mean(differences))
    assert found.spread.sd() == pytest.approx(np.std(differences, ddof=1))


def test_an_example_that_one_method_got_no_answer_for_counts_for_neither():
    rest = [judged("f1", method, active=[True] * 4, silent=[False] * 4) for method in ("baez", "baez_last")]
    a = judged("f0", "baez", active=[True, False, True, True], silent=[False] * 4)
    b = judged("f0", "baez_last", active=[True, None, True, True], silent=[False] * 4)
    assert only(a, b, *rest).mean_difference == 0


def test_a_feature_with_one_example_of_a_kind_has_no_spread_within():
    tables = [
        judged(feature, method, active=[True] * n_active, silent=[False] * 3)
        for feature, n_active in (("f0", 3), ("f1", 3), ("f2", 1))
        for method in ("baez", "baez_last")
    ]
    assert only(*tables).n_features == 2


def test_one_feature_or_one_method_has_no_spread():
    one = judged("f0", active=[True] * 3, silent=[False] * 3)
    assert paired_spreads(one) == paired_spreads(judged("f0", active=[], silent=[])) == []
    assert paired_spreads(pl.concat([one, judged("f0", "baez_last", active=[True] * 3, silent=[False] * 3)])) == []


def test_both_parts_of_the_spread_of_answers_are_found_again():
    generator = np.random.default_rng(1)
    n_features, truth = 3000, np.arange(20) < 10
    quality = {"baez": 0.7 + generator.normal(0, 0.1, size=(n_features, 1)), "baez_last": 0.7}
    tables = [
        judged_many((generator.uniform(size=(n_features, 20)) < level) == truth, truth, method=method)
        for method, level in quality.items()
    ]
    spread = only(*tables).spread
    assert spread.within == pytest.approx((0.42 - 0.01) / 20, rel=0.03)
    assert spread.between == pytest.approx(0.01, rel=0.15)


def variance_of_auroc(shift, n):
    """Of n and n normal values so far apart (Hanley & McNeil 1982; exact)."""
    auroc = stats.norm.cdf(shift / 2**0.5)
    both = stats.multivariate_normal(cov=[[2, 1], [1, 2]]).cdf([shift, shift])
    return (auroc * (1 - auroc) + 2 * (n - 1) * (both - auroc**2)) / n**2


def test_both_parts_of_the_spread_of_aurocs_are_found_again():
    generator = np.random.default_rng(1)
    n_features, truth = 3000, np.arange(20) < 10
    # On every other feature the one method's label is good and the other's useless.
    good = {"baez": np.arange(n_features) % 2 == 0, "baez_last": np.arange(n_features) % 2 == 1}
    tables = [
        judged_many(
            stats.norm.cdf(generator.normal(size=(n_features, 20)) + is_good[:, None] * truth), truth, method=name
        )
        for name, is_good in good.items()
    ]
    spread = only(*tables).spread
    assert spread.within == pytest.approx(variance_of_auroc(0, 10) + variance_of_auroc(1, 10), rel=0.03)
    assert spread.between == pytest.approx((stats.norm.cdf(2**-0.5) - 0.5) ** 2, rel=0.05)


FIELD_GUIDE = {
    20: (0.158, 0.107, 0.081),
    50: (0.119, 0.075, 0.054),
    100: (0.101, 0.059, 0.042),
    200: (0.090, 0.050, 0.034),
}
"""Standard deviation of a paired difference by examples, for shares of answers in common 0, .5 and .7."""


@pytest.mark.parametrize("n_examples", FIELD_GUIDE)
def test_the_assumed_spread_is_the_field_guides_within_its_simulation(n_examples):
    found = [assumed_spread(n_examples=n_examples, shared=shared).sd() for shared in (0, 0.5, 0.7)]
    assert found == pytest.approx(FIELD_GUIDE[n_examples], abs=0.003)


@pytest.mark.parametrize(("n_examples", "shared"), [(20, 0.0), (50, 0.5), (100, 0.7)])
def test_the_assumed_spread_is_that_of_the_simulation_it_stands_for(n_examples, shared):
    generator = np.random.default_rng(2)
    n_features = 20_000
    quality, difference = generator.normal([[0.7], [0]], [[0.12], [0.08]], size=(2, n_features))
    in_common = generator.binomial(n_examples, shared, size=n_features)
    right = [
        generator.binomial(n_examples - in_common, np.clip(quality + sign * difference / 2, 0, 1)) for sign in (1, -1)
    ]
    found = np.std((right[0] - right[1]) / n_examples)
    assert assumed_spread(n_examples=n_examples, shared=shared).sd() == pytest.approx(found, rel=0.03)
    assert found == pytest.approx(FIELD_GUIDE[n_examples][(0, 0.5, 0.7).index(shared)], abs=0.005)


@pytest.mark.parametrize(
    ("n_examples", "half_width", "lucky"),
    [(20, 0.219, 0.13), (50, 0.139, 0.016), (100, 0.098, 0.002), (200, 0.069, 0)],
)
def test_the_field_guides_precision_of_one_feature_at_chance(n_examples, half_width, lucky):
    assert stats.norm.isf(0.025) * (0.25 / n_examples) ** 0.5 == pytest.approx(half_width, abs=5.1e-4)
    assert stats.binom.sf(np.ceil(0.65 * n_examples) - 1, n_examples, 0.5) == pytest.approx(lucky, abs=2e-3)
