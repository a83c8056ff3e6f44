"""The pair's reconstructor: an activation rebuilt from an explanation alone, and how near it is to the real one.

Contract (field guide, section 5): the sidecar's prompt as a raw string with the tokenizer's special tokens, the state
of the last token after the last of the K + 1 blocks without final norm, times the value head.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedTokenizerBase

from baez_pipeline.errors import SidecarError
from baez_pipeline.nla.extraction import SubjectModel
from baez_pipeline.nla.sidecar import ReconstructorSidecar

VALUE_HEAD_FILE = "value_head.safetensors"
_WEIGHT = "weight"
LEAST_NORM = 1e-12
"""A vector under it has no direction; its cosine is 0."""


@dataclass(frozen=True, kw_only=True)
class Faithfulness:
    """How much of an activation is in its explanation."""

    mse: float
    """Mean squared difference, both vectors at norm sqrt(d_model): 2 (1 - cosine), 0 to 4."""
    cosine: float
    fve: float | None
    """1 - mse / variance of such activations: 1 = all of it, 0 = no more than their mean; None without a variance."""


class Reconstructor:
    """A reconstructor held by transformers."""

    def __init__(
        self,
        body: nn.Module,
        value_head: torch.Tensor,
        tokenizer: PreTrainedTokenizerBase,
        sidecar: ReconstructorSidecar,
        *,
        layer: int,
    ) -> None:
        """Check the sidecar against model, tokenizer and layer.

        Args:
            body: a decoder without head.
            value_head: (d_model, d_model), applied as `value_head @ state`.
            tokenizer: of the reconstructor.
            sidecar: what it says of itself.
            layer: that the experiment reads.

        Raises:
            SidecarError: they do not belong together.
        """
        vocabulary, hidden_size = body.get_input_embeddings().weight.shape  # type: ignore[operator]
        sidecar.check_fits(layer=layer, hidden_size=hidden_size, vocabulary=vocabulary)
        sidecar.check_prompt(tokenizer)
        _check_shape(value_head.shape, hidden_size)
        self._blocks = SubjectModel(body, layer=layer)
        self._value_head = value_head.detach().float().cpu().numpy()
        self._tokenizer = tokenizer
        self._sidecar = sidecar

    @classmethod
    def open(cls, folder: Path, *, layer: int) -> "Reconstructor":
        """Load the reconstructor from its folder, a model or an adapter, on a GPU where there is one.

        Raises:
            SidecarError: the folder has no fitting sidecar, or no value head.
        """
        from baez_pipeline.nla.loading import load_blocks, tokenizer_of

        sidecar = ReconstructorSidecar.read(folder)
        body = load_blocks(folder, layer=sidecar.layer)
        return cls(body, read_value_head(folder), tokenizer_of(folder), sidecar, layer=layer)

    def rebuild(self, explanations: Sequence[str]) -> NDArray[np.float32]:
        """The activation that each explanation speaks of: (n, d_model), of no particular norm."""
        prompts = [self._sidecar.prompt_ids(self._tokenizer, explanation) for explanation in explanations]
        states = self._blocks.activations_at(prompts, [len(prompt) - 1 for prompt in prompts])
        # Row by row: a product of all at once rounds a row by how many there are.
        return np.stack([self._value_head @ state for state in states]) if prompts else states

    def scores(self, explanations: Sequence[str], vectors: NDArray[np.float32]) -> list[Faithfulness | None]:
        """How near the rebuilt activations are to the real ones (n, d_model); None where one is not finite."""
        scores = faithfulness(self.rebuild(explanations), vectors, variance=self._sidecar.variance)
        return [score if math.isfinite(score.cosine) else None for score in scores]


def faithfulness(
    rebuilt: NDArray[np.float32], real: NDArray[np.float32], *, variance: float | None
) -> list[Faithfulness]:
    """Cosine, mse and FVE of rebuilt vectors (n, d_model) against real ones (formulas: field guide, section 5)."""
    if not len(real):
        return []
    products = np.einsum("nd,nd->n", rebuilt.astype(np.float64), real.astype(np.float64))
    norms = np.linalg.norm(rebuilt, axis=1).astype(np.float64) * np.linalg.norm(real, axis=1)
    scores = []
    for cosine in (products / np.maximum(norms, LEAST_NORM)).clip(-1, 1).tolist():
        mse = 2 * (1 - cosine)
        scores.append(Faithfulness(mse=mse, cosine=cosine, fve=1 - mse / variance if variance else None))
    return scores


def read_value_head(folder: Path) -> torch.Tensor:
    """The matrix beside a reconstructor's sidecar.

    Raises:
        SidecarError: it is missing or not readable.
    """
    with _told(folder) as path:
        return load_file(path)[_WEIGHT]


def check_value_head(folder: Path, *, hidden_size: int) -> None:
    """Raise a SidecarError unless there is a value head of the model's width; its numbers are not read."""
    with _told(folder) as path, safe_open(path, framework="pt") as head:
        shape = head.get_slice(_WEIGHT).get_shape()
    _check_shape(shape, hidden_size)


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[Path]:
    path = folder / VALUE_HEAD_FILE
    try:
        yield path
    except (OSError, KeyError, SafetensorError) as error:
        raise SidecarError(f"{path} is not the value head of a reconstructor ({error}): fetch it again.") from error


def _check_shape(shape: Sequence[int], hidden_size: int) -> None:
    if tuple(shape) != (hidden_size, hidden_size):
        raise SidecarError(
            f"The value head is of shape {tuple(shape)}, the reconstructor's hidden size is {hidden_size}: they are "
            "not of one model."
        )
