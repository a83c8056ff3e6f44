"""A language model walked layer by layer over slots: what one forward step of the verbalizer is.

The layers are the model's own; only the loop over them and the attention (`decoding_attention`) are ours. So one layer
compiles once for all, and a whole step can be one CUDA graph. Whether the loop computes what the model computes is
checked on the prompt when it is built.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from baez_pipeline.errors import BaezError
from baez_pipeline.nla import sampling
from baez_pipeline.nla.decoding_attention import ATTENTION_NAME
from baez_pipeline.nla.known_attention import KNOWN, unknown_attention
from baez_pipeline.nla.slots import Prompt, Slots

_STACK_PARTS = ("layers", "norm", "rotary_emb", "embed_tokens")
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.2, torch.float16: 0.05}
"""Largest share that the two ways of computing the prompt's last state may differ by: rounding, no more."""
_COMPILED_SHAPES = 64
"""Compiled variants of a layer that are kept; past torch's default of 8 it would quietly run uncompiled."""


class ArchitectureError(BaezError):
    """A model that the batched engine does not compute rightly."""


class Decoder:
    """Prefill and steps of one model with one prompt."""

    def __init__(self, model: PreTrainedModel, prompt: Prompt, *, max_new_tokens: int, temperature: float) -> None:
        """Compute the shared prefix.

        Raises:
            ArchitectureError: the layers, walked by us, do not give what the model gives.
        """
        self._stack = _text_stack(model)
        self._config = self._stack.config
        self._head = model.get_output_embeddings()
        self._prompt = prompt
        self._max_new_tokens = max_new_tokens
        # A tensor: a compiled function takes a float as a constant, or worse, as one more dynamic size.
        self._temperature = torch.tensor(float(temperature), device=model.device) if temperature else None
        layers = len(self._stack.layers)
        self._kinds = list(getattr(self._config, "layer_types", None) or ["full_attention"] * layers)[:layers]
        self._rotary_by_kind = "layer_type" in inspect.signature(self._stack.rotary_emb.forward).parameters
        self._layer: Callable[..., torch.Tensor] = _run_layer
        self._pick: Callable[..., torch.Tensor] = _pick
        self.device = model.device
        # Compiled and captured where the whole model is on one GPU.
        self.on_one_gpu = (
            len({parameter.device for parameter in model.parameters()}) == 1 and self.device.type == "cuda"
        )
        if self.on_one_gpu:
            torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _COMPILED_SHAPES)
            self._layer = _compiled_for_any_batch(_run_layer)
            self._pick = _compiled_for_any_batch(_pick)
        self._read_prefix()

    @property
    def suffix(self) -> int:
        """Tokens of the prompt that each row has for itself: the vector's and what follows it."""
        return len(self._prompt.embeddings) - self._prompt.site

    def slots(self, count: int) -> Slots:
        """Empty slots. The step writes to all of them, in use or not."""

        def numbers(*shape: int) -> torch.Tensor:
            return torch.zeros(count, *shape, dtype=torch.long, device=self.device)

        capacity = self.suffix + self._max_new_tokens
        keys, values = (
            [part.new_zeros(count, part.shape[0], capacity, part.shape[2]) for part in parts]
            for parts in (self._prefix_keys, self._prefix_values)
        )
        return Slots(
            keys=keys,
            values=values,
            lengths=numbers(),
            last=numbers(),
            steps=numbers(),
            tokens=numbers(self._max_new_tokens + 1),
            sampling_keys=numbers(),
        )

    def admit(self, slots: Slots, places: list[int], rows: torch.Tensor, seeds: list[int]) -> None:
        """Start rows [n, d_model] in the slots at `places`: the rest of the prompt in one pass, and a first token."""
        admitted = torch.tensor(places, device=self.device)
        embeddings = self._prompt.embeddings[self._prompt.site :].repeat(len(rows), 1, 1)
        embeddings[:, 0] = rows.to(embeddings)
        positions = torch.arange(self._prompt.site, len(self._prompt.embeddings), device=self.device)[None]
        states = self._walk(_run_layer, embeddings, positions, slots, admitted)[:, -1]
        slots.lengths[admitted] = self.suffix
        slots.sampling_keys[admitted] = torch.tensor([sampling.row_key(seed) for seed in seeds], device=self.device)
        first = torch.zeros(len(places), dtype=torch.long, device=self.device)
        ids = _pick(
            self._stack.norm, self._head, self._config, states, slots.sampling_keys[admitted], first, self._temperature
        )
        ids = ids.to(self.device)
        slots.last[admitted] = ids
        slots.tokens[admitted, 0] = ids
        slots.steps[admitted] = 1

    def step(self, slots: Slots) -> None:
        """One more token in every slot. Idle slots stay in bounds; what they hold means nothing."""
        embeddings = self._stack.embed_tokens(slots.last)[:, None]
        positions = (slots.lengths + self._prompt.site)[:, None]
        states = self._walk(self._layer, embeddings, positions, slots)[:, -1]
        ids = self._pick(
            self._stack.norm, self._head, self._config, states, slots.sampling_keys, slots.steps, self._temperature
        )
        slots.last.copy_(ids)
        slots.tokens.scatter_(1, slots.steps[:, None], slots.last[:, None])
        slots.steps.add_(1).clamp_(max=self._max_new_tokens)
        slots.lengths.add_(1).clamp_(max=self.suffix + self._max_new_tokens - 1)

    @contextmanager
    def attending(self) -> Iterator[None]:
        """The model's layers attend to slots inside this, and as they did before after it."""
        before = self._config._attn_implementation
        self._config._attn_implementation = ATTENTION_NAME
        try:
            yield
        finally:
            self._config._attn_implementation = before

    def _walk(
        self,
        run_layer: Callable[..., torch.Tensor],
        hidden: torch.Tensor,
        positions: torch.Tensor,
        slots: Slots,
        admitted: torch.Tensor | None = None,
    ) -> torch.Tensor:
        rotary = {kind: self._rotary(hidden, positions, kind) for kind in set(self._kinds)}
        parts = zip(
            self._stack.layers,
            self._kinds,
            self._prefix_keys,
            self._prefix_values,
            slots.keys,
            slots.values,
            strict=True,
        )
        for layer, kind, prefix_keys, prefix_values, keys, values in parts:
            hidden = run_layer(
                layer,
                hidden,
                rotary[kind],
                positions,
                prefix_keys,
                prefix_values,
                keys,
                values,
                slots.lengths,
                admitted,
            )
        return hidden

    def _rotary(self, hidden: torch.Tensor, positions: torch.Tensor, kind: str) -> Any:
        return self._stack.rotary_emb(hidden, positions, *([kind] if self._rotary_by_kind else []))

    def _read_prefix(self) -> None:
        """Keys and values of the prompt up to the marker, by the model itself; then the walk's check against it."""
        embeddings, site = self._prompt.embeddings, self._prompt.site
        # What the prompt alone would not show.
        if found := unknown_attention(self._config, tokens=len(embeddings) + self._max_new_tokens):
            raise ArchitectureError(found)
        told = self._stack(inputs_embeds=embeddings[None], use_cache=True)
        cached = told.past_key_values.layers
        self._prefix_keys = [layer.keys[0, :, :site].contiguous() for layer in cached]
        self._prefix_values = [layer.values[0, :, :site].contiguous() for layer in cached]
        slots = self.slots(1)
        with self.attending():
            positions = torch.arange(site, len(embeddings), device=self.device)[None]
            admitted = torch.zeros(1, dtype=torch.long, device=self.device)
            walked = self._stack.norm(self._walk(_run_layer, embeddings[None, site:], positions, slots, admitted))
        expected = told.last_hidden_state[0, -1].float()
        off = float((walked[0, -1].float() - expected).norm() / expected.norm())
        if not off <= _TOLERANCE[embeddings.dtype]:
            raise ArchitectureError(
                f"The batched engine computes {self._config.model_type} wrongly: the prompt's last state is off by "
                f"{off:.2g} of its length, at most {_TOLERANCE[embeddings.dtype]:g} is rounding. {KNOWN}"
            )


def _run_layer(
    layer: nn.Module,
    hidden: torch.Tensor,
    rotary: tuple[torch.Tensor, torch.Tensor],
    positions: torch.Tensor,
    prefix_keys: torch.Tensor,
    prefix_values: torch.Tensor,
    slot_keys: torch.Tensor,
    slot_values: torch.Tensor,
    lengths: torch.Tensor,
    admitted: torch.Tensor | None,
) -> torch.Tensor:
    """One layer of the model. Its tensors are arguments, so that one compiled version serves all layers."""
    return layer(
        hidden,
        position_embeddings=rotary,
        attention_mask=None,
        position_ids=positions,
        past_key_values=None,
        prefix_keys=prefix_keys,
        prefix_values=prefix_values,
        slot_keys=slot_keys,
        slot_values=slot_values,
        lengths=lengths,
        admitted=admitted,
    )


def _pick(
    norm: nn.Module,
    head: nn.Module,
    config: Any,
    states: torch.Tensor,
    keys: torch.Tensor,
    steps: torch.Tensor,
    temperature: torch.Tensor | None,
) -> torch.Tensor:
    logits = head(norm(states))
    if temperature is None:
        return logits.argmax(dim=-1)
    # Only sampling feels the soft cap of Gemma's logits; the likeliest token stays.
    cap = getattr(config, "final_logit_softcapping", None)
    if cap is not None:
        logits = torch.tanh(logits / cap) * cap
    # A model that is spread over GPUs may have its head on another one than its first layer.
    keys, steps, temperature = (tensor.to(logits.device) for tensor in (keys, steps, temperature))
    return sampling.drawn_ids(logits, keys, steps, temperature)


def _compiled_for_any_batch(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """One compiled version for all batch sizes above 1: the first axis of what has a row per slot is left open."""
    compiled = torch.compile(function)

    def call(*arguments: Any) -> torch.Tensor:
        rows = next(len(argument) for argument in arguments if isinstance(argument, torch.Tensor))
        for argument in arguments:
            for tensor in argument if isinstance(argument, tuple) else [argument]:
                if isinstance(tensor, torch.Tensor) and tensor.ndim and len(tensor) == rows:
                    torch._dynamo.maybe_mark_dynamic(tensor, 0)
        return compiled(*arguments)

    return call


def _text_stack(model: PreTrainedModel) -> PreTrainedModel:
    """The part that embeds, rotates, walks the layers and norms; a multimodal model has it inside.

    Raises:
        ArchitectureError: no such part.
    """
    for part in model.modules():
        if all(hasattr(part, name) for name in _STACK_PARTS):
            return part
    raise ArchitectureError(
        f"{type(model).__name__} has no part with {', '.join(_STACK_PARTS)}, which the batched engine walks. {KNOWN}"
    )
