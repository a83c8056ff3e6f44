"""The neighbour bank: activations of known texts, small enough to ship, searched by cosine.

A vector is stored as follows: the mean of the bank is removed, the rest is scaled to length 1, projected on the
leading principal directions, and rounded to int8 with one scale per vector. The dot product of two unit vectors
so projected estimates their cosine; lengths are not restored, since what the projection loses must count as
unlike, not be scaled away.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from baez_pipeline.embedded import DATA
from baez_pipeline.errors import SourceError

BANK_FILE = "neighbour_bank.safetensors"
FIRST_POSITION = 8
"""Earlier positions of a window have too little context behind them to be worth describing."""


@dataclass(frozen=True)
class NeighbourBank:
    """Stored activations, and where in which window each was seen."""

    mean: Tensor
    """float32 [d_model]."""
    components: Tensor
    """float32 [dimensions, d_model], orthonormal rows, most variance first."""
    vectors: Tensor
    """int8 [vectors, dimensions]."""
    scales: Tensor
    """float32 [vectors]; `vectors * scales` is the projected unit vector."""
    window: Tensor
    """int32 [vectors]; row of `neighbour_bank_windows.parquet`."""
    position: Tensor
    """int32 [vectors]; 8 to 127."""

    def project(self, activations: Tensor) -> Tensor:
        """Activations [n, d_model] in the model's units as projected unit vectors, float32 [n, dimensions]."""
        centred = F.normalize(activations.float() - self.mean, dim=-1)
        return centred @ self.components.T

    def restored(self) -> Tensor:
        """The stored vectors as float32 [vectors, dimensions], comparable with `project`."""
        return self.vectors.float() * self.scales[:, None]

    def search(self, activations: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Nearest stored vectors of each activation.

        Args:
            activations: [n, d_model] in the model's units.
            count: neighbours of each.

        Returns:
            estimated cosines float32 [n, count], largest first, and rows int64 [n, count].
        """
        found = (self.project(activations) @ self.restored().T).topk(count, dim=-1)
        return found.values, found.indices

    def save(self, folder: Path) -> None:
        """Write the bank; scales, components and mean as float16, positions and windows as small integers."""
        tensors = {
            "mean": self.mean,
            "components": self.components.half(),
            "vectors": self.vectors,
            "scales": self.scales.half(),
            "window": self.window.to(torch.int16),
            "position": self.position.to(torch.uint8),
        }
        save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, folder / BANK_FILE)

    @classmethod
    def load(cls, folder: Path = DATA) -> "NeighbourBank":
        """Read the shipped bank."""
        path = folder / BANK_FILE
        if not path.is_file():
            raise SourceError(f"the neighbour bank was not found: expected {path}")
        stored = load_file(path)
        return cls(
            mean=stored["mean"].float(),
            components=stored["components"].float(),
            vectors=stored["vectors"],
            scales=stored["scales"].float(),
            window=stored["window"].int(),
            position=stored["position"].int(),
        )


@torch.inference_mode()
def build_bank(activations: Tensor, *, dimensions: int, count: int, seed: int) -> NeighbourBank:
    """Store a random part of the activations of the bank's windows.

    Mean and directions are taken from all of them, the stored ones are drawn without replacement.

    Args:
        activations: [windows, 127, d_model]; entry [w, p] is position p + 1 of window w.
        dimensions: kept by the projection.
        count: vectors stored, at most.
        seed: of the draw.
    """
    usable = activations[:, FIRST_POSITION - 1 :].float()
    per_window = usable.shape[1]
    flat = usable.flatten(0, 1)
    mean = flat.mean(0)
    unit = F.normalize(flat - mean, dim=-1)
    # Second moment of the unit vectors, in float64 for the same directions on every device.
    eigenvectors = torch.linalg.eigh((unit.double().T @ unit.double()).cpu()).eigenvectors
    components = eigenvectors.flip(1)[:, :dimensions].T.float().half().float()
    # An eigenvector's sign is arbitrary; fixed by its largest entry.
    largest = components.gather(1, components.abs().argmax(1, keepdim=True))
    components = (components * largest.sign()).to(flat.device)
    draw = np.random.default_rng(seed)
    rows = np.sort(draw.choice(len(flat), size=min(count, len(flat)), replace=False))
    kept = torch.from_numpy(rows).to(flat.device)
    vectors, scales = _to_int8(unit[kept] @ components.T)
    return NeighbourBank(
        mean=mean,
        components=components,
        vectors=vectors,
        scales=scales,
        window=(kept // per_window).int(),
        position=(kept % per_window + FIRST_POSITION).int(),
    )


def _to_int8(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Rounded to 255 steps, with the scale of each row as float16 would keep it."""
    scales = (vectors.abs().amax(1) / 127).half().float().clamp_min(torch.finfo(torch.float16).tiny)
    return (vectors / scales[:, None]).round().clamp(-127, 127).to(torch.int8), scales


@torch.inference_mode()
def bank_figures(bank: NeighbourBank, activations: Tensor, queries: Tensor, *, count: int = 10) -> dict[str, float]:
    """How well the stored bank finds what the full-precision activations would.

    Args:
        bank: to measure.
        activations: [windows, 127, d_model], what the bank was built from.
        queries: [n, d_model], from articles that are not in the bank.
        count: neighbours looked at.

    Returns:
        recall (share of the exact nearest among the stored ones, by full-precision cosine, that the bank finds
        too), found_cosine (mean exact cosine of what it finds), best_cosine (of the exact nearest among the stored
        ones), full_cosine (of the exact nearest among all activations, stored or not).
    """
    usable = activations[:, FIRST_POSITION - 1 :].float()
    unit = F.normalize(usable.flatten(0, 1) - bank.mean, dim=-1)
    rows = bank.window.long() * usable.shape[1] + bank.position.long() - FIRST_POSITION
    stored = unit[rows]
    asked = F.normalize(queries.float() - bank.mean, dim=-1)
    exact = asked @ stored.T
    nearest = exact.topk(count, dim=-1)
    _, found = bank.search(queries, count)
    shared = (nearest.indices[:, :, None] == found[:, None, :]).any(-1).float()
    full = torch.cat([(part @ unit.T).topk(count, dim=-1).values for part in asked.split(256)])
    return {
        "recall": float(shared.mean()),
        "found_cosine": float(exact.gather(1, found).mean()),
        "best_cosine": float(nearest.values.mean()),
        "full_cosine": float(full.mean()),
    }
