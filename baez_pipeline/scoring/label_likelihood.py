"""log p(label | text) by SmolLM2: the model's part of the likelihood judge."""

import copy
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from transformers import DynamicCache

from baez_pipeline.llm.delphi_client import FailedAnswerError
from baez_pipeline.llm.local_model import END_OF_TEXT
from baez_pipeline.llm.smollm2 import CONTEXT_LENGTH, MODEL_ID, load_smollm2
from baez_pipeline.tables import Outcome

TOKENS_PER_PASS = 1024
"""Tokens of texts that go through the model at once, padding included: 20 windows of 32 tokens fit."""

TOKENS_KEPT = 12_288
"""Tokens of texts whose keys and values stay in memory, 46 KB each: 15 features with 20 windows of 32 tokens."""


class Beginning(NamedTuple):
    """What a label is put after: a text, which may be empty, and the beginning of a statement about it."""

    text: str
    lead: str


@dataclass(frozen=True)
class _ReadTexts:
    lengths: torch.Tensor
    """Tokens of each text, [n_texts]."""
    cache: DynamicCache
    """Keys and values of the texts, padded at their end to the longest."""

    @property
    def tokens(self) -> int:
        return int(len(self.lengths) * self.lengths.max())


_read_texts: OrderedDict[tuple[str, ...], _ReadTexts] = OrderedDict()


def label_log_probabilities(beginnings: Sequence[Beginning], label: str) -> list[float]:
    """Mean log p over the label's tokens after each beginning, in nats.

    Beginnings are computed together, in an order of their own, and the texts apart from what follows: shapes and
    padding, and with them the last bit of every number, depend on the arguments alone. So the texts need reading only
    once for all labels and for detection and fuzz, as long as they stay in memory.

    Raises:
        FailedAnswerError: a beginning and the label together exceed the model's context.
    """
    ordered = sorted(range(len(beginnings)), key=lambda index: beginnings[index])
    longest = max(len(_ids(each.text + each.lead)) for each in beginnings) + len(_ids(label))
    if longest + 1 > CONTEXT_LENGTH:
        raise FailedAnswerError(
            Outcome.ERROR,
            f"Text and label have {longest:,} tokens together; the context of {MODEL_ID} ends at {CONTEXT_LENGTH:,}.",
        )
    at_once = max(1, TOKENS_PER_PASS // (max(len(_ids(each.text)) for each in beginnings) + 1))
    found: dict[int, float] = {}
    for start in range(0, len(ordered), at_once):
        chosen = ordered[start : start + at_once]
        read = _read(tuple(beginnings[index].text for index in chosen))
        means = _mean_after(read, [_ids(beginnings[index].lead) for index in chosen], _ids(f" {label}"))
        found.update(zip(chosen, means, strict=True))
    return [found[index] for index in range(len(beginnings))]


def _ids(text: str) -> list[int]:
    _, tokenizer = load_smollm2()
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    return ids


def _padded(sequences: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences as one tensor, padded at their end, and their lengths."""
    model, _ = load_smollm2()
    lengths = torch.tensor([len(ids) for ids in sequences], device=model.device)
    width = int(lengths.max())
    rows = [[*ids, *[END_OF_TEXT] * (width - len(ids))] for ids in sequences]
    return torch.tensor(rows, device=model.device), lengths


@torch.inference_mode()
def _read(texts: tuple[str, ...]) -> _ReadTexts:
    """The texts' keys and values, from memory where they are there."""
    if texts not in _read_texts:
        model, _ = load_smollm2()
        inputs, lengths = _padded([[END_OF_TEXT, *_ids(text)] for text in texts])
        cache = DynamicCache()
        # Padding comes last, where no token of the text can see it.
        model.model(inputs, past_key_values=cache, use_cache=True)
        _read_texts[texts] = _ReadTexts(lengths, cache)
        while len(_read_texts) > 1 and sum(read.tokens for read in _read_texts.values()) > TOKENS_KEPT:
            _read_texts.popitem(last=False)
    _read_texts.move_to_end(texts)
    return _read_texts[texts]


@torch.inference_mode()
def _mean_after(read: _ReadTexts, leads: Sequence[Sequence[int]], label: Sequence[int]) -> list[float]:
    """Mean log p over the label's tokens after each read text and its lead."""
    model, _ = load_smollm2()
    inputs, lengths = _padded([[*lead, *label] for lead in leads])
    steps = torch.arange(inputs.shape[1], device=model.device)
    before = torch.arange(int(read.lengths.max()), device=model.device)
    states = model.model(
        inputs,
        attention_mask=torch.cat([before < read.lengths[:, None], steps < lengths[:, None]], dim=1).long(),
        position_ids=read.lengths[:, None] + steps,
        # A copy, because the model writes what it reads into the cache.
        past_key_values=copy.deepcopy(read.cache),
        use_cache=True,
    ).last_hidden_state
    positions = lengths[:, None] - len(label) + torch.arange(len(label), device=model.device)
    # The vocabulary is a fifth of the model's work, and only what comes before the label's tokens predicts them.
    predicting = states.gather(1, (positions - 1)[..., None].expand(-1, -1, states.shape[-1]))
    log_probabilities = model.lm_head(predicting).float().log_softmax(-1)
    chosen = log_probabilities.gather(-1, inputs.gather(1, positions)[..., None]).squeeze(-1)
    means: list[float] = chosen.double().mean(-1).tolist()
    return means
