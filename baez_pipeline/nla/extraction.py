"""Reading activations of the subject model.

Ids go in, never text that would be tokenised again (design, decision 8). "Layer K" is the output of block K, which
transformers calls `hidden_states[K + 1]` (field guide, trap 4).
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from baez_pipeline.llm.blocks import body_up_to

BATCH_TOKENS = 2048
"""Padded tokens per forward pass: 16 contexts of 128, where two cores are busy (measured; larger gains nothing)."""


class SubjectModel:
    """The first K + 1 blocks of a causal language model; later blocks, final norm and head are not run."""

    def __init__(self, body: nn.Module, *, layer: int) -> None:
        """Take the blocks up to `layer` of a decoder without head (`model.model`), sharing its weights."""
        self._body = body_up_to(body, layer)

    @torch.inference_mode()
    def activations_at(self, contexts: Sequence[Sequence[int]], positions: Sequence[int]) -> NDArray[np.float32]:
        """The block's output at one position of each context.

        Contexts are padded on the right and sorted by length, so a batch does not change a row but for float noise.

        Args:
            contexts: token ids, each with its BOS where the model expects one.
            positions: one per context.

        Returns:
            (n, d_model), fp32, raw (neither scaled nor normalised).
        """
        vectors: list[NDArray[np.float32] | None] = [None] * len(contexts)
        # What follows the position cannot influence it in a causal model.
        cut = [list(context[: position + 1]) for context, position in zip(contexts, positions, strict=True)]
        for batch in _batches([len(context) for context in cut]):
            longest = max(len(cut[i]) for i in batch)
            ids = torch.zeros((len(batch), longest), dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, i in enumerate(batch):
                ids[row, : len(cut[i])] = torch.tensor(cut[i])
                mask[row, : len(cut[i])] = 1
            device = next(self._body.parameters()).device
            hidden = self._body(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)[0]
            for row, i in enumerate(batch):
                vectors[i] = hidden[row, len(cut[i]) - 1].float().cpu().numpy()
        return (
            np.stack([vector for vector in vectors if vector is not None]) if vectors else np.zeros((0, 0), np.float32)
        )


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    batches: list[list[int]] = []
    for i in order:
        if batches and lengths[i] * (len(batches[-1]) + 1) <= BATCH_TOKENS:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches
