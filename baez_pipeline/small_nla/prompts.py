"""The prompts of the pair and its sidecars, in the form of the released ones (schema 2)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from transformers import PreTrainedTokenizerBase

from baez_pipeline.embedded import BLOCK

SIDECAR_FILE = "nla_meta.yaml"
MARKER = "<empty_output>"
"""A token of SmolLM2's vocabulary that no text holds."""
VERBALIZER_TEMPLATE = "<concept>{injection_char}</concept>\nExplain the concept."
RECONSTRUCTOR_TEMPLATE = "<text>{explanation}</text> <summary>"


@dataclass(frozen=True)
class VerbalizerPrompt:
    """The prompt's ids and the place of the marker among them."""

    ids: list[int]
    site: int


def verbalizer_prompt(tokenizer: PreTrainedTokenizerBase) -> VerbalizerPrompt:
    """The prompt in SmolLM2's chat template."""
    content = VERBALIZER_TEMPLATE.replace("{injection_char}", MARKER)
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    ids = list(tokenizer.encode(rendered, add_special_tokens=False))
    return VerbalizerPrompt(ids, ids.index(tokenizer.convert_tokens_to_ids(MARKER)))


def reconstructor_prompt(explanation: str) -> str:
    """What the reconstructor reads; the activation is read at its last token."""
    return RECONSTRUCTOR_TEMPLATE.replace("{explanation}", explanation)


def write_sidecar(
    folder: Path,
    role: str,
    tokenizer: PreTrainedTokenizerBase,
    *,
    d_model: int,
    injection_scale: float | None,
    normalized_variance: float,
    training: dict[str, Any],
) -> None:
    """Write `nla_meta.yaml`.

    Args:
        folder: of the adapter.
        role: av or ar.
        tokenizer: SmolLM2's.
        d_model: width of the activations.
        injection_scale: norm that the mapped vector is given; None for the reconstructor.
        normalized_variance: of the activations scaled to norm sqrt(d_model): the denominator of the FVE.
        training: settings worth knowing.
    """
    prompt = verbalizer_prompt(tokenizer)
    suffix = RECONSTRUCTOR_TEMPLATE.partition("{explanation}")[2]
    is_verbalizer = role == "av"
    sidecar: dict[str, Any] = {
        "kind": "nla_model",
        "schema_version": 2,
        "role": role,
        "stage": "sl",
        "d_model": d_model,
        "extraction": {
            "injection_scale": injection_scale,
            "mse_scale": d_model**0.5,
            "normalized_variance": round(normalized_variance, 5),
        },
        "tokens": {
            "injection_char": MARKER,
            "injection_token_id": prompt.ids[prompt.site],
            "injection_left_neighbor_id": prompt.ids[prompt.site - 1],
            "injection_right_neighbor_id": prompt.ids[prompt.site + 1],
            "critic_suffix_ids": None if is_verbalizer else tokenizer.encode(suffix, add_special_tokens=False),
        },
        "prompt_templates": {"av": VERBALIZER_TEMPLATE, "ar": RECONSTRUCTOR_TEMPLATE},
        "created_by": "baez_pipeline.small_nla.training",
        "training": training,
        "extraction_layer_index": BLOCK,
    }
    if is_verbalizer:
        sidecar["extraction"]["vector_map"] = "vector_map.safetensors"
    else:
        sidecar["critic"] = {"extraction_layer_index": BLOCK}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SIDECAR_FILE).write_text(yaml.safe_dump(sidecar, sort_keys=False, allow_unicode=True), encoding="utf-8")
