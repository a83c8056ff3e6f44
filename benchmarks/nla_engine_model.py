"""What `nla_engine` measures: a verbalizer's shape with random weights, the machine's ceilings, and clocks."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, PreTrainedModel

from baez_pipeline.nla.generation import Prompt

LENGTH, MARKER, NEW_TOKENS = 108, 93, 130
"""Tokens of the released Gemma pair's prompt, the marker's place in it, and what a usual explanation takes."""


@dataclass(frozen=True)
class Shape:
    """A model's sizes, and what is measured with it."""

    sizes: dict[str, int]
    dtype: torch.dtype
    batches: Sequence[int]
    more_batches: Sequence[int]
    """Tried after `batches`, until memory ends."""
    plain_batches: Sequence[int]
    stream: int
    """Slots of the stream."""
    truncated: int
    """Blocks that extraction needs."""
    contexts: Sequence[int]
    """Contexts of 512 tokens per forward pass of the extraction."""
    copied: int
    """Bytes per copy, for the bandwidth."""
    square: int
    """Side of the matrices, for the rate."""


SHAPES = {
    "gemma3-27b": Shape(
        sizes={
            "num_hidden_layers": 62,
            "hidden_size": 5376,
            "intermediate_size": 21504,
            "num_attention_heads": 32,
            "num_key_value_heads": 16,
            "head_dim": 128,
            "query_pre_attn_scalar": 168,
            "vocab_size": 262208,
            "sliding_window": 1024,
        },
        dtype=torch.bfloat16,
        batches=(1, 16, 64, 256),
        more_batches=(384, 512, 768, 1024),
        plain_batches=(1, 12),
        stream=512,
        truncated=42,
        contexts=(4, 16),
        copied=2**32,
        square=8192,
    ),
    "small": Shape(
        sizes={
            "num_hidden_layers": 6,
            "hidden_size": 384,
            "intermediate_size": 1536,
            "num_attention_heads": 6,
            "num_key_value_heads": 3,
            "head_dim": 64,
            "query_pre_attn_scalar": 64,
            "vocab_size": 16384,
            "sliding_window": 1024,
        },
        dtype=torch.float32,
        batches=(1, 4, 16),
        more_batches=(),
        plain_batches=(1, 12),
        stream=8,
        truncated=4,
        contexts=(2,),
        copied=2**28,
        square=1024,
    ),
}
# One character per token, never a closing tag; no end-of-text id either: every row takes all its tokens.
ENDLESS = SimpleNamespace(decode=lambda ids, **_: "x" * len(ids), eos_token_id=None)


def random_model(shape: Shape, device: str) -> PreTrainedModel:
    """The shape with random weights, made where it runs."""
    config = Gemma3TextConfig(**shape.sizes, tie_word_embeddings=True)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=shape.dtype).eval()
    model.generation_config.eos_token_id = None
    return model


def random_prompt(model: PreTrainedModel) -> Prompt:
    """As long as the released pair's."""
    ids = torch.randint(10, 10_000, (LENGTH,), device=model.device)
    with torch.inference_mode():
        return Prompt(embeddings=model.get_input_embeddings()(ids), site=MARKER)


def random_vectors(prompt: Prompt, count: int) -> torch.Tensor:
    """As long as the prompt's other rows."""
    rows = torch.randn(count, prompt.embeddings.shape[1], device=prompt.embeddings.device)
    return rows * (prompt.embeddings.float().norm(dim=1).mean() / rows.norm(dim=1, keepdim=True))


def seconds(call: Callable[[], object], *, warm: int = 1, times: int = 1) -> float:
    """Of one call, the mean of `times`, after `warm` untimed ones."""
    for _ in range(warm):
        call()
    synchronize()
    start = time.perf_counter()
    for _ in range(times):
        call()
    synchronize()
    return (time.perf_counter() - start) / times


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def bandwidth(shape: Shape, device: str) -> float:
    """Bytes read and written per second, by a large copy."""
    source = torch.randn(shape.copied // 4, device=device)
    target = torch.empty_like(source)
    return 2 * shape.copied / seconds(lambda: target.copy_(source), warm=3, times=10)


def matrix_rate(shape: Shape, device: str) -> float:
    """Operations per second of a large square product of random matrices."""
    left, right = (torch.randn(shape.square, shape.square, device=device).to(shape.dtype) for _ in range(2))
    return 2 * shape.square**3 / seconds(lambda: left @ right, warm=3, times=20)
