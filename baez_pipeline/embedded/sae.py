"""The sparse autoencoder: training on harvested activations, encoding, figures, and reading the shipped one.

The model is `sparsify.SparseCoder` (TopK), so that delphi and others can use it as it is. The loop is ours, for two
reasons: sparsify's trainer runs the language model again in every epoch, and its fused encoder (1.3.3) gives no
gradient to pre-activations outside the top k, so that its AuxK loss cannot move the encoder of a dead latent.

TopK and AuxK: Gao et al. 2024, "Scaling and evaluating sparse autoencoders" (arXiv:2406.04093).
"""

import contextlib
import io
import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from baez_pipeline.embedded import DATA
from baez_pipeline.errors import SourceError
from baez_pipeline.progress import tracked

# sparsify prints a line on import where Triton is not installed, which is everywhere without a GPU.
with contextlib.redirect_stdout(io.StringIO()):
    from sparsify import SparseCoder as SparseCoder
    from sparsify import SparseCoderConfig

DECODER_FILE = "decoder.safetensors"
ENCODER_FILE = "encoder.safetensors"


@dataclass(frozen=True)
class SaeSettings:
    """How the autoencoder is trained."""

    width: int = 2048
    k: int = 8
    """Features active at a position. More explain more (32: .80 of the variance of unseen articles, 16: .75, 8: .70)
    but are less distinct: at 32 half of the features are active somewhere in more than half of all windows, at 8
    in 14 %, and 45 are too rare for 15 examples, so that sampling has something to reject."""
    epochs: int = 30
    batch_size: int = 2048
    """Positions per step."""
    learning_rate: float = 3e-3
    """Adam's, after a warm-up over 5 % of the steps and before a linear decay to 0 over the last 60 %."""
    aux_weight: float = 1 / 32
    """Weight of the loss that lets dead latents predict the residual (AuxK)."""
    dead_after: int = 100_000
    """A latent is dead when it has been silent for this many positions."""
    seed: int = 0


def train(activations: Tensor, settings: SaeSettings) -> SparseCoder:
    """Train on all positions and return a coder for activations in the model's own units.

    Training sees (x - mean) / mean norm, where the defaults of TopK training fit; the scale is folded into the
    biases afterwards. Its weights are rounded to float16 and kept as float32, so that what is
    shipped as float16 is exactly what the figures and examples were computed with.

    Args:
        activations: [windows, positions, d_model], any float type, on the device to train on.
        settings: see `SaeSettings`.
    """
    flat = activations.flatten(0, -2).float()
    mean = flat.mean(0)
    scale = (flat - mean).norm(dim=-1).mean()
    flat = (flat - mean) / scale
    torch.manual_seed(settings.seed)
    config = SparseCoderConfig(num_latents=settings.width, k=settings.k)
    # Made on the CPU and moved: the initial weights are then the same for every device.
    coder = SparseCoder(flat.shape[1], config, device="cpu", dtype=torch.float32).to(flat.device)
    _fit(coder, flat, settings)
    with torch.no_grad():
        coder.encoder.bias.mul_(scale)
        coder.b_dec.mul_(scale).add_(mean)
        for weight in (coder.encoder.weight, _decoder(coder)):
            weight.copy_(weight.half().float())
    return coder.eval().requires_grad_(False)


def _fit(coder: SparseCoder, flat: Tensor, settings: SaeSettings) -> None:
    """The training loop proper; changes `coder` in place."""
    shuffle = torch.Generator().manual_seed(settings.seed)
    steps_per_epoch = max(1, len(flat) // settings.batch_size)
    total = settings.epochs * steps_per_epoch
    optimizer = torch.optim.Adam(coder.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / total))
    silent_for = torch.zeros(settings.width, dtype=torch.long, device=flat.device)
    order = torch.empty(0, dtype=torch.long)
    for step in tracked(range(total), "training", units_each=settings.batch_size, unit="positions"):
        place = step % steps_per_epoch
        if place == 0:
            order = torch.randperm(len(flat), generator=shuffle)
        chosen = order[place * settings.batch_size : (place + 1) * settings.batch_size]
        batch = flat[chosen.to(flat.device)]
        loss, active = _loss(coder, batch, silent_for > settings.dead_after, settings)
        optimizer.zero_grad()
        loss.backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        schedule.step()
        coder.set_decoder_norm_to_unit_norm()
        silent_for = torch.where(active, 0, silent_for + len(batch))


def _rate(done: float) -> float:
    """Share of the full learning rate when this share of the steps is done."""
    return min(1.0, done / 0.05 + 1e-3, max(1 - done, 0.0) / 0.6)


