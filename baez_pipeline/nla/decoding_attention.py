"""Attention of new tokens to a prefix that all rows share and to the row's own slots.

The prompt up to the marker is the same in every row: its keys and values are held once, not once per row. transformers
hands the layers' queries, keys and values to `slot_attention` through its registry of attention functions; what else it
needs travels as keyword arguments of the layer. On a GPU a decoding step is one Triton kernel per layer.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface

ATTENTION_NAME = "baez_slots"
"""Under this name the registry of transformers knows `slot_attention`."""


def slot_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    prefix_keys: torch.Tensor,
    prefix_values: torch.Tensor,
    slot_keys: torch.Tensor,
    slot_values: torch.Tensor,
    lengths: torch.Tensor,
    admitted: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Store the new tokens' keys and values in their slots, and attend.

    Args:
        module: the layer's attention; unused.
        query: [rows, heads, new, head_dim].
        key: [rows, key heads, new, head_dim]; `value` alike.
        value: see `key`.
        attention_mask: unused; what is visible follows from the lengths.
        scaling: factor of the scores.
        prefix_keys: [key heads, prefix, head_dim]; `prefix_values` alike.
        prefix_values: see `prefix_keys`.
        slot_keys: [slots, key heads, capacity, head_dim]; `slot_values` alike. Written to.
        slot_values: see `slot_keys`.
        lengths: [slots], tokens of their own that the slots hold.
        admitted: the slots that the rows fill from their start; None when each slot gets one more token.

    Returns:
        [rows, new, heads, head_dim], and None for the weights, as transformers wants it.
    """
    if admitted is not None:
        new = key.shape[2]
        slot_keys[admitted, :, :new] = key
        slot_values[admitted, :, :new] = value
        visible = torch.ones(new, new, dtype=torch.bool, device=key.device).tril()
        return _attended(query, key, value, prefix_keys, prefix_values, visible, scaling), None
    tensors = (query, key, value, prefix_keys, prefix_values, slot_keys, slot_values, lengths)
    return (_step_on_gpu(*tensors, scaling) if query.is_cuda else step_attention(*tensors, scaling)), None


def step_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    prefix_keys: torch.Tensor,
    prefix_values: torch.Tensor,
    slot_keys: torch.Tensor,
    slot_values: torch.Tensor,
    lengths: torch.Tensor,
    scaling: float,
) -> torch.Tensor:
    """One more token per slot: stored at its length, then attended from. Shapes as in `slot_attention`."""
    slots = torch.arange(len(lengths), device=lengths.device)
    slot_keys[slots, :, lengths] = key[:, :, 0]
    slot_values[slots, :, lengths] = value[:, :, 0]
    longest = int(lengths.max()) + 1
    visible = (torch.arange(longest, device=lengths.device) <= lengths[:, None])[:, None]
    own = slot_keys[:, :, :longest], slot_values[:, :, :longest]
    return _attended(query, *own, prefix_keys, prefix_values, visible, scaling)


def _attended(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    prefix_keys: torch.Tensor,
    prefix_values: torch.Tensor,
    visible: torch.Tensor,
    scaling: float,
) -> torch.Tensor:
    """Softmax over prefix and own tokens together; `visible` [rows or none, new, own] says which own ones count."""
    rows, heads, new, head_dim = query.shape
    key_heads, prefix = prefix_keys.shape[:2]
    grouped = query.reshape(rows, key_heads, heads // key_heads * new, head_dim)
    shared = torch.einsum("rhqd,hpd->rhqp", grouped, prefix_keys)
    own = (grouped @ keys.transpose(-1, -2)).view(rows, key_heads, heads // key_heads, new, -1)
    own = own.masked_fill(~visible.view(-1, 1, 1, *visible.shape[-2:]), float("-inf"))
    scores = torch.cat([shared, own.flatten(2, 3)], dim=-1) * scaling
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    attended = torch.einsum("rhqp,hpd->rhqd", weights[..., :prefix], prefix_values) + weights[..., prefix:] @ values
    return attended.reshape(rows, heads, new, head_dim).transpose(1, 2)


# Opaque to the compiler, which would otherwise trace the kernel's launch; it is told what is written to.
@torch.library.custom_op("baez::slot_step", mutates_args=("slot_keys", "slot_values"))
def _step_on_gpu(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    prefix_keys: torch.Tensor,
    prefix_values: torch.Tensor,
    slot_keys: torch.Tensor,
    slot_values: torch.Tensor,
    lengths: torch.Tensor,
    scaling: float,
) -> torch.Tensor:
    from baez_pipeline.nla.decoding_kernel import launch_step

    return launch_step(query, key, value, prefix_keys, prefix_values, slot_keys, slot_values, lengths, scaling)


@_step_on_gpu.register_fake
def _(query: torch.Tensor, *_: object) -> torch.Tensor:
    rows, heads, new, head_dim = query.shape
    return query.new_empty(rows, new, heads, head_dim)


AttentionInterface.register(ATTENTION_NAME, slot_attention)
