import pytest

from baez_pipeline.reports import wording


@pytest.mark.parametrize(
    ("value", "plain", "signed"),
    [(0.5, "0.50", "+0.500"), (-0.126, "−0.13", "−0.126"), (-0.0001, "0.00", "0.000"), (0.0, "0.00", "0.000")],
)
def test_numbers_have_true_minus_signs_and_zero_has_none(value, plain, signed):
    assert wording.plain_number(value) == plain
    assert wording.signed_number(value) == signed


def test_what_is_missing_is_a_dash():
    assert {wording.plain_number(None), wording.signed_number(None), wording.percent(None)} == {"–"}
    assert wording.p_value(None) == wording.conclusion(None) == "–"
    assert wording.signed_interval(None, None) == "–"


@pytest.mark.parametrize(("share", "text"), [(0, "0 %"), (0.042, "4.2 %"), (0.0999, "10 %"), (1, "100 %")])
def test_shares_are_in_percent(share, text):
    assert wording.percent(share) == text


@pytest.mark.parametrize(("value", "text"), [(9.247, "9.25"), (10.0, "10"), (1234.6, "1235"), (0.0123, "0.0123")])
def test_activations_have_three_digits(value, text):
    assert wording.activation(value) == text


def test_counts_and_lists_are_english():
    assert wording.counted(1, "feature") == "1 feature"
    assert wording.counted(1200, "feature") == "1,200 features"
    assert wording.counted_range([12, 11, 12], "feature") == "11 to 12 features"
    assert wording.counted_range([], "feature") == "0 features"
    assert wording.listed(["a", "b", "c"]) == "a, b and c"
    assert wording.listed([]) == ""


def test_more_methods_than_colours_repeat_them():
    colours = wording.method_colours([f"m{place}" for place in range(8)])
    assert colours["m0"] == colours["m6"]


@pytest.mark.parametrize(("value", "text"), [(0.0004, "< 0.001"), (0.0123, "0.012"), (0.5, "0.50"), (1.0, "1.00")])
def test_a_p_value_is_never_zero(value, text):
    assert wording.p_value(value) == text


def test_small_shares_of_tokens_keep_two_digits():
    assert wording.share_of_tokens(0.00031) == "0.031 %"
    assert wording.share_of_tokens(0.25) == "25 %"


def test_conclusions_are_words():
    assert wording.conclusion("too_few") == "too few features"
    assert wording.conclusion("different") == "different"
