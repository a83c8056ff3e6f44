"""The affine map of an activation before it is injected.

SmolLM2's activations share a large mean and differ in few large directions. The map starts as a ridge regression onto
embeddings of the text near the position, which the model can read as tokens, plus the whitened activation, which
keeps everything else. It is trained with the adapter.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

VECTOR_MAP_FILE = "vector_map.safetensors"
_RIDGE = 1e-2
_WHITENED_SHARE = 0.5


class VectorMap(nn.Module):
    """v -> weight @ v + bias, then scaled to a norm."""

    def __init__(self, weight: Tensor, bias: Tensor, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.float())
        self.bias = nn.Parameter(bias.float())
        self.scale = scale

    def forward(self, vectors: Tensor) -> Tensor:
        """Float32 [n, d_model] in the subject's units to rows of the prompt, in float32 whatever surrounds it."""
        with torch.autocast(vectors.device.type, enabled=False):
            mapped = F.linear(vectors.float(), self.weight, self.bias)
            return self.scale * F.normalize(mapped, dim=-1)

    def save(self, folder: Path) -> None:
        """Write it as float16."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"weight": self.weight, "bias": self.bias}
        save_file(
            {name: tensor.detach().half().cpu().contiguous() for name, tensor in tensors.items()},
            folder / VECTOR_MAP_FILE,
        )


@torch.no_grad()
def starting_map(vectors: Tensor, embedded: Tensor, *, scale: float) -> VectorMap:
    """The map that training starts from.

    Args:
        vectors: activations [n, d_model].
        embedded: what to regress on them, [n, d_model].
        scale: norm of the mapped vectors.
    """
    mean = vectors.double().mean(0)
    centred = vectors.double() - mean
    covariance = centred.T @ centred / len(vectors)
    values, directions = torch.linalg.eigh(covariance)
    # The floor keeps the smallest directions, which are noise, from being raised to the size of the others.
    values = values.clamp(min=0) + _RIDGE * values.median()
    whitening = directions @ torch.diag(values.rsqrt()) @ directions.T
    targets = embedded.double() - embedded.double().mean(0)
    ridge = (directions @ torch.diag(1 / values) @ directions.T @ (centred.T @ targets / len(vectors))).T
    weight = _unit_rows(ridge, centred) + _WHITENED_SHARE * _unit_rows(whitening, centred)
    return VectorMap(weight, -weight @ mean, scale)


def _unit_rows(weight: Tensor, centred: Tensor) -> Tensor:
    """The map scaled so that what it gives has components of mean square 1."""
    return weight / (centred[:20_000] @ weight.T).square().mean().sqrt()
