"""What a verbalizer is given in place of its marker's embedding.

A vector in fp32, first through the sidecar's linear map where it has one, then at the sidecar's norm.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from baez_pipeline.errors import SidecarError
from baez_pipeline.nla.sidecar import Sidecar

LEAST_NORM = 1e-12
"""Under this norm a vector is left as it is: zero stays zero (released client; field guide, section 3)."""


@dataclass(frozen=True)
class VectorMap:
    """v -> weight @ v + bias, which may take away what all activations of a model have in common."""

    weight: torch.Tensor
    """(d_model, d_model), fp32."""
    bias: torch.Tensor
    """(d_model,), fp32."""

    def __call__(self, vectors: torch.Tensor) -> torch.Tensor:
        """The mapped vectors (n, d_model)."""
        return vectors @ self.weight.T + self.bias


def read_vector_map(folder: Path, sidecar: Sidecar) -> VectorMap | None:
    """The map that a sidecar names, from beside it; None if it names none.

    Raises:
        SidecarError: the file is missing or of another shape.
    """
    if sidecar.extraction.vector_map is None:
        return None
    path = folder / sidecar.extraction.vector_map
    try:
        stored = load_file(path)
        weight, bias = stored["weight"].float(), stored["bias"].float()
    except (OSError, KeyError, SafetensorError) as error:
        raise SidecarError(f"{path} is not a vector map ({error}): the sidecar beside it names it.") from error
    width = sidecar.d_model
    if tuple(weight.shape) != (width, width) or tuple(bias.shape) != (width,):
        raise SidecarError(
            f"{path} maps with a weight of shape {tuple(weight.shape)} and a bias of shape {tuple(bias.shape)}; "
            f"the sidecar is for d_model {width}."
        )
    return VectorMap(weight=weight, bias=bias)


def at_scale(vectors: NDArray[np.float32], sidecar: Sidecar, vector_map: VectorMap | None = None) -> torch.Tensor:
    """Rows to inject for raw activations (n, d_model), fp32, each at the sidecar's norm but for zeros.

    Raises:
        SidecarError: the activations are of another width than the pair's.
    """
    if vectors.shape[1] != sidecar.d_model:
        raise SidecarError(
            f"The verbalizer's sidecar is for activations of width {sidecar.d_model}, those of the subject model are "
            f"{vectors.shape[1]} wide: the pair was made for another model (nla.subject)."
        )
    given = torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
    given = vector_map(given) if vector_map else given
    norms = given.norm(dim=-1, keepdim=True)
    scale = sidecar.extraction.injection_scale
    return torch.where(norms > LEAST_NORM, given * (scale / norms.clamp_min(LEAST_NORM)), given)
