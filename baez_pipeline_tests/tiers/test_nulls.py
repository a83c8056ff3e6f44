import numpy as np
import pytest

from baez_pipeline.experiment import Tiers
from baez_pipeline.tiers.cosines import mean_cosine, unit_vectors
from baez_pipeline.tiers.nulls import Pool, against_pool, against_shifted, null_pools, shifted_texts
from baez_pipeline.tiers.windows import Context
from baez_pipeline_tests.features.records import active, words
from baez_pipeline_tests.tiers.made_up import bag_of_words, record_of_rows

SETTINGS = Tiers()


def pool_of(sizes, vectors=None):
    """Groups a, b, c, ... of windows, in this order."""
    ends = np.cumsum(sizes)
    groups = {name: np.arange(end - size, end) for name, size, end in zip("abcdefgh", sizes, ends, strict=False)}
    vectors = unit_vectors(np.random.default_rng(0).standard_normal((ends[-1], 8))) if vectors is None else vectors
    return Pool(gram=vectors @ vectors.T, groups=groups)


def groups_of(pool, chosen):
    name_of = {place: name for name, places in pool.groups.items() for place in places}
    return [[name_of[place] for place in draw] for draw in chosen]


def test_a_draw_takes_one_window_of_each_group_and_none_of_the_features_own():
    pool = pool_of([3, 1, 2, 4])
    drawn = groups_of(pool, pool.draw(3, draws=200, without="b", seed=1))
    assert all(sorted(draw) == ["a", "c", "d"] for draw in drawn)
    assert {tuple(draw) for draw in drawn} >= {("a", "c", "d"), ("d", "c", "a")}


def test_every_window_of_a_group_is_drawn():
    pool = pool_of([3, 2, 1])
    assert set(np.unique(pool.draw(2, draws=200, without="", seed=1))) == set(range(6))


def test_where_groups_are_few_a_draw_takes_several_of_each_but_no_window_twice():
    pool = pool_of([3, 3, 1])
    chosen = pool.draw(5, draws=100, without="", seed=1)
    assert all(len(set(draw)) == 5 for draw in chosen.tolist())
    assert all(set(draw) == {"a", "b"} for draw in groups_of(pool, chosen))


@pytest.mark.parametrize(("sizes", "without"), [([2, 2, 1], ""), ([3, 3, 3], "a"), ([7], "a")])
def test_a_pool_with_too_few_windows_gives_none(sizes, without):
    assert pool_of(sizes).draw(7, draws=10, without=without, seed=1) is None


def test_a_p_value_counts_the_observed_score_among_the_draws():
    pool = pool_of([1] * 8)
    common = {"settings": SETTINGS, "without": "", "seed": 1}
    assert against_pool(2.0, np.ones(4), pool, decides=False, **common).p == 1 / 1000
    assert against_pool(2.0, np.ones(4), pool, decides=True, **common).p == 1 / 20_000
    lowest = against_pool(-2.0, np.ones(4), pool, decides=True, **common)
    assert lowest.p == 1.0
    assert lowest.z < 0


def test_tau_is_the_nulls_quantile():
    pool = pool_of([1] * 8)
    null = against_pool(0.0, np.ones(4), pool, SETTINGS, without="", seed=1, decides=True)
    at, above = (
        against_pool(null.tau + off, np.ones(4), pool, SETTINGS, without="", seed=1, decides=True) for off in (0, 1e-6)
    )
    # 950 draws are below tau, or as high: the 70 choices of four among eight windows come up time and again.
    assert above.p <= 0.05 < at.p


def test_windows_that_are_all_alike_are_as_high_as_their_null_and_have_no_z():
    vectors = unit_vectors(np.tile(np.random.default_rng(0).standard_normal(384), (8, 1)).astype(np.float32))
    score = mean_cosine(vectors[:4])
    pool = against_pool(score, np.ones(4), pool_of([1] * 8, vectors), SETTINGS, without="", seed=1, decides=True)
    shifted = against_shifted(score, np.ones(8), vectors, [vectors[:2]] * 8, SETTINGS, seed=1)
    assert (pool.p, pool.z) == (shifted.p, shifted.z) == (1.0, None)


def test_weights_go_with_the_windows_of_a_draw():
    vectors = unit_vectors(np.random.default_rng(3).standard_normal((6, 4)))
    weights = np.array([1.0, 0.5, 0.1])
    pool = pool_of([1] * 6, vectors)
    null = against_pool(0.0, weights, pool, SETTINGS, without="", seed=5, decides=True)
    chosen = pool.draw(3, draws=SETTINGS.draws, without="", seed=5)
    drawn = [mean_cosine(vectors[draw], weights) for draw in chosen]
    assert (null.mean, null.sd) == pytest.approx((np.mean(drawn), np.std(drawn, ddof=1)))


