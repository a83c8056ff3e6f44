"""What a question to a paid model costs, and the most that it can cost before it is sent."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from baez_pipeline.answers import Asked
from baez_pipeline.experiment import HttpModel
from baez_pipeline.llm.chat import Completion, Message, Purpose
from baez_pipeline.llm.reading import Answer

TOKENS_PER_MESSAGE = 16
"""More than any chat template adds to a message (ChatML and Llama's: 5 to 8)."""
MILLION = 1e6
BATCH_DISCOUNT = 0.5
"""What a batch costs of the price of its requests: OpenAI's Batch API pricing (field guide, scoring audit 9)."""


def price(settings: HttpModel, *, tokens_in: int, tokens_cached: int, tokens_out: int) -> float:
    """US dollars by the experiment file's prices; `tokens_cached` of `tokens_in` at theirs, batches at half."""
    cached_price = settings.usd_per_million_cached_in
    return (
        _part_paid(settings)
        * (
            (tokens_in - tokens_cached) * settings.usd_per_million_in
            + tokens_cached * (settings.usd_per_million_in if cached_price is None else cached_price)
            + tokens_out * settings.usd_per_million_out
        )
        / MILLION
    )


def highest_price(
    settings: HttpModel, messages: Sequence[Message], *, max_tokens: int, schema: Mapping[str, Any] | None = None
) -> float:
    """The most that a question can cost, in US dollars, whatever the model's tokenizer.

    A token of the byte-level and byte-fallback tokenizers in use stands for at least one byte, so a text has at most as
    many tokens as bytes; of English it has about a quarter. A JSON schema becomes part of the prompt. Held before a
    question is sent, freed when it is answered.
    """
    tokens_in = sum(len(message["content"].encode()) + TOKENS_PER_MESSAGE for message in messages)
    tokens_in += len(json.dumps(schema)) + TOKENS_PER_MESSAGE if schema else 0
    dearest = max(settings.usd_per_million_in, settings.usd_per_million_cached_in or 0.0)
    return _part_paid(settings) * (tokens_in * dearest + max_tokens * settings.usd_per_million_out) / MILLION


def _part_paid(settings: HttpModel) -> float:
    return BATCH_DISCOUNT if settings.mode == "batch" else 1.0


@dataclass(kw_only=True)
class Bill:
    """What is counted while a question is tried."""

    at_most: float
    """The most that one try can cost, in US dollars."""
    held: list[str]
    """Ids of the money that is set aside for it."""
    tries: int = 0
    lost: int = 0
    """Tries whose answer may have been made, and billed, but did not get here."""
    asked_at: float = field(default_factory=time.time)
    _begun: float = field(default_factory=time.monotonic)

    def row(
        self, settings: HttpModel, experiment: str, purpose: Purpose, completion: Completion, answer: Answer | None
    ) -> Asked:
        """The ledger's row. An answer without token counts is held at the most that it can have cost."""
        tokens_in, cached, tokens_out = (
            (answer.tokens_in, answer.tokens_cached, answer.tokens_out) if answer else (None, None, None)
        )
        usd = price(settings, tokens_in=tokens_in or 0, tokens_cached=cached or 0, tokens_out=tokens_out or 0)
        uncounted = self.lost + (answer is not None and (tokens_in is None or tokens_out is None))
        return Asked(
            experiment=experiment,
            **vars(purpose),
            model=settings.model,
            asked_at=self.asked_at,
            seconds=time.monotonic() - self._begun,
            tries=max(1, self.tries),
            tokens_in=tokens_in,
            tokens_cached=cached,
            tokens_out=tokens_out,
            usd=usd,
            usd_at_most=usd + uncounted * self.at_most,
            outcome=completion.outcome,
            detail=completion.detail,
        )
