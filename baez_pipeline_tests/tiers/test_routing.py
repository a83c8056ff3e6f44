import numpy as np
import polars as pl
import pytest
from statsmodels.stats.multitest import multipletests

from baez_pipeline.experiment import Tiers
from baez_pipeline.tiers.routing import route
from baez_pipeline_tests.tiers.made_up import scored

CALIBRATED, ARTICLE = Tiers(), Tiers(mode="article", tau=0.5)

CLEAR = {"r": 0.6, "r_low": 0.5, "r_high": 0.7, "shifted_p": 0.001, "shifted_z": 9.0}
CLEARER = {"r": 0.7, "r_low": 0.6, "r_high": 0.8, "shifted_p": 0.001, "shifted_z": 12.0}
# At the upper end of its interval, .1 above, it would be 11.5 + .1 / .05 = 13.5 standard deviations from the null.
NEARLY_AS_CLEAR = CLEAR | {"shifted_z": 11.5}
WIDE = {"r": 0.3, "r_low": 0.15, "r_high": 0.45, "shifted_p": 0.001, "shifted_z": 4.0}
# Over the null's quantile by itself, but with eight more tests the q-value is 0.06 or more.
LUCKY = {"r": 0.21, "r_low": 0.2, "shifted_p": 0.04, "shifted_z": 1.7}
CLEAR_CROSS = {"r": 0.6, "r_low": 0.5, "random_p": 0.001, "random_z": 9.0, "others_p": 0.002, "others_z": 7.0}
FEW = {"n_windows": 5, "shifted_p": None, "shifted_z": None, "shifted_tau": None}
FEW_CROSS = {"n_windows": 2, "r": None, "random_p": None, "others_p": None}


def tier(settings=CALIBRATED, **windows):
    (row,) = route(scored(**windows), settings).to_dicts()
    return row


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ({"input": CLEAR}, (1, "input", ["input"])),
        ({"output": CLEAR}, (1, "output", ["output"])),
        ({"input": CLEAR, "output": CLEARER}, (1, "output", ["input", "output"])),
        ({"input": CLEARER, "output": CLEAR, "cross": CLEAR_CROSS}, (1, "input", ["input", "output", "cross"])),
        ({"cross": CLEAR_CROSS}, (2, "cross", ["cross"])),
        ({}, (3, None, [])),
        # One window that stands out decides, whatever is doubtful of the other.
        ({"input": CLEAR, "output": FEW}, (1, "input", ["input"])),
        ({"input": CLEAR, "output": WIDE}, (1, "input", ["input"])),
    ],
)
def test_a_feature_is_of_the_first_tier_whose_windows_stand_out(windows, expected):
    row = tier(**windows)
    assert (row["tier"], row["window"], row["passed"]) == expected
    assert not row["undetermined"]


@pytest.mark.parametrize(
    ("windows", "reason"),
    [
        ({"input": FEW}, "may be of tier 1: input has 5 valid windows, 6 needed"),
        ({"output": FEW, "cross": CLEAR_CROSS}, "may be of tier 1: output has 5 valid windows"),
        ({"output": WIDE, "cross": CLEAR_CROSS}, "may be of tier 1: output is above its null, but its interval"),
        ({"input": LUCKY}, "may be of tier 1: input is above its null by itself, but not among so many"),
        ({"input": {"shifted_p": None}}, "may be of tier 1: input has no null"),
        ({"cross": FEW_CROSS}, "may be of tier 2: cross has 2 valid windows"),
        ({"cross": CLEAR_CROSS | {"r_low": 0.1}}, "may be of tier 2: cross is above its null, but its interval"),
        ({"input": CLEAR, "output": CLEAR}, "it is of tier 1, but by which window is not clear: input stands out"),
        ({"input": NEARLY_AS_CLEAR, "output": CLEARER}, "it is of tier 1, but by which window is not clear"),
        (
            {"input": CLEAR, "output": WIDE | {"shifted_z": 9.5}},
            "but the window in doubt is the clearer one: input stands out (r = 0.60, tau = 0.20, q = 0.002); output is",
        ),
    ],
)
def test_a_doubt_is_undetermined_with_its_reason(windows, reason):
    row = tier(**windows)
    assert (row["tier"], row["window"], row["undetermined"]) == (None, None, True)
    assert reason in row["reason"]


