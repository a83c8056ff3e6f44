import numpy as np
import polars as pl
import pytest

from baez_pipeline.embedding import SentenceEmbedder
from baez_pipeline.experiment import Tiers
from baez_pipeline.tables import CorrelationScores
from baez_pipeline.tiers.correlation import correlation_scores
from baez_pipeline.tiers.cosines import mean_cosine, unit_vectors
from baez_pipeline.tiers.nulls import null_pools
from baez_pipeline.tiers.windows import Context
from baez_pipeline_tests.features.records import active, words
from baez_pipeline_tests.tiers.made_up import bag_of_words, record_of_rows

SETTINGS = Tiers(window=2, examples=8)
DONORS = {
    f"1-made-up_{n:06d}": record_of_rows(
        *(active(f"d{n}x{i}", 5.0, document=f"texts: {n}") for i in range(2)), feature=f"1-made-up_{n:06d}"
    )
    for n in range(10)
}
POOLS = null_pools(DONORS, SETTINGS, bag_of_words, peak="maximum", seed=0)


def contexts(count, at=None, after=None, place=30, length=60):
    """Contexts of words of their own; the same word at the peak or after it, if one is given."""
    found = []
    for number in range(count):
        tokens = words(f"c{number}", length)
        if at:
            tokens[place] = at
        if after:
            tokens[place + 1] = after
        found.append(Context(tokens, place, 10.0 - number, f"texts: {number}"))
    return found


def scores(found, feature="f", settings=SETTINGS, embed=bag_of_words, pools=POOLS, top_logits=None, seed=0):
    table = correlation_scores(feature, found, pools, settings, embed, seed=seed, top_logits=top_logits)
    return {row["window"]: row for row in table.iter_rows(named=True)}


def test_a_word_at_every_peak_makes_input_windows_alike_and_leaves_output_windows_as_they_were():
    rows = scores(contexts(8, at=" bridge"))
    assert rows["input"]["r"] == pytest.approx(1 / 3, abs=0.1)
    assert rows["input"]["shifted_p"] < 1 / 1000
    assert rows["output"]["shifted_p"] > 0.05
    assert max(rows["cross"]["random_p"], rows["cross"]["others_p"]) < 1 / 1000
    assert (rows["input"]["token"], rows["input"]["token_agreement"]) == (" bridge", 1.0)


def test_a_word_after_every_peak_makes_output_windows_alike():
    rows = scores(contexts(8, after=" than"), top_logits=[" than"])
    assert rows["output"]["r"] == pytest.approx(1 / 2, abs=0.1)
    assert rows["output"]["shifted_p"] < 1 / 1000
    assert rows["input"]["shifted_p"] > 0.05
    assert (rows["output"]["logit_overlap"], rows["input"]["logit_overlap"]) == (1.0, 0.0)


def test_the_scores_are_those_of_the_embedded_windows_plain_and_weighted():
    found = contexts(8, at=" bridge")
    vectors = unit_vectors(bag_of_words([f"c{n}-27 c{n}-28 bridge" for n in range(8)]))
    row = scores(found)["input"]
    assert row["r"] == pytest.approx(mean_cosine(vectors))
    assert row["r_weighted"] == pytest.approx(mean_cosine(vectors, np.array([c.activation for c in found])))
    assert row["r_low"] < row["r"] < row["r_high"]


def test_with_weighted_the_weighted_score_is_the_one_that_is_tested():
    settings = SETTINGS.model_copy(update={"weighted": True})
    plain, weighted = (scores(contexts(8), settings=each)["input"] for each in (SETTINGS, settings))
    assert (weighted["r"], weighted["r_weighted"]) == (plain["r"], plain["r_weighted"])
    assert weighted["r_low"] < weighted["r_weighted"] < weighted["r_high"]
    assert (weighted["r_low"] + weighted["r_high"]) / 2 == pytest.approx(weighted["r_weighted"])
    assert weighted["random_z"] == pytest.approx(
        (weighted["r_weighted"] - weighted["random_mean"]) / weighted["random_sd"]
    )
    assert weighted["random_mean"] != plain["random_mean"]


