"""The embedded judge: SmolLM2's lower blocks with an adapter, and the score of a label at every token of a text.

Text and label are read apart, each once. Every token of a text becomes a vector, of its own state and the next one's
(the next word may decide: `the word before "of"`). Every token of a label becomes a vector with a bias: what it asks
for, after the words before it, and whether it asks for anything. Their products say how much likelier the label makes
it that the text's token is active: late interaction, as in ColBERT (Khattab & Zaharia 2020, arXiv:2004.12832), with
the label's tokens as alternatives. `judge_training.py` trains the adapter.
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from baez_pipeline.embedded import DATA
from baez_pipeline.errors import SourceError

ADAPTER = DATA / "judge_adapter.safetensors"

# What opens a text, and what stands around a label: special tokens of SmolLM2's vocabulary.
TEXT_START, LABEL_START, LABEL_END = 0, 1, 2


@dataclass(frozen=True)
class JudgeShape:
    """The sizes of the judge."""

    blocks: int = 20
    """Blocks of SmolLM2 that are used, of 30."""
    rank: int = 8
    """Rank of the adapter of every linear map in them (LoRA: Hu et al. 2021, arXiv:2106.09685)."""
    dimensions: int = 320
    """Of the vectors that are compared."""
    hidden: int = 512
    """Of the map of label tokens."""


class AdaptedLinear(nn.Module):
    """A frozen linear map and a trained one of low rank."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, base.in_features) / math.sqrt(base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, inputs: Tensor) -> Tensor:
        """The sum of both; [..., in_features] to [..., out_features]."""
        result: Tensor = self.base(inputs) + F.linear(F.linear(inputs, self.down), self.up)
        return result

    def merged(self) -> nn.Linear:
        """One linear map that does the same."""
        merged = nn.Linear(self.base.in_features, self.base.out_features, bias=False, device=self.base.weight.device)
        merged.weight = nn.Parameter(self.base.weight + self.up @ self.down, requires_grad=False)
        return merged


class JudgeModel(nn.Module):
    """Reads texts and labels. The embeddings are shared with the given SmolLM2, its blocks are copied."""

    def __init__(self, smollm2: LlamaForCausalLM, shape: JudgeShape) -> None:
        super().__init__()
        self.shape = shape
        given = smollm2.model
        config = copy.deepcopy(smollm2.config)
        config.num_hidden_layers = shape.blocks
        with torch.device("meta"):
            self.trunk = type(given)(config)
        self.trunk.embed_tokens = given.embed_tokens
        self.trunk.rotary_emb = given.rotary_emb
        self.trunk.layers = nn.ModuleList(copy.deepcopy(block) for block in list(given.layers)[: shape.blocks])
        # States are normalised here without weights; the maps below have their own.
        self.trunk.norm = nn.Identity()
        self.trunk.requires_grad_(False)
        for owner, name, linear in list(self._linear_maps()):
            setattr(owner, name, AdaptedLinear(linear, shape.rank))
        width = config.hidden_size
        self.token_map = nn.Linear(2 * width, shape.dimensions, bias=False)
        self.label_map = nn.Linear(width, shape.dimensions, bias=False)
        # One word asks for itself or for its neighbour, by the words before it: no linear map can tell the two.
        self.label_in = nn.Linear(width, shape.hidden)
        self.label_out = nn.Linear(shape.hidden, shape.dimensions, bias=False)
        self.label_bias = nn.Linear(width, 1)

    def _linear_maps(self) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
        for block in self.trunk.layers:
            for owner in (block.self_attn, block.mlp):
                for name, child in owner.named_children():
                    if isinstance(child, nn.Linear):
                        yield owner, name, child

    def trained(self) -> dict[str, Tensor]:
        """The trained parameters by name: the adapter and the maps."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def merge(self) -> None:
        """Fold the adapter into the copied blocks: reading then costs what SmolLM2's blocks cost."""
        for block in self.trunk.layers:
            for owner in (block.self_attn, block.mlp):
                for name, child in list(owner.named_children()):
                    if isinstance(child, AdaptedLinear):
                        setattr(owner, name, child.merged())

    def states(self, ids: Tensor) -> Tensor:
        """Normalised states after the last block, [n, tokens, width]; padding must come last."""
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=self.training and ids.is_cuda):
            states: Tensor = self.trunk(ids, use_cache=False).last_hidden_state
        return F.rms_norm(states.float(), states.shape[-1:])

    def token_vectors(self, states: Tensor, lengths: Tensor) -> Tensor:
        """One vector for each token of texts.

        Args:
            states: of texts that begin with `TEXT_START`, [n, 1 + tokens, width].
            lengths: tokens of each text without the start, [n].

        Returns:
            [n, tokens, dimensions]; of no meaning at padding.
        """
        states = states[:, 1:]
        has_next = torch.arange(1, states.shape[1] + 1, device=states.device) < lengths[:, None]
        following = F.pad(states[:, 1:], (0, 0, 0, 1)) * has_next[..., None]
        vectors: Tensor = self.token_map(torch.cat([states, following], dim=-1))
        return vectors

    def label_vectors(self, states: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors and biases of the labels' tokens.

        Args:
            states: of labels from `LABEL_START` to `LABEL_END`, [n, 1 + tokens, width].
            lengths: tokens of each, both marks included, [n].

        Returns:
            [n, tokens, dimensions] and [n, tokens]; the bias of padding is minus infinity.
        """
        states = states[:, 1:]
        is_padding = torch.arange(1, states.shape[1] + 1, device=states.device) >= lengths[:, None]
        biases = self.label_bias(states).squeeze(-1).masked_fill(is_padding, -math.inf)
        vectors = self.label_map(states) + self.label_out(F.silu(self.label_in(states)))
        return vectors / math.sqrt(self.shape.dimensions), biases


def token_log_odds(tokens: Tensor, vectors: Tensor, biases: Tensor) -> Tensor:
    """Log-odds that a label's feature is active, at every token.

    Args:
        tokens: token vectors, [..., dimensions].
        vectors: of one label, [label tokens, dimensions].
        biases: [label tokens].
    """
    return torch.logsumexp(tokens @ vectors.T + biases, dim=-1)


def save_adapter(model: JudgeModel, path: Path, metadata: dict[str, str]) -> None:
    """Write the trained parameters as float16."""
    shape = {name: str(value) for name, value in asdict(model.shape).items()}
    tensors = {name: parameter.detach().half().cpu().contiguous() for name, parameter in model.trained().items()}
    save_file(tensors, path, metadata={**metadata, **shape})


def load_judge(smollm2: LlamaForCausalLM, path: Path = ADAPTER) -> JudgeModel:
    """The judge with its adapter merged, in evaluation mode.

    Raises:
        SourceError: the adapter is missing, damaged or of another shape.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, Any] = file.metadata()
            shape = JudgeShape(**{name: int(metadata[name]) for name in JudgeShape.__dataclass_fields__})
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a dictionary)
        model = JudgeModel(smollm2, shape)
        own = model.trained()
        if {name: tensor.shape for name, tensor in tensors.items()} != {name: own[name].shape for name in own}:
            raise KeyError("its parameters are not those of its shape")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise SourceError(
            f"The judge's adapter cannot be read from {path}: {error}. Restore the file, or train it again with: "
            "python -m baez_pipeline.embedded.judge_training"
        ) from error
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)
    model.merge()
    return model.requires_grad_(False).eval()
