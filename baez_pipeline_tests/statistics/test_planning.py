"""What `baez plan` says: the figures, what they cost, and the command on stored tables."""

import numpy as np
import polars as pl
import pytest

from baez_pipeline.cli.planning import costs_per_feature
from baez_pipeline.statistics.planning import Aim, features_factor, needs
from baez_pipeline.statistics.spread import Spread
from baez_pipeline.steps.estimate import Estimate, Line
from baez_pipeline.store import Address, Store
from baez_pipeline.tables import FeatureSample, JudgedExamples
from baez_pipeline_tests.statistics.tables import judged

AIM = Aim(margin=0.02, power=0.8, alpha=0.05, pairs=1)


def test_one_pair_needs_the_features_of_the_field_guide():
    now = needs(Spread(between=0.0, within=0.01), 40, AIM)[0]
    assert (AIM.differences, now.to_detect, now.for_equivalence) == ((0.02, 0.03, 0.05), (197, 88, 32), 215)
    assert now.for_both == 215
    assert now.detects == pytest.approx(0.0443, abs=1e-4)


def test_more_pairs_need_more_features_to_detect_but_not_to_call_equivalent():
    three = Aim(margin=0.02, power=0.8, alpha=0.05, pairs=3)
    one_pair, three_pairs = (needs(Spread(0.0, 0.01), 40, aim)[0] for aim in (AIM, three))
    assert three_pairs.to_detect > one_pair.to_detect
    assert three_pairs.for_equivalence == one_pair.for_equivalence


def test_more_examples_help_as_far_as_the_spread_is_theirs():
    of_examples = needs(Spread(between=0.0, within=0.01), 40, AIM)
    of_features = needs(Spread(between=0.01, within=0.0), 40, AIM)
    assert [need.times for need in of_examples] == [1, 2, 5]
    assert [need.to_detect[0] for need in of_examples] == [197, 99, 40]
    assert {need.to_detect for need in of_features} == {(197, 88, 32)}


def test_a_pilot_of_twelve_leaves_the_needs_between_half_and_nearly_three_times_as_many():
    assert features_factor(12, confidence=0.95) == pytest.approx((0.50, 2.88), abs=0.01)
    generator = np.random.default_rng(0)
    variances = generator.normal(size=(5000, 12)).var(axis=1, ddof=1)
    low, high = features_factor(12, confidence=0.95)
    assert np.mean((variances * low <= 1) & (variances * high >= 1)) == pytest.approx(0.95, abs=0.01)


def line(step, *, questions, kept, usd):
    return Line(
        step=step, method="baez", model="m", questions=questions, kept=kept, tokens_in=0, tokens_out=0, usd=usd,
        usd_at_most=usd,
    )  # fmt: skip


def estimated(*lines, features=10):
    return Estimate(
        lines=list(lines), features=features, counted=features, stood_in=[], explanation_requests=0, explanation_hours=0
    )


def test_a_feature_costs_what_is_asked_about_it_and_scores_grow_with_the_examples():
    found = estimated(
        line("labels_baez", questions=10, kept=0, usd=1.0), line("scores_detection", questions=40, kept=0, usd=2.0)
    )
    costs = costs_per_feature(found, {})
    assert (costs.labels, costs.scores) == (pytest.approx(0.1), pytest.approx(0.2))
    assert costs.of(100, 5) == pytest.approx(110)


def test_kept_answers_do_not_make_another_feature_cheaper():
    half_kept = estimated(line("scores_detection", questions=40, kept=20, usd=1.0))
    all_kept = estimated(line("scores_detection", questions=40, kept=40, usd=0.0))
    assert costs_per_feature(half_kept, {}).scores == pytest.approx(0.2)
    paid = {"scores_detection": {"f0": 0.3, "f1": 0.1}}
    assert costs_per_feature(all_kept, paid).scores == pytest.approx(0.2)
    assert costs_per_feature(all_kept, {}).unknown == ("scores_detection",)


EXPERIMENT = """
name = "mine"
[sample]
features = 30
[labeling]
methods = ["baez", "eleuther_acts_top5"]
[scoring]
benchmarks = ["detection"]
"""


def stored_pilot(tmp_path, *, n_features=8):
    """Stored scores of some real features and of a planted one, which a plan must not read."""
    (tmp_path / "mine.toml").write_text(EXPERIMENT)
    store = Store(str(tmp_path / "data"), "mine")
    generator = np.random.default_rng(0)
    features = [f"20-res_{place:06d}" for place in range(n_features)]
    rows = [
        {"draw": place, "pool": "sampled", "feature": feature, "feature_index": place, "outcome": "kept"}
        for place, feature in enumerate(features)
    ]
    planted = {"pool": "planted", "feature": "planted-keyword_000000", "planted": "keyword"}
    rows.append({"draw": n_features, "feature_index": n_features, "outcome": "kept", **planted})
    roster = FeatureSample.validate(pl.DataFrame(rows, schema=FeatureSample.create_empty().schema), cast=True)
    store.write(Address(table="feature_sample"), roster, schema=FeatureSample, fingerprint="f")
    for feature in [*features, "planted-keyword_000000"]:
        for method in ("baez", "eleuther_acts_top5"):
            said = [bool(right) for right in generator.uniform(size=8) < 0.8]
            frame = judged(feature, method, active=said[:4], silent=[not right for right in said[4:]])
            address = Address(table="scores_detection", feature=feature, part=method)
            store.write(address, frame, schema=JudgedExamples, fingerprint="f")


def test_a_plan_reads_the_spread_of_the_stored_scores(baez, tmp_path):
    stored_pilot(tmp_path)
    code, said = baez("plan", "mine.toml")
    assert code == 0
    assert "detection, balanced_accuracy: from the 8 features that are scored" in said
    assert "baez − eleuther_acts_top5 8 " in said
    assert "held to alpha 0.05 / 1" in said
    assert "the true needs lie between 0.4 and 4.1 times these (95% interval)" in said
    assert "asks no model over HTTP: it costs nothing" in said


def test_a_plan_without_scores_says_that_it_assumes(baez, tmp_path):
    (tmp_path / "mine.toml").write_text(EXPERIMENT)
    code, said = baez("plan", "mine.toml", "--margin", "0.05")
    assert code == 0
    assert "Assumed: 30 features, 20 examples each" in said
    assert "50% of answers shared 20 .106" in said
    assert "these are the field guide's assumptions and not measurements" in said
    assert "find find equal" in said and ".03 .05 ±.05" in said
    assert not (tmp_path / "data").exists()


def test_more_power_needs_more_features(baez, tmp_path):
    (tmp_path / "mine.toml").write_text(EXPERIMENT)
    (_, usual), (_, sure) = baez("plan", "mine.toml"), baez("plan", "mine.toml", "--power", "0.95")
    assert "In 80% of experiments" in usual
    assert "In 95% of experiments" in sure
    assert usual.split("In 80%")[0] != sure.split("In 95%")[0]


@pytest.mark.parametrize("option", [("--margin", "0"), ("--power", "1")])
def test_a_margin_or_power_that_cannot_be_is_refused(baez, tmp_path, option):
    (tmp_path / "mine.toml").write_text(EXPERIMENT)
    code, said = baez("plan", "mine.toml", *option)
    assert code == 2
    assert f"Invalid value for '{option[0]}'" in said