def test_cross_must_beat_both_of_its_nulls():
    same_topic_as_all = CLEAR_CROSS | {"random_p": 0.5, "random_z": 0.1}
    assert tier(cross=same_topic_as_all)["tier"] == 3
    assert tier(cross=CLEAR_CROSS | {"others_p": 0.5})["tier"] == 3
    row = tier(cross=CLEAR_CROSS | {"random_tau": 0.3, "others_tau": 0.4})
    assert (row["p_cross"], row["z_cross"], row["tau_cross"]) == (0.002, 7.0, 0.4)


def test_input_is_decided_on_the_shifted_null_alone():
    of_other_nulls = {"random_p": 0.001, "others_p": 0.001, "random_z": 9.0, "others_z": 9.0}
    assert tier(input=of_other_nulls)["tier"] == 3


def test_q_values_are_benjamini_hochbergs_over_features_and_windows():
    p_values = np.random.default_rng(0).uniform(0, 0.2, (5, 3))
    table = pl.concat(
        scored(
            str(number),
            input={"shifted_p": first},
            output={"shifted_p": second},
            cross={"random_p": third, "others_p": third / 2},
        )
        for number, (first, second, third) in enumerate(p_values)
    )
    found = route(table, CALIBRATED).select("q_input", "q_output", "q_cross").to_numpy()
    assert found.ravel() == pytest.approx(multipletests(p_values.ravel(), method="fdr_bh")[1])


def test_a_window_without_a_p_value_is_none_of_the_tests():
    row = tier(input=CLEAR | {"shifted_p": 0.02}, output=FEW)
    assert row["q_input"] == pytest.approx(0.04)
    assert row["q_output"] is None


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ({"input": {"r": 0.5}}, (1, "input")),
        ({"input": {"r": 0.5}, "output": {"r": 0.51}}, (1, "output")),
        ({"input": {"r": 0.51}, "output": {"r": 0.51}}, (None, None)),
        ({"output": {"r": 0.49}, "cross": {"r": 0.8}}, (2, "cross")),
        ({"output": {"r": 0.49}, "cross": {"r": 0.49}}, (3, None)),
    ],
)
def test_mode_article_has_one_threshold_and_asks_no_null(windows, expected):
    row = tier(ARTICLE, **windows)
    assert (row["tier"], row["window"]) == expected
    assert (row["p_input"], row["q_input"], row["z_input"], row["tau_input"]) == (None, None, None, 0.5)


def test_mode_article_too_needs_windows():
    row = tier(ARTICLE, input=FEW | {"r": 0.9})
    assert row["undetermined"]
    assert "5 valid windows" in row["reason"]


def test_with_weighted_the_weighted_score_decides():
    row = tier(ARTICLE.model_copy(update={"weighted": True}), input={"r": 0.1, "r_weighted": 0.6})
    assert (row["tier"], row["r_input"]) == (1, 0.6)


def test_features_come_sorted_one_row_each():
    table = pl.concat([scored("b", input=CLEAR), scored("a"), scored("c", cross=CLEAR_CROSS)])
    found = route(table, CALIBRATED)
    assert found["feature"].to_list() == ["a", "b", "c"]
    assert found["tier"].to_list() == [3, 1, 2]


def test_no_features_have_no_tiers():
    assert route(scored().clear(), CALIBRATED).is_empty()


@pytest.mark.parametrize(("most_draws", "standing"), [(999, None), (19_999, 1)])
def test_few_clear_features_among_many_need_more_draws_to_stand_out(most_draws, standing):
    clear = CLEAR | {"shifted_p": 1 / (most_draws + 1)}
    features = [scored(f"clear{number}", input=clear) for number in range(2)]
    features += [scored(f"none{number}") for number in range(60)]
    table = route(pl.concat(features), Tiers(most_draws=most_draws)).filter(pl.col("feature").str.starts_with("clear"))
    assert set(table["tier"]) == {standing}
    assert all(("raise tiers.most_draws" in reason) == (standing is None) for reason in table["reason"])