def _loss(coder: SparseCoder, batch: Tensor, dead: Tensor, settings: SaeSettings) -> tuple[Tensor, Tensor]:
    """Unexplained share of the batch's variance plus AuxK, and which latents were active: bool [width].

    Dense masks instead of scattered indices: 2,048 latents are few, and the result is the same in every run.
    """
    decoder = _decoder(coder)
    pre = F.relu(F.linear(batch - coder.b_dec, coder.encoder.weight, coder.encoder.bias))
    latents = _largest(pre, settings.k)
    residual = batch - (latents @ decoder + coder.b_dec)
    variance = (batch - batch.mean(0)).square().sum()
    loss = residual.square().sum() / variance
    dead_count = int(dead.sum())
    if dead_count:
        aux_k = min(batch.shape[1] // 2, dead_count)
        guess = _largest(pre * dead, aux_k) @ decoder
        # Few dead latents cannot be expected to explain the residual, so they weigh less (sparsify's heuristic).
        weight = settings.aux_weight * min(1.0, dead_count / (batch.shape[1] // 2))
        loss = loss + weight * (guess - residual.detach()).square().sum() / residual.detach().square().sum()
    return loss, (latents > 0).any(0)


def _largest(pre: Tensor, k: int) -> Tensor:
    """`pre` with all but the k largest of each row set to zero."""
    smallest_kept = pre.detach().topk(k, dim=-1).values[:, -1:]
    return torch.where(pre.detach() >= smallest_kept, pre, 0.0)


def _decoder(coder: SparseCoder) -> Tensor:
    if coder.W_dec is None:
        raise ValueError("the coder has no decoder; it was loaded with decoder=False")
    return coder.W_dec


@torch.inference_mode()
def encode(coder: SparseCoder, activations: Tensor) -> tuple[Tensor, Tensor]:
    """The active features of every position.

    Args:
        coder: in the model's units.
        activations: [windows, positions, d_model].

    Returns:
        values float32 and features int16, both [windows, positions, k]; unused places hold value 0.
    """
    values, features = [], []
    for chunk in activations.split(64):
        top = coder.encode(chunk.flatten(0, -2).float())
        shape = (*chunk.shape[:-1], coder.cfg.k)
        values.append(top.top_acts.reshape(shape))
        features.append(top.top_indices.reshape(shape).to(torch.int16))
    return torch.cat(values), torch.cat(features)


@torch.inference_mode()
def reconstruction_figures(coder: SparseCoder, activations: Tensor) -> dict[str, float]:
    """Explained variance, L0 and relatives on activations the coder was not trained on.

    Args:
        coder: in the model's units.
        activations: [windows, positions, d_model].

    Returns:
        explained_variance (1 - squared residual / squared deviation from the mean of these activations),
        l0 (active features per position), cosine (of activation and reconstruction, both less the mean).
    """
    mean = activations.flatten(0, -2).double().mean(0)
    residual = deviation = active = cosine = 0.0
    positions = 0
    for chunk in activations.split(64):
        flat = chunk.flatten(0, -2).float()
        top = coder.encode(flat)
        decoded = coder.decode(top.top_acts, top.top_indices)
        centred = flat.double() - mean
        residual += float((flat - decoded).double().square().sum())
        deviation += float(centred.square().sum())
        active += float((top.top_acts > 0).sum())
        cosine += float(F.cosine_similarity(centred, decoded.double() - mean, dim=-1).sum())
        positions += len(flat)
    return {
        "explained_variance": 1 - residual / deviation if deviation else math.nan,
        "l0": active / positions,
        "cosine": cosine / positions,
        "positions": float(positions),
    }


def save_coder(coder: SparseCoder, folder: Path) -> None:
    """Write decoder and encoder apart: most uses need the decoder only. Weights float16, biases float32."""
    settings = {"k": str(coder.cfg.k), "activation": coder.cfg.activation}
    decoder = {"W_dec": _decoder(coder).half().cpu().contiguous()}
    encoder = {
        "encoder.weight": coder.encoder.weight.half().cpu().contiguous(),
        "encoder.bias": coder.encoder.bias.float().cpu(),
        "b_dec": coder.b_dec.float().cpu(),
    }
    save_file(decoder, folder / DECODER_FILE, metadata=settings)
    save_file(encoder, folder / ENCODER_FILE, metadata=settings)


def load_coder(folder: Path = DATA, device: str = "cpu", *, k: int | None = None) -> SparseCoder:
    """The shipped autoencoder as sparsify's class, float32, for activations in the model's units.

    Args:
        folder: holds `decoder.safetensors` and `encoder.safetensors`.
        device: a torch device name.
        k: active latents per position; what the files say when None.

    Raises:
        SourceError: a file is missing.
    """
    for name in (DECODER_FILE, ENCODER_FILE):
        if not (folder / name).is_file():
            raise SourceError(f"the autoencoder's {name} was not found in {folder}; expected it beside README.md")
    with safe_open(folder / ENCODER_FILE, framework="pt") as file:
        stored_k = int(file.metadata()["k"])
    state = load_file(folder / DECODER_FILE, device) | load_file(folder / ENCODER_FILE, device)
    width, d_model = state["W_dec"].shape
    coder = SparseCoder(
        d_model, SparseCoderConfig(num_latents=width, k=k or stored_k), device=device, dtype=torch.float32
    )
    coder.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    return coder.eval().requires_grad_(False)
