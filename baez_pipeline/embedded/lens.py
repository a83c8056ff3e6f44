"""Logit lens: the tokens that a feature's direction makes more and less likely."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import LlamaForCausalLM


@torch.inference_mode()
def logit_lens(
    model: LlamaForCausalLM, directions: Tensor, *, count: int = 10
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """Largest and smallest entries of W_U (gamma * direction), gamma being the final norm's weight.

    The norm's division by the residual's size is left out: it scales all logits of a feature alike.

    Args:
        model: SmolLM2.
        directions: [features, d_model], unit norm.
        count: tokens at each end.

    Returns:
        token ids and logits of the largest, then of the smallest, each [features, count], most extreme first.
    """
    gamma = model.model.norm.weight.float()
    unembedding = model.lm_head.weight.float()
    parts: list[list[NDArray[np.generic]]] = [[], [], [], []]
    for chunk in directions.to(unembedding.device).float().split(256):
        logits = (chunk * gamma) @ unembedding.T
        high, low = logits.topk(count), logits.topk(count, largest=False)
        for part, tensor in zip(parts, (high.indices, high.values, low.indices, low.values), strict=True):
            part.append(tensor.cpu().numpy())
    top_ids, top, bottom_ids, bottom = (np.concatenate(part) for part in parts)
    return (
        top_ids.astype(np.int32),
        top.astype(np.float32),
        bottom_ids.astype(np.int32),
        bottom.astype(np.float32),
    )
