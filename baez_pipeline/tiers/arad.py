"""Input and output scores of Arad et al. (2025), which look at a feature's decoder row and the model's unembedding.

Source: "SAEs Are Good for Steering - If You Select the Right Features", EMNLP 2025, as the field guide
(evaluation-and-tiers, 7) has it from the authors' code. They are what our correlation scores are compared with.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

TOP = 20
"""Tokens of the logit lens that both scores look at."""
PROMPT = "From my experience,"
STRENGTH = 10.0
"""Times the largest activation: how much of the decoder row is added."""


class AradScores(NamedTuple):
    """Of one feature."""

    input: float | None
    """Share of examples whose peak token is in the top 20; None without examples."""
    output: float
    """(1 - lowest rank / vocabulary) * highest probability of the top 20, with the feature turned up."""


@torch.inference_mode()
def arad_scores(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    directions: Tensor,
    *,
    layer: int,
    largest: Sequence[float],
    peak_token_ids: Sequence[Sequence[int]],
) -> list[AradScores]:
    """The scores of features.

    Args:
        model: SmolLM2.
        tokenizer: its own.
        directions: [features, d_model], decoder rows.
        layer: the block whose output they are added to, at the prompt's last position.
        largest: each feature's largest activation.
        peak_token_ids: for each feature the token at the peak of each example.
    """
    lens = model.lm_head(model.model.norm(directions)).float()
    top = lens.topk(TOP, dim=-1).indices
    prompt = torch.tensor([tokenizer(PROMPT)["input_ids"]])
    found = []
    for place, direction in enumerate(directions):
        logits = _steered(model, prompt, layer, direction * STRENGTH * largest[place])
        ranks = logits.argsort(descending=True).argsort()[top[place]]
        probability = logits.softmax(-1)[top[place]].max()
        peaks, raised = peak_token_ids[place], set(top[place].tolist())
        found.append(
            AradScores(
                input=sum(token in raised for token in peaks) / len(peaks) if peaks else None,
                output=float((1 - ranks.min() / len(logits)) * probability),
            )
        )
    return found


def _steered(model: LlamaForCausalLM, prompt: Tensor, layer: int, added: Tensor) -> Tensor:
    """Logits of the token after the prompt, [vocabulary]."""

    def add(block: object, inputs: object, output: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        hidden = output[0] if isinstance(output, tuple) else output
        hidden[:, -1] += added
        return output

    hook = model.model.layers[layer].register_forward_hook(add)
    try:
        return model(prompt).logits[0, -1].float()
    finally:
        hook.remove()
