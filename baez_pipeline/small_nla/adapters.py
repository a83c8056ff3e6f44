"""LoRA on every linear map of a model's blocks, written as peft reads it (Hu et al. 2021, arXiv:2106.09685)."""

import json
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from baez_pipeline.embedded.judge_model import AdaptedLinear

ADAPTER_FILE, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"

_PEFT_NAME = "base_model.model.model.layers.{name}.lora_{part}.weight"
"""peft's names, for a causal language model as the base."""


def adapt(layers: nn.ModuleList, rank: int) -> dict[str, AdaptedLinear]:
    """Put an adapter beside every linear map of the blocks, in place; everything else of them is frozen.

    Returns:
        The adapted maps by name, such as `0.self_attn.q_proj`.
    """
    layers.requires_grad_(False)
    adapted = {}
    for name, linear in [(name, module) for name, module in layers.named_modules() if isinstance(module, nn.Linear)]:
        owner, _, child = name.rpartition(".")
        device = linear.weight.device
        adapted[name] = AdaptedLinear(linear, rank).to(device)
        # The adapter is trained in float32, whatever its base is in.
        adapted[name].down.data = adapted[name].down.data.float()
        adapted[name].up.data = adapted[name].up.data.float()
        setattr(layers.get_submodule(owner), child, adapted[name])
    return adapted


def parameters_of(adapted: dict[str, AdaptedLinear]) -> list[nn.Parameter]:
    """What is trained of them."""
    return [parameter for linear in adapted.values() for parameter in (linear.down, linear.up)]


def merge(layers: nn.ModuleList) -> None:
    """Fold the adapters into the blocks, in place."""
    for name, linear in [
        (name, module) for name, module in layers.named_modules() if isinstance(module, AdaptedLinear)
    ]:
        owner, _, child = name.rpartition(".")
        base = linear.base
        merged = nn.Linear(base.in_features, base.out_features, bias=False, device="meta")
        weight = base.weight.float() + linear.up @ linear.down
        merged.weight = nn.Parameter(weight.detach().to(base.weight.dtype), requires_grad=False)
        setattr(layers.get_submodule(owner), child, merged)


def save_adapters(adapted: dict[str, AdaptedLinear], folder: Path, *, base_model: str, rank: int, blocks: int) -> None:
    """Write them as float16 with peft's configuration.

    Args:
        adapted: as `adapt` gave them.
        folder: is made where there is none.
        base_model: named in the configuration.
        rank: of the adapters; their scale is 1.
        blocks: that were adapted, the first ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, linear in adapted.items():
        for part, parameter in (("A", linear.down), ("B", linear.up)):
            tensors[_PEFT_NAME.format(name=name, part=part)] = parameter.detach().half().cpu().contiguous()
    save_file(tensors, folder / ADAPTER_FILE, metadata={"format": "pt"})
    configuration = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": sorted({name.rpartition(".")[2] for name in adapted}),
        "layers_to_transform": list(range(blocks)),
        "layers_pattern": "layers",
    }
    (folder / ADAPTER_CONFIG).write_text(json.dumps(configuration, indent=2) + "\n", encoding="utf-8")


def uncompiled() -> AbstractContextManager[None]:
    """Within it compiled blocks run as they were written."""
    return torch.compiler.set_stance("force_eager")


def count(parameters: list[nn.Parameter]) -> int:
    """Numbers in them."""
    return sum(parameter.numel() for parameter in parameters)


def compile_blocks(layers: nn.ModuleList) -> None:
    """Compile the blocks one by one, on a GPU: all have one shape, so that it is done once.

    What cannot be compiled runs as it is. What follows the training runs under `uncompiled`: its shapes change.
    """
    if next(layers.parameters()).device.type == "cuda":
        torch._dynamo.config.suppress_errors = True
        for block in layers:
            block.compile(dynamic=False)