@pytest.mark.parametrize(
    ("count", "has_r", "has_p"), [(0, False, False), (2, False, False), (5, True, False), (6, True, True)]
)
def test_with_few_windows_there_is_no_p_value_and_with_fewer_no_score(count, has_r, has_p):
    for row in scores(contexts(count)).values():
        assert (row["n_examples"], row["n_windows"]) == (count, count)
        assert (row["r"] is not None, row["random_p"] is not None) == (has_r, has_p)


def test_peaks_at_the_texts_end_have_no_output_windows():
    row = scores(contexts(8, place=59))["output"]
    assert (row["n_examples"], row["n_windows"], row["r"], row["token"]) == (8, 0, None, None)


def test_clipped_windows_say_how_long_they_are():
    assert scores(contexts(8))["cross"]["mean_length"] == 5
    assert scores(contexts(8, place=58))["cross"]["mean_length"] == 4


def test_the_cross_window_has_no_shifted_null():
    assert scores(contexts(8))["cross"]["shifted_p"] is None


def test_a_donor_lends_itself_nothing():
    few = null_pools(dict(list(DONORS.items())[:2]), SETTINGS, bag_of_words, peak="maximum", seed=0)
    own = next(iter(DONORS))
    assert scores(contexts(4), pools=few)["cross"]["others_p"] is None
    with_own, without_own = (scores(contexts(6), feature=name, pools=few)["cross"] for name in ("f", own))
    assert with_own["others_p"] is without_own["others_p"] is None
    three = null_pools(dict(list(DONORS.items())[:3]), SETTINGS, bag_of_words, peak="maximum", seed=0)
    assert scores(contexts(6), pools=three)["cross"]["others_p"] is not None
    assert scores(contexts(6), feature=own, pools=three)["cross"]["others_p"] is None


def test_without_donors_the_shifted_null_is_left():
    none = null_pools({}, SETTINGS, bag_of_words, peak="maximum", seed=0)
    rows = scores(contexts(8, at=" bridge"), pools=none)
    assert rows["input"]["shifted_p"] < 1 / 1000
    assert rows["input"]["random_p"] is None
    assert (rows["cross"]["random_p"], rows["cross"]["others_p"]) == (None, None)


def test_the_same_features_rows_are_the_same_and_another_names_draws_are_others():
    first, again, other = (scores(contexts(8), feature=name) for name in ("f", "f", "g"))
    assert first == again
    assert first["input"]["r"] == other["input"]["r"]
    assert first["input"]["shifted_mean"] != other["input"]["shifted_mean"]


def test_a_features_texts_are_embedded_once_all_together():
    calls = []

    def embed(texts):
        calls.append(list(texts))
        return bag_of_words(texts)

    scores(contexts(8, at=" bridge"), embed=embed)
    assert len(calls) == 1
    assert len(set(calls[0])) == len(calls[0]) > 8 * 3


def test_with_the_real_embedder_windows_about_one_thing_are_alike_though_they_share_no_word():
    animals = ["dog", "cat", "horse", "rabbit", "goat", "mouse"]
    fillers = ["of", "by", "in", "at", "on", "to"]
    found = [
        Context([*([f" {filler}"] * 15), f" {animal}", *([f" {filler}"] * 15)], 15, 1.0, None)
        for animal, filler in zip(animals, fillers, strict=True)
    ]
    embed = SentenceEmbedder().embed_together
    pools = null_pools(dict(list(DONORS.items())[:3]), Tiers(window=1), embed, peak="maximum", seed=0)
    rows = scores(found, settings=Tiers(window=1, shifts=2), embed=embed, pools=pools)
    assert rows["input"]["r"] > rows["input"]["shifted_mean"] + 0.05
    assert rows["input"]["token_agreement"] == pytest.approx(1 / 6)


def test_the_table_is_valid_and_of_one_feature():
    table = correlation_scores("f", contexts(8), POOLS, SETTINGS, bag_of_words, seed=0, top_logits=None)
    assert CorrelationScores.is_valid(table)
    assert table["feature"].to_list() == ["f"] * 3
    assert table["window"].cast(pl.String).to_list() == ["input", "output", "cross"]
