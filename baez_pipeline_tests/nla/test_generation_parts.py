"""Where a text ends, and how a token is drawn."""

import pytest
import torch

from baez_pipeline.nla.sampling import drawn_ids, gumbel_noise, row_key
from baez_pipeline.nla.stopping import Stopping

CLOSING = "</explanation>"


@pytest.fixture(scope="module")
def tokenizer(smollm2):
    return smollm2[1]


def stopping(tokenizer, *, eos_ids=(), most=100):
    return Stopping(tokenizer, CLOSING, eos_ids, most)


def tokenised(tokenizer, *pieces):
    """The ids of each piece by itself: ways of tokenising one text."""
    return [token for piece in pieces for token in tokenizer(piece, add_special_tokens=False)["input_ids"]]


@pytest.mark.parametrize(
    "pieces",
    [[CLOSING], list(CLOSING), ["</", "explanation", ">"], ["</explan", "ation>"], ["></", "explanation", ">,"]],
)
def test_a_closing_tag_ends_the_text_however_it_is_tokenised(tokenizer, pieces):
    before = tokenised(tokenizer, "A line > of text <explanation> and more")
    tag = tokenised(tokenizer, *pieces)
    ids = before + tag + tokenised(tokenizer, " and what nobody asked for")
    length = len(before) + len(tag)
    assert stopping(tokenizer).end(ids, 0) == (length, "closing tag")
    # One token at a time, as a step brings them: the same end, and not before.
    found = [stopping(tokenizer).end(ids[:seen], seen - 1) for seen in range(1, length + 1)]
    assert found == [None] * (length - 1) + [(length, "closing tag")]


def test_words_beside_the_tag_do_not_end_the_text(tokenizer):
    ids = tokenised(tokenizer, "<explanation> a > b </ explanation> </explanations> <explanation/>")
    assert stopping(tokenizer).end(ids, 0) is None


def test_an_end_of_text_id_ends_before_itself_and_a_later_tag(tokenizer):
    ids = [5, 6, 2, *tokenised(tokenizer, CLOSING)]
    assert stopping(tokenizer, eos_ids=[2, 3]).end(ids, 0) == (2, "eos")


def test_the_tag_at_the_last_token_is_a_closing_tag_not_a_cut_text(tokenizer):
    tag = tokenised(tokenizer, CLOSING)
    assert stopping(tokenizer, most=len(tag)).end(tag, 0) == (len(tag), "closing tag")
    assert stopping(tokenizer, most=len(tag) - 1).end(tag[:-1], 0) == (len(tag) - 1, "length")


def test_draws_follow_the_softmax_at_the_temperature():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -3.0])
    count = 10_000
    keys = torch.tensor([row_key(seed) for seed in range(count)])
    for temperature in (0.5, 1.0, 2.0):
        drawn = drawn_ids(logits.expand(count, -1), keys, torch.zeros(count, dtype=torch.long), temperature)
        shares = torch.bincount(drawn, minlength=5) / count
        expected = (logits / temperature).softmax(0)
        # Four standard errors of a share.
        assert ((shares - expected).abs() < 4 * (expected * (1 - expected) / count).sqrt() + 1e-4).all()


def test_a_rows_draws_at_each_step_are_new():
    keys = torch.full((20_000,), row_key(3))
    noise = gumbel_noise(keys, torch.arange(20_000), 7)
    assert torch.isfinite(noise).all()
    assert len(noise.unique()) > 0.99 * noise.numel()
    assert float(noise.mean()) == pytest.approx(0.5772, abs=0.02)
    assert abs(float(torch.corrcoef(torch.stack([noise[:-1, 0], noise[1:, 0]]))[0, 1])) < 0.03
    assert abs(float(torch.corrcoef(noise.T)[0, 1])) < 0.03


def test_seeds_that_differ_in_any_bit_have_different_keys():
    seeds = [0, *(1 << bit for bit in range(63)), 2**63 - 1]
    assert len({row_key(seed) for seed in seeds}) == len(seeds)
