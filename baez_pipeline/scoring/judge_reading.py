"""Texts and labels as the embedded judge reads them, each once: what detection, fuzz and all labels share."""

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from baez_pipeline.embedded.judge_model import (
    LABEL_END,
    LABEL_START,
    TEXT_START,
    JudgeModel,
    load_judge,
    token_log_odds,
)
from baez_pipeline.llm.delphi_client import FailedAnswerError
from baez_pipeline.llm.smollm2 import CONTEXT_LENGTH, MODEL_ID, load_smollm2
from baez_pipeline.tables import Outcome

TEXTS_KEPT = 2048
"""Texts whose vectors stay in memory, 41 KB each at 32 tokens."""

LABELS_KEPT = 4096
"""Labels whose vectors stay in memory, 1.3 KB for each of their tokens."""


class ReadText(NamedTuple):
    """A text's tokens."""

    vectors: Tensor
    """One for each token, [tokens, dimensions]."""
    spans: tuple[tuple[int, int], ...]
    """The characters of each token, half-open."""


class ReadLabel(NamedTuple):
    """The vectors of a label's tokens, [label tokens, dimensions], and their biases, [label tokens]."""

    vectors: Tensor
    biases: Tensor


def log_odds_by_token(text: str, label: str) -> tuple[Tensor, tuple[tuple[int, int], ...]]:
    """Log-odds that the label's feature is active at each token of a text, and the tokens' characters.

    Texts and labels are read one by one, so that every number depends, to the last bit, on its own text and label.

    Raises:
        FailedAnswerError: the text has no token, or text or label exceeds the model's context.
    """
    read = _read_text(text)
    return token_log_odds(read.vectors, *_read_label(label)), read.spans


@functools.lru_cache(maxsize=1)
def _judge() -> JudgeModel:
    model, _ = load_smollm2()
    return load_judge(model)


@functools.lru_cache(maxsize=TEXTS_KEPT)
@torch.inference_mode()
def _read_text(text: str) -> ReadText:
    _, tokenizer = load_smollm2()
    encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
    states = _states([TEXT_START, *encoded["input_ids"]], "The text")
    lengths = torch.tensor([len(encoded["input_ids"])])
    vectors = _judge().token_vectors(states, lengths)[0]
    return ReadText(vectors, tuple((start, end) for start, end in encoded["offset_mapping"]))


@functools.lru_cache(maxsize=LABELS_KEPT)
@torch.inference_mode()
def _read_label(label: str) -> ReadLabel:
    _, tokenizer = load_smollm2()
    ids = [LABEL_START, *tokenizer.encode(label, add_special_tokens=False, split_special_tokens=True), LABEL_END]
    vectors, biases = _judge().label_vectors(_states(ids, "The label"), torch.tensor([len(ids)]))
    return ReadLabel(vectors[0], biases[0])


def _states(ids: list[int], what: str) -> Tensor:
    if len(ids) == 1:
        raise FailedAnswerError(Outcome.ERROR, f"{what} holds no token.")
    if len(ids) > CONTEXT_LENGTH:
        raise FailedAnswerError(
            Outcome.ERROR,
            f"{what} has {len(ids):,} tokens with its marks; the context of {MODEL_ID} ends at {CONTEXT_LENGTH:,}.",
        )
    return _judge().states(torch.tensor([ids]))
