import pytest

from baez_pipeline.tiers.companions import agreement, next_tokens, peak_tokens
from baez_pipeline.tiers.windows import Context


def contexts(*peaks):
    tokens = ["<bos>", " The", " bridge", "<end_of_turn>", " of", "\n"]
    return [Context(tokens, peak, 1.0, None) for peak in peaks]


def test_the_tokens_at_the_peaks_and_after_them_leave_out_special_ones():
    assert peak_tokens(contexts(0, 1, 2, 5)) == [" The", " bridge", "\n"]
    assert next_tokens(contexts(0, 1, 2, 5)) == [" bridge", " of"]


def test_agreement_is_the_share_of_the_commonest_token_blanks_and_capitals_aside():
    found = agreement([" river", " River", "▁river", " lake"], None)
    assert (found.token, found.agreement, found.logit_overlap) == (" river", 0.75, None)


@pytest.mark.parametrize(
    ("tokens", "entropy"), [(["a"] * 4, 0.0), (["a", "b", "c", "d"], 1.0), (["a", "a", "b", "b"], 0.5), (["a"], None)]
)
def test_entropy_is_over_the_largest_that_so_many_tokens_can_have(tokens, entropy):
    assert agreement(tokens, None).entropy == pytest.approx(entropy)


def test_the_overlap_is_the_share_of_tokens_that_the_feature_makes_likelier():
    assert agreement([" than", " then", " THAN", "\n"], [" than", "\n", "x"]).logit_overlap == 0.75


def test_without_tokens_nothing_is_said():
    assert agreement([], ["a"]) == (None, None, None, None)
