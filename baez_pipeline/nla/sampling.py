"""Drawing the next token, so that the draw depends on the row's seed and step alone.

A draw is the largest of logit / temperature + Gumbel noise, which follows the softmax at that temperature. The noise is
a hash of (seed, step, token), not a generator's state: the rows of a batch cannot touch each other, and the same
integers come out on the CPU and on a GPU.
"""

import torch

_WORD = 0xFFFFFFFF


def row_key(seed: int) -> int:
    """The seed's 32-bit key: its low and high words mixed."""
    mixed = _mixed(torch.tensor([seed & _WORD, seed >> 32 & _WORD]))
    return int(_mixed(mixed[0] ^ mixed[1] * 5 & _WORD))


def drawn_ids(
    logits: torch.Tensor, keys: torch.Tensor, steps: torch.Tensor, temperature: torch.Tensor | float
) -> torch.Tensor:
    """One id per row.

    Args:
        logits: [rows, vocabulary], any floating type.
        keys: [rows] int64, each row's `row_key`.
        steps: [rows] int64, tokens that the row has so far.
        temperature: above 0; 1 draws from the softmax itself.
    """
    return (logits.float() / temperature + gumbel_noise(keys, steps, logits.shape[-1])).argmax(dim=-1)


def gumbel_noise(keys: torch.Tensor, steps: torch.Tensor, size: int) -> torch.Tensor:
    """Standard Gumbel noise [rows, size], fp32, made from (key, step, place) of each entry."""
    draws = _mixed(keys ^ _mixed(steps + 1))
    words = _mixed(draws[:, None] ^ _mixed(torch.arange(1, size + 1, device=keys.device)))
    uniform = (words.float() + 0.5) / 2**32
    # The noise's upper tail lies where `uniform` is near zero, where fp32 is finest; at 1 it is -inf: never drawn.
    return -torch.log(-torch.log1p(-uniform))


def _mixed(words: torch.Tensor) -> torch.Tensor:
    """A bijective mix of 32-bit words held in int64 (constants: github.com/skeeto/hash-prospector).

    Both constants are under 2**31, so no product leaves int64.
    """
    words = (words ^ words >> 16) * 0x21F0AAAD & _WORD
    words = (words ^ words >> 15) * 0x735A2D97 & _WORD
    return words ^ words >> 15
