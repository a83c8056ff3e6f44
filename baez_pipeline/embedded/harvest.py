"""Activations of the subject model at one block, for windows of token ids."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import LlamaForCausalLM

from baez_pipeline.llm.blocks import body_up_to
from baez_pipeline.progress import tracked


@torch.inference_mode()
def harvest(
    model: LlamaForCausalLM,
    token_ids: NDArray[np.uint16],
    *,
    block: int,
    batch_windows: int = 32,
) -> Tensor:
    """Residual stream after `block` at every position but the first.

    Position 0 is left out: it always holds the same token and its norm is 20,500 where the others have 180 to 300.

    Args:
        model: SmolLM2, on any device.
        token_ids: [windows, 128].
        block: counted from 0.
        batch_windows: windows per forward pass.

    Returns:
        float32 [windows, 127, d_model] on the model's device.
    """
    body = body_up_to(model.model, block)
    windows, length = token_ids.shape
    out = torch.empty(windows, length - 1, model.config.hidden_size, device=model.device)
    starts = range(0, windows, batch_windows)
    for start in tracked(starts, f"activations of block {block}", units_each=batch_windows * length, unit="tokens"):
        batch = torch.from_numpy(token_ids[start : start + batch_windows].astype(np.int64)).to(model.device)
        hidden = body(input_ids=batch, use_cache=False).last_hidden_state
        out[start : start + batch_windows] = hidden[:, 1:].float()
    return out