def test_peaks_that_are_places_like_any_other_are_called_local_at_the_stated_rate():
    generator, p_values = np.random.default_rng(11), []
    for seed in range(200):
        documents = generator.standard_normal((8, 1, 6))
        vectors = unit_vectors(documents + generator.standard_normal((8, 5, 6)))
        score = mean_cosine(vectors[:, 0])
        p_values.append(against_shifted(score, np.ones(8), vectors[:, 0], vectors[:, 1:], SETTINGS, seed=seed).p)
    # 200 tests at .05: 20 or more false ones would be a one in 300 event.
    assert sum(p <= 0.05 for p in p_values) < 20
    assert 0.4 < np.mean(p_values) < 0.6


def test_what_all_windows_of_a_context_share_is_not_local_but_what_the_peaks_alone_share_is():
    generator = np.random.default_rng(2)
    shifted = generator.standard_normal((8, 4, 16)) + 3
    alike = generator.standard_normal((8, 16)) + 3
    local = generator.standard_normal((8, 16)) / 4 + np.eye(16)[0] * 4
    found = {
        name: against_shifted(
            mean_cosine(unit_vectors(own)), np.ones(8), unit_vectors(own), unit_vectors(shifted), SETTINGS, seed=1
        )
        for name, own in {"alike": alike, "local": local}.items()
    }
    assert found["alike"].p > 0.05
    assert found["local"].p < 1 / 1000


def test_examples_without_room_off_the_peak_are_drawn_as_they_are():
    own = unit_vectors(np.random.default_rng(0).standard_normal((7, 4)))
    none, some = np.zeros((0, 4)), own[:2]
    assert against_shifted(0.5, np.ones(7), own, [some] * 5 + [none] * 2, SETTINGS, seed=1) is None
    assert against_shifted(0.5, np.ones(7), own, [some] * 6 + [none], SETTINGS, seed=1) is not None


def test_shifted_windows_hold_nothing_of_the_windows_at_the_peak():
    context = Context(words("a", 60), 30, 1.0, None)
    texts = [
        shifted_texts(context, kind, Tiers(shifts=20), seed=seed) for seed in range(5) for kind in ("input", "output")
    ]
    at_peak = {f"a-{number}" for number in range(25, 34)}
    assert all(len(set(found)) == 20 for found in texts)
    assert not any(at_peak & set(text.split()) for found in texts for text in found)


def test_a_short_context_has_fewer_shifted_windows_or_none():
    assert shifted_texts(Context(words("a", 18), 9, 1.0, None), "input", SETTINGS, seed=1) == []
    assert len(shifted_texts(Context(words("a", 21), 9, 1.0, None), "input", SETTINGS, seed=1)) == 3
    assert shifted_texts(Context(words("a", 40), 0, 1.0, None), "input", SETTINGS, seed=1) == []


def test_the_pools_hold_the_donors_peaks_and_random_windows_of_their_documents():
    donors = {
        f"1-made-up_00000{n}": record_of_rows(
            *(active(f"text{n}{i}", 9.0 - i, document=f"texts: {n % 2}") for i in range(6)),
            feature=f"1-made-up_00000{n}",
        )
        for n in range(3)
    }
    texts = []

    def embed(found):
        texts.extend(found)
        return bag_of_words(found)

    pools = null_pools(donors, SETTINGS, embed, peak="maximum", seed=0)
    assert {key: len(places) for key, places in pools.others["cross"].groups.items()} == dict.fromkeys(donors, 4)
    assert {key: len(places) for key, places in pools.random["cross"].groups.items()} == {"texts: 0": 4, "texts: 1": 4}
    assert "text00-25 text00-26 text00-27 text00-28 text00-29" in texts
    # The fifth strongest example of a donor is not among its peaks.
    assert "text04-25 text04-26 text04-27 text04-28 text04-29" not in texts


def test_a_score_that_hardly_any_draw_comes_up_to_has_the_p_value_of_all_draws():
    documents = np.random.default_rng(0).standard_normal((6, 5, 16))
    own, shifted = unit_vectors(documents[:, 0] + 1), unit_vectors(documents[:, 1:])
    score = mean_cosine(own)
    few, many = (
        against_shifted(score, np.ones(6), own, shifted, Tiers(draws=999, most_draws=most), seed=1)
        for most in (999, 50_000)
    )
    # Six examples of five windows: 15,625 choices, of which hardly any but the observed one is as high.
    assert few.p == 1 / 1000
    assert 1 / 50_001 < many.p < few.p
    assert (few.z, few.tau) == (many.z, many.tau)
