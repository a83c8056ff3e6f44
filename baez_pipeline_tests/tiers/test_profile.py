import numpy as np
import polars as pl
import pytest

from baez_pipeline.experiment import Statistics
from baez_pipeline.tables import CorrelationScores, FeatureTiers
from baez_pipeline.tiers.profile import exchange_p, layer_profile, layer_trends

SETTINGS = Statistics(resamples=400)
KINDS = {
    "input": {"tier": 1, "window": "input"},
    "output": {"tier": 1, "window": "output"},
    "cross": {"tier": 2, "window": "cross"},
    "obscure": {"tier": 3, "window": None},
    "undetermined": {"tier": None, "window": None, "undetermined": True},
}


def made(by_layer):
    """Tables of features: layer -> kind -> how many. A feature's tokens agree in 1 / (1 + layer) of its examples."""
    tiers, layers, scores = [], [], []
    for layer, kinds in by_layer.items():
        for kind in (kind for kind, count in kinds.items() for _ in range(count)):
            feature = f"layers-x_{len(tiers):06d}"
            tiers.append({"feature": feature, "undetermined": False, "passed": [], "reason": "", "mode": "calibrated"})
            tiers[-1] |= KINDS[kind]
            layers.append({"feature": feature, "layer": layer})
            for window in ("input", "output", "cross"):
                agreement = None if window == "cross" else 1 / (1 + layer)
                row = {"feature": feature, "window": window, "n_examples": 20, "n_windows": 20}
                scores.append(row | {"token_agreement": agreement})
    return (
        pl.DataFrame(tiers, schema=FeatureTiers.create_empty().schema),
        pl.DataFrame(scores, schema=CorrelationScores.create_empty().schema),
        pl.DataFrame(layers, schema={"feature": pl.String, "layer": pl.Int64}),
    )


HYPOTHESIS = {
    1: {"input": 40, "output": 5, "cross": 5, "obscure": 5, "undetermined": 5},
    10: {"input": 25, "output": 20, "cross": 5, "obscure": 5, "undetermined": 5},
    20: {"input": 10, "output": 35, "cross": 5, "obscure": 5, "undetermined": 5},
}


def value(table, column, **which):
    return table.filter(**which)[column].item()


def test_shares_are_of_all_features_of_a_layer_or_of_those_determined():
    profile = layer_profile(*made(HYPOTHESIS), SETTINGS, seed=0)
    assert value(profile, "value", layer=1, measure="input", among="all") == pytest.approx(40 / 60)
    assert value(profile, "value", layer=1, measure="input", among="determined") == pytest.approx(40 / 55)
    assert value(profile, "count", layer=20, measure="undetermined", among="all") == 5
    for layer in HYPOTHESIS:
        of_layer = profile.filter(layer=layer, among="all").drop_nulls("count")
        assert of_layer["value"].sum() == pytest.approx(1)


def test_the_interval_of_a_share_is_wilsons():
    profile = layer_profile(*made({1: {"input": 0, "cross": 10}, 2: {"input": 5, "cross": 5}}), SETTINGS, seed=0)
    # Wilson (1927) by hand: none of 10 gives 0 to z2 / (n + z2), 5 of 10 gives .5 -+ z / (2 sqrt(n + z2)).
    z = 1.959964
    assert value(profile, "interval_high", layer=1, measure="input", among="all") == pytest.approx(
        z**2 / (10 + z**2), abs=1e-5
    )
    half = z / (2 * np.sqrt(10 + z**2))
    assert value(profile, "interval_low", layer=2, measure="input", among="all") == pytest.approx(0.5 - half, abs=1e-5)


def test_an_early_input_late_output_profile_is_found():
    trends = layer_trends(*made(HYPOTHESIS), SETTINGS, seed=0)
    for among in ("all", "determined"):
        assert value(trends, "trend", measure="input", among=among) == "falls"
        assert value(trends, "trend", measure="output", among=among) == "rises"
        assert value(trends, "trend", measure="cross", among=among) == "not shown"
    assert value(trends, "change", measure="input", among="all") == pytest.approx(-0.5)
    assert value(trends, "change_low", measure="input", among="all") < -0.5
    assert value(trends, "change_high", measure="input", among="all") < 0


def test_a_share_that_no_layer_has_may_still_have_changed():
    none = {1: {"input": 9, "output": 1}, 2: {"input": 5, "cross": 1, "output": 4}, 3: {"input": 8, "output": 2}}
    trends = layer_trends(*made(none), SETTINGS, seed=0)
    # Newcombe (1998), method 10: none of 10 is 0 to .2775 by Wilson, on either side.
    ends = [value(trends, name, measure="cross", among="all") for name in ("change_low", "change_high")]
    assert ends == pytest.approx([-0.2775, 0.2775], abs=1e-4)


def test_the_opposite_profile_is_not_taken_for_it():
    turned = dict(zip((1, 10, 20), reversed(HYPOTHESIS.values()), strict=True))
    trends = layer_trends(*made(turned), SETTINGS, seed=0)
    assert value(trends, "trend", measure="input", among="all") == "rises"
    assert value(trends, "trend", measure="output", among="all") == "falls"


def test_a_number_of_the_companions_is_averaged_by_layer():
    tables = made(HYPOTHESIS)
    profile, trends = layer_profile(*tables, SETTINGS, seed=0), layer_trends(*tables, SETTINGS, seed=0)
    assert value(profile, "value", layer=1, measure="next_token_agreement", among="all") == pytest.approx(0.5)
    assert value(trends, "trend", measure="peak_token_agreement", among="all") == "falls"
    assert value(profile, "n_features", layer=1, measure="peak_token_in_logits", among="all") == 0
    assert value(trends, "p", measure="peak_token_in_logits", among="all") is None


def test_a_share_that_no_feature_has_shows_no_trend():
    trends = layer_trends(*made({1: {"input": 9}, 5: {"input": 9}}), SETTINGS, seed=0)
    assert value(trends, "p", measure="input", among="all") is None
    assert value(trends, "trend", measure="output", among="all") == "not shown"


def test_features_that_have_no_layer_do_not_count():
    tiers, scores, layers = made(HYPOTHESIS)
    profile = layer_profile(tiers, scores, layers.filter(pl.col("layer") < 20), SETTINGS, seed=0)
    assert profile["layer"].unique().sort().to_list() == [1, 10]
    assert profile["n_features"].max() == 60


def test_without_a_trend_p_values_are_spread_evenly():
    draw = np.random.default_rng(0)
    layers = np.repeat([1, 10, 20], 30)
    p_values = [
        exchange_p(layers, (draw.random(90) < 0.3).astype(float), draws=199, generator=draw) for _ in range(200)
    ]
    assert np.mean(np.array(p_values) <= 0.05) < 0.1
    assert 0.35 < np.mean(p_values) < 0.7
