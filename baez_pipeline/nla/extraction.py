"""Reading activations of the subject model.

Ids go in, never text that would be tokenised again (design, decision 8). "Layer K" is the output of block K, which
transformers calls `hidden_states[K + 1]` (field guide, trap 4).
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from baez_pipeline.llm.blocks import body_up_to

BATCH_TOKENS = 1
"""Padded tokens per forward pass: one context at a time, so that no digit of a row depends on what else is read. That
costs a processor half as much again to twice as much as batches of 2,048 (measured), seconds in all."""
BATCH_TOKENS_ON_GPU = 16_384
"""Matrix products of a large model are at their full rate long before; its MLP then holds 2 GB at a time."""
WORTH_A_LINE = 256
"""Contexts from which on it is said how long reading them took."""

logger = logging.getLogger(__name__)


class SubjectModel:
    """The first K + 1 blocks of a causal language model; later blocks, final norm and head are not run."""

    def __init__(self, body: nn.Module, *, layer: int) -> None:
        """Take the blocks up to `layer` of a decoder without head (`model.model`), sharing its weights."""
        # A decoder that was loaded up to the layer is used as it is: a copy would call the original through the hooks
        # that accelerate puts into a model on several GPUs.
        self._body = body if _ends_at(body, layer) else body_up_to(body, layer)
        self._device = next(self._body.parameters()).device
        self._batch_tokens = BATCH_TOKENS_ON_GPU if self._device.type == "cuda" else BATCH_TOKENS

    @classmethod
    def open(cls, folder: Path, *, layer: int) -> "SubjectModel":
        """Load the blocks up to `layer` of the model in a folder, on a GPU where there is one.

        Raises:
            SidecarError: the model has fewer blocks, or its folder cannot be read.
        """
        from baez_pipeline.nla.loading import load_blocks

        return cls(load_blocks(folder, layer=layer), layer=layer)

    @torch.inference_mode()
    def activations_at(self, contexts: Sequence[Sequence[int]], positions: Sequence[int]) -> NDArray[np.float32]:
        """The last block's output at one position of each context.

        On a GPU contexts are padded on the right and sorted by length, so a batch does not change a row but for float
        noise; on a processor they are read one by one.
        A batch that does not fit the GPU's memory is halved, and so are those after it.

        Args:
            contexts: token ids, each with its BOS where the model expects one.
            positions: one per context.

        Returns:
            (n, d_model), fp32, raw (neither scaled nor normalised).

        Raises:
            torch.OutOfMemoryError: a single context does not fit.
        """
        # What follows the position cannot influence it in a causal model.
        cut = [list(context[: position + 1]) for context, position in zip(contexts, positions, strict=True)]
        waiting = sorted(range(len(cut)), key=lambda i: (len(cut[i]), i))
        vectors: dict[int, NDArray[np.float32]] = {}
        begun = time.monotonic()
        while waiting:
            batch = self._first_batch(waiting, cut)
            states = self._last_states([cut[i] for i in batch])
            if states is None:
                self._batch_tokens = len(batch) * len(cut[batch[-1]]) // 2
                logger.info("out of memory: %d tokens at once from now on", self._batch_tokens)
                continue
            vectors.update(zip(batch, states, strict=True))
            del waiting[: len(batch)]
        if len(cut) >= WORTH_A_LINE:
            seconds, tokens = time.monotonic() - begun, sum(map(len, cut))
            logger.info("read %d activations in %.1f s, %.0f tokens/s", len(cut), seconds, tokens / seconds)
        return np.stack([vectors[i] for i in range(len(cut))]) if cut else np.zeros((0, 0), np.float32)

    def _first_batch(self, waiting: Sequence[int], contexts: Sequence[Sequence[int]]) -> list[int]:
        """As many of those waiting, shortest first, as fit when padded; at least one."""
        size = 1
        while size < len(waiting) and len(contexts[waiting[size]]) * (size + 1) <= self._batch_tokens:
            size += 1
        return list(waiting[:size])

    def _last_states(self, contexts: Sequence[Sequence[int]]) -> NDArray[np.float32] | None:
        """The state at the end of each context; None where several do not fit the memory together."""
        ends = torch.tensor([len(context) - 1 for context in contexts])
        ids = torch.zeros((len(contexts), int(ends.max()) + 1), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, context in enumerate(contexts):
            ids[row, : len(context)] = torch.tensor(context)
            mask[row, : len(context)] = 1
        try:
            hidden = self._body(
                input_ids=ids.to(self._device), attention_mask=mask.to(self._device), use_cache=False
            ).last_hidden_state
        except torch.OutOfMemoryError:
            if len(contexts) == 1:
                raise
            return None
        # Chosen on the device: the host never holds the other positions.
        rows = torch.arange(len(contexts), device=hidden.device)
        return hidden[rows, ends.to(hidden.device)].float().cpu().numpy()


def _ends_at(body: nn.Module, layer: int) -> bool:
    return len(body.layers) == layer + 1 and isinstance(body.norm, nn.Identity)  # type: ignore[arg-type]
