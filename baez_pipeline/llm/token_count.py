"""Counting tokens of a text for a model whose tokenizer is not here."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from baez_pipeline.llm.chat import Message
from baez_pipeline.llm.smollm2 import gguf_path

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOKENS_PER_MESSAGE = 5
"""What ChatML adds to a message: its two marks, the role and two line breaks."""


@functools.cache
def _tokenizer() -> PreTrainedTokenizerBase:
    import transformers
    from transformers import AutoTokenizer

    transformers.utils.logging.disable_progress_bar()
    path = gguf_path()
    return AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)


def count_tokens(*messages: Message) -> int:
    """Tokens of messages by SmolLM2's tokenizer, a byte-level BPE with 49,152 tokens.

    Vocabularies of large models are two to five times as big, so that their counts of English are a few per cent lower;
    Claude's newer tokenizers count up to a third more. An estimate says so.

    Raises:
        MissingPackageError: the package with the tokenizer is not installed.
    """
    contents = [message["content"] for message in messages]
    return sum(len(ids) for ids in _tokenizer()(contents)["input_ids"]) + TOKENS_PER_MESSAGE * len(messages)
