"""The decoding step's attention as one Triton kernel (GPU alone; `decoding_attention` has the same in plain torch).

A program takes one key head of a few slots: it stores their new keys and values, reads the shared prefix once for all
of them, then each slot's own tokens up to its length. Nothing past a slot's length is read, and the prefix is not
stored per row. The softmax is the running one of Flash Attention (Dao et al., 2022).
"""

# Triton's functions have no Python types, and the package is there only where a GPU is.
# mypy: disable-error-code="import-not-found, untyped-decorator, no-untyped-def"
# ruff: noqa: ANN001, ANN202

import torch
import triton
import triton.language as tl

_TILE = 32
"""Tokens read at a time."""
_PROGRAMS = 512
"""About four per multiprocessor of a large GPU: fewer slots per program when there would be less."""
_MOST_SLOTS = 8


@triton.jit
def _fold(query, keys, values, allowed, highest, total, mixed, scaling, precision: tl.constexpr):
    scores = tl.dot(query, tl.trans(keys), input_precision=precision) * scaling
    scores = tl.where(allowed, scores, float("-inf"))
    higher = tl.maximum(highest, tl.max(scores, 1))
    weights = tl.exp(scores - higher[:, None])
    shrink = tl.exp(highest - higher)
    total = total * shrink + tl.sum(weights, 1)
    mixed = mixed * shrink[:, None] + tl.dot(weights.to(values.dtype), values, input_precision=precision)
    return higher, total, mixed


@triton.jit
def _step_kernel(
    out, query, key, value, prefix_keys, prefix_values, slot_keys, slot_values, lengths,
    query_row, query_head, key_row, key_head, value_row, value_head,
    rows, prefix, capacity, scaling,
    KEY_HEADS: tl.constexpr, GROUP: tl.constexpr, DIM: tl.constexpr, DIM_BLOCK: tl.constexpr,
    SLOTS: tl.constexpr, LANES: tl.constexpr, TILE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    first, head = tl.program_id(0) * SLOTS, tl.program_id(1)
    lane, dim, place = tl.arange(0, LANES), tl.arange(0, DIM_BLOCK), tl.arange(0, TILE)
    # A lane is one query head of one slot; spare lanes fill the matrix unit's smallest tile.
    slot = lane // GROUP
    row = first + slot
    live = (slot < SLOTS) & (row < rows)
    row_head = head * GROUP + lane % GROUP
    in_dim = dim[None, :] < DIM
    live_dim = live[:, None] & in_dim
    length = tl.load(lengths + row, mask=live, other=0).to(tl.int32)
    row_long = row.to(tl.int64)

    q = tl.load(query + row_long[:, None] * query_row + row_head[:, None] * query_head + dim[None, :], live_dim, 0.0)
    new_key = tl.load(key + row_long[:, None] * key_row + head * key_head + dim[None, :], live_dim, 0.0)
    new_value = tl.load(value + row_long[:, None] * value_row + head * value_head + dim[None, :], live_dim, 0.0)
    stored = ((row_long * KEY_HEADS + head) * capacity + length)[:, None] * DIM + dim[None, :]
    once = live_dim & (lane % GROUP == 0)[:, None]
    tl.store(slot_keys + stored, new_key, once)
    tl.store(slot_values + stored, new_value, once)

    # The new token starts the softmax, so no row is ever without a token.
    highest = tl.sum(q.to(tl.float32) * new_key.to(tl.float32), 1) * scaling
    total = tl.full([LANES], 1.0, tl.float32)
    mixed = new_value.to(tl.float32)

    for start in range(0, prefix, TILE):
        token = start + place
        there = head * prefix * DIM + token[:, None] * DIM + dim[None, :]
        inside = (token < prefix)[:, None] & in_dim
        keys = tl.load(prefix_keys + there, inside, 0.0)
        values = tl.load(prefix_values + there, inside, 0.0)
        highest, total, mixed = _fold(
            q, keys, values, (token < prefix)[None, :], highest, total, mixed, scaling, PRECISION
        )

    tiles = tl.cdiv(tl.max(length, 0), TILE)
    for turn in range(0, SLOTS * tiles):
        now = turn // tiles
        token = turn % tiles * TILE + place
        held = tl.max(tl.where(slot == now, length, 0), 0)
        there = (((first + now).to(tl.int64) * KEY_HEADS + head) * capacity + token[:, None]) * DIM + dim[None, :]
        inside = (token < held)[:, None] & in_dim
        keys = tl.load(slot_keys + there, inside, 0.0)
        values = tl.load(slot_values + there, inside, 0.0)
        allowed = (slot == now)[:, None] & (token < held)[None, :]
        highest, total, mixed = _fold(q, keys, values, allowed, highest, total, mixed, scaling, PRECISION)

    target = (row_long[:, None] * KEY_HEADS * GROUP + row_head[:, None]) * DIM + dim[None, :]
    tl.store(out + target, (mixed / total[:, None]).to(out.dtype.element_ty), live_dim)


def launch_step(
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
    """Store and attend; shapes as in `decoding_attention.slot_attention`, prefix and slots contiguous."""
    rows, heads, _, head_dim = query.shape
    key_heads, prefix = prefix_keys.shape[:2]
    query, key, value = (part if part.stride(-1) == 1 else part.contiguous() for part in (query, key, value))
    out = query.new_empty(rows, 1, heads, head_dim)
    group = heads // key_heads
    slots = max(1, min(_MOST_SLOTS, triton.next_power_of_2(rows * key_heads // _PROGRAMS)))
    # Triton launches on the current device, which is not the layer's own where a model is spread over several.
    with torch.cuda.device(query.device):
        _step_kernel[triton.cdiv(rows, slots), key_heads](
            out, query, key, value, prefix_keys, prefix_values, slot_keys, slot_values, lengths,
            query.stride(0), query.stride(1), key.stride(0), key.stride(1), value.stride(0), value.stride(1),
            rows, prefix, slot_keys.shape[2], scaling,
            KEY_HEADS=key_heads, GROUP=group, DIM=head_dim, DIM_BLOCK=triton.next_power_of_2(head_dim),
            SLOTS=slots, LANES=max(16, triton.next_power_of_2(slots * group)), TILE=_TILE,
            PRECISION="ieee" if query.dtype == torch.float32 else "tf32", num_warps=4, num_stages=3,
        )  # fmt: skip
    return out
