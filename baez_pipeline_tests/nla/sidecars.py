"""Sidecars with the released fields and their values (field guide, section 2); templates are our own, with the
structure of the released ones.
"""

import json

AV_TEMPLATE = (
    "You study the inside of a language model. Between <concept> tags stands one activation as a vector. Say in two or "
    "three snippets between <explanation> tags what it means.\n\n<concept>{injection_char}</concept>\n\nAnswer now."
)
AR_TEMPLATE = "Summary of this text: <text>{explanation}</text> <summary>"


GEMMA_27B_WRITTEN = """\
created_at: '2026-04-16T11:29:17Z'
created_by: nla.train_actor.NLAFSDPActor
training:
  lr: 1.41e-05
  loss_type: policy_loss
  global_batch_size: 2048"""
# The field guide says no date of the other two, and no training of the 12B.
GEMMA_12B_WRITTEN = "created_by: nla.train_actor.NLAFSDPActor"
QWEN_7B_WRITTEN = """\
created_by: nla.train_actor.NLAFSDPActor
training:
  lr: 1.41e-05
  global_batch_size: 1024
  rollout_id: 4199"""


def av_fields(*, d_model, layer, scale, marker, marker_id, left, right, written):
    return f"""\
kind: nla_model
schema_version: 2
role: av
stage: rl
d_model: {d_model}
extraction:
  injection_scale: {scale}
  mse_scale: {d_model**0.5}
tokens:
  injection_char: {marker}
  injection_token_id: {marker_id}
  injection_left_neighbor_id: {left}
  injection_right_neighbor_id: {right}
  critic_suffix_ids: null
prompt_templates:
  av: {json.dumps(AV_TEMPLATE)}
  ar: {json.dumps(AR_TEMPLATE)}
{written}
extraction_layer_index: {layer}
"""


GEMMA_MARKER = {"marker": "㈜", "marker_id": 246566, "left": 236813, "right": 954}
QWEN_MARKER = {"marker": "㈎", "marker_id": 149705, "left": 29, "right": 522}
GEMMA_27B_AV = av_fields(d_model=5376, layer=41, scale=60000.0, **GEMMA_MARKER, written=GEMMA_27B_WRITTEN)
GEMMA_12B_AV = av_fields(d_model=3840, layer=32, scale=80000.0, **GEMMA_MARKER, written=GEMMA_12B_WRITTEN)
QWEN_7B_AV = av_fields(d_model=3584, layer=20, scale=150.0, **QWEN_MARKER, written=QWEN_7B_WRITTEN)
GEMMA_27B_AR = f"""\
kind: nla_model
schema_version: 2
role: ar
stage: sl
d_model: 5376
extraction:
  injection_scale: null
  mse_scale: 73.32121111929344
tokens:
  injection_char: ㈜
  injection_token_id: 246566
  injection_left_neighbor_id: 236813
  injection_right_neighbor_id: 954
  critic_suffix_ids:
  - 1005
  - 236813
  - 655
  - 6011
  - 236813
prompt_templates:
  av: {json.dumps(AV_TEMPLATE)}
  ar: {json.dumps(AR_TEMPLATE)}
created_at: '2026-04-16T11:29:17Z'
created_by: nla.train_actor.NLAFSDPActor
training:
  lr: 1.41e-05
  loss_type: custom_loss
  global_batch_size: 2048
extraction_layer_index: 41
critic:
  extraction_layer_index: 41
"""


def smollm2_av(tokenizer, **changes):
    """A verbalizer's sidecar for SmolLM2 as a dictionary, its ids read off the real tokenizer."""
    marker = next(c for c in "§¶†‡¤" if len(tokenizer.encode(f">{c}<")) == 3)
    left, site, right = tokenizer.encode(f">{marker}</")
    return {
        "kind": "nla_model",
        "schema_version": 2,
        "role": "av",
        "stage": "sl",
        "d_model": 576,
        "extraction": {"injection_scale": 4.0, "mse_scale": 24.0},
        "tokens": {
            "injection_char": marker,
            "injection_token_id": site,
            "injection_left_neighbor_id": left,
            "injection_right_neighbor_id": right,
            "critic_suffix_ids": None,
        },
        "prompt_templates": {"av": AV_TEMPLATE, "ar": AR_TEMPLATE},
        "extraction_layer_index": 20,
        "training": {"lr": 1e-5},
    } | changes


def ar(*, d_model, layer, **changes):
    """A reconstructor's sidecar as a dictionary."""
    return {
        "kind": "nla_model",
        "schema_version": 2,
        "role": "ar",
        "d_model": d_model,
        "prompt_templates": {"ar": AR_TEMPLATE},
        "critic": {"extraction_layer_index": layer},
    } | changes
