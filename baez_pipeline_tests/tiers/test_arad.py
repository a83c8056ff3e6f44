import pytest
import torch

from baez_pipeline.tiers.arad import PROMPT, TOP, arad_scores


def scores(smollm2, direction, *, largest=1.0, peaks=()):
    model, tokenizer = smollm2
    (found,) = arad_scores(model, tokenizer, direction[None], layer=20, largest=[largest], peak_token_ids=[list(peaks)])
    return found


def top_tokens(smollm2, direction):
    model, _ = smollm2
    with torch.inference_mode():
        return model.lm_head(model.model.norm(direction[None])).topk(TOP).indices[0].tolist()


@pytest.fixture(scope="module")
def direction():
    return torch.nn.functional.normalize(torch.randn(576, generator=torch.Generator().manual_seed(0)), dim=0)


def test_the_input_score_is_the_share_of_peaks_on_a_token_that_the_feature_makes_likelier(smollm2, direction):
    top = top_tokens(smollm2, direction)
    other = next(token for token in range(1000) if token not in top)
    assert scores(smollm2, direction, peaks=[top[0], top[19], other, other]).input == 0.5
    assert scores(smollm2, direction).input is None


def test_without_strength_the_output_score_is_the_models_own_answer(smollm2, direction):
    model, tokenizer = smollm2
    top = top_tokens(smollm2, direction)
    with torch.inference_mode():
        chances = model(torch.tensor([tokenizer(PROMPT)["input_ids"]])).logits[0, -1].softmax(-1)
    rank = min(int((chances > chances[token]).sum()) for token in top)
    expected = (1 - rank / len(chances)) * max(float(chances[token]) for token in top)
    assert scores(smollm2, direction, largest=0.0).output == pytest.approx(expected, rel=1e-3)


def test_a_tokens_own_direction_turned_up_makes_it_likelier(smollm2):
    model, tokenizer = smollm2
    (token,) = tokenizer(" river")["input_ids"]
    direction = torch.nn.functional.normalize(model.lm_head.weight[token].detach().float(), dim=0)
    off, on = (scores(smollm2, direction, largest=largest).output for largest in (0.0, 100.0))
    assert on > 10 * off


def test_the_model_is_left_as_it_was(smollm2, direction):
    before = scores(smollm2, direction, largest=0.0)
    scores(smollm2, direction, largest=50.0)
    assert scores(smollm2, direction, largest=0.0) == before
