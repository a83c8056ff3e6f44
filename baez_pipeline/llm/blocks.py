"""The first blocks of a language model, for reading activations without running the rest."""

import copy

from torch import nn


def body_up_to(body: nn.Module, block: int) -> nn.Module:
    """Blocks 0..block of a decoder without head, sharing its weights; `body` is left as it was.

    Its `last_hidden_state` is the output of `block` itself, which transformers calls `hidden_states[block + 1]`: the
    final norm is replaced by the identity, because it would be applied to whatever block comes last.

    Args:
        body: a decoder of transformers with `layers` and `norm`, such as `model.model` of a LlamaForCausalLM.
        block: counted from 0.

    Raises:
        ValueError: the model has no such block.
    """
    n_blocks = len(body.layers)  # type: ignore[arg-type]
    if not 0 <= block < n_blocks:
        raise ValueError(f"block {block} is out of range: the model has blocks 0 to {n_blocks - 1}")
    truncated = copy.copy(body)
    # A shallow copy shares the dictionary of submodules; without its own one the assignments would reach `body`.
    truncated._modules = dict(body._modules)
    truncated.layers = nn.ModuleList(list(body.layers)[: block + 1])  # type: ignore[arg-type]
    truncated.norm = nn.Identity()
    truncated.config = copy.copy(body.config)
    truncated.config.num_hidden_layers = block + 1  # type: ignore[union-attr]
    return truncated
