"""Models of every architecture that pairs come in, real but for their size, in folders as they are released."""

import torch
import yaml
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    Gemma3Config,
    Gemma3TextConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from baez_pipeline.nla.folders import SIDECAR_FILE
from baez_pipeline.nla.reconstructor import VALUE_HEAD_FILE
from baez_pipeline_tests.nla.sidecars import ar

WIDTH, BLOCKS, VOCABULARY = 16, 5, 40
_TEXT = {
    "hidden_size": WIDTH,
    "intermediate_size": 24,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 128,
}
_GEMMA = {"head_dim": 8, "query_pre_attn_scalar": 8}
_VISION = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "image_size": 16,
    "patch_size": 8,
}
# Every second layer of a model with sliding windows is one: what is cut off must keep its kind of layer.
_KINDS = ["sliding_attention", "full_attention"] * 2 + ["sliding_attention"]
WORDS = ["<unk>", "<s>", "<concept>", "§", "</concept>", "Describe", "user", "<text>", "</text>", "<summary>"]
_MORE_WORDS = ["boats", "leave", "the", "harbour", "<explanation>", "</explanation>"]


def _gemma_text():
    return Gemma3TextConfig(**_TEXT, **_GEMMA, layer_types=_KINDS)


CONFIGS = {
    "llama": lambda: LlamaConfig(**_TEXT),
    "qwen2": lambda: Qwen2Config(**_TEXT),
    "gemma3_text": _gemma_text,
    "gemma3": lambda: Gemma3Config(
        text_config=_gemma_text().to_dict(), vision_config=_VISION, mm_tokens_per_image=4, image_token_index=39
    ),
}


def save_model(folder, kind, *, blocks=BLOCKS, window=4):
    """A model with random weights in a folder, the same each time; `window` is that of Gemma's sliding layers."""
    torch.manual_seed(0)
    config = CONFIGS[kind]()
    text = config.get_text_config()
    text.num_hidden_layers = blocks
    if "gemma" in kind:
        text.sliding_window = window
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:blocks]
    of_kind = AutoModelForImageTextToText if kind == "gemma3" else AutoModelForCausalLM
    model = of_kind.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # Fresh weights are too small to tell a block from the identity, and norms start all alike.
            parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder)
    return model


def save_tokenizer(folder):
    """Words, a BOS before every text, and a chat template."""
    words = {word: i for i, word in enumerate([*WORDS, *_MORE_WORDS])}
    tokenizer = Tokenizer(WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", words["<s>"])])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        unk_token="<unk>",
        chat_template="<s> {% for message in messages %}{{ message.role }} {{ message.content }} {% endfor %}",
    )
    fast.save_pretrained(folder)
    return fast


def tiny_av(**changes):
    """A verbalizer's sidecar for the tiny models."""
    return {
        "kind": "nla_model",
        "schema_version": 2,
        "role": "av",
        "d_model": WIDTH,
        "extraction": {"injection_scale": 4.0},
        "tokens": {
            "injection_char": "§",
            "injection_token_id": WORDS.index("§"),
            "injection_left_neighbor_id": WORDS.index("<concept>"),
            "injection_right_neighbor_id": WORDS.index("</concept>"),
        },
        "prompt_templates": {"av": "Describe <concept> {injection_char} </concept>"},
        "extraction_layer_index": 2,
    } | changes


def save_pair(folder):
    """A subject, a verbalizer and a reconstructor of layer 2, each a model of its own in a folder of its own."""
    save_model(folder / "subject", "gemma3")
    save_model(folder / "av", "gemma3_text", window=64)
    save_model(folder / "ar", "gemma3_text", blocks=3)
    save_tokenizer(folder / "av")
    save_tokenizer(folder / "ar")
    write_sidecar(folder / "av", tiny_av())
    template = {"ar": "<text> {explanation} </text> <summary>"}
    critic = ar(d_model=WIDTH, layer=2, prompt_templates=template, extraction={"normalized_variance": 2.0})
    write_sidecar(folder / "ar", critic)
    save_file({"weight": torch.eye(WIDTH)}, folder / "ar" / VALUE_HEAD_FILE)
    return folder


def write_sidecar(folder, sidecar):
    """A sidecar given as a dictionary."""
    (folder / SIDECAR_FILE).write_text(yaml.safe_dump(sidecar, allow_unicode=True), encoding="utf-8")
