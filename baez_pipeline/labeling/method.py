"""What a label method is, and how features are labelled with one."""

import functools
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import polars as pl

from baez_pipeline.labeling.answer import Answer
from baez_pipeline.llm.chat import ChatModel, Purpose
from baez_pipeline.llm.in_flight import as_finished
from baez_pipeline.tables import Labels

Prompts = Literal["shared", "own"]
"""The one prompt of all methods, or each method's own."""
_COLUMNS = Labels.create_empty().schema


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a method made of one feature's evidence."""

    answer: Answer
    n_shown: int
    last_paragraph_fallback: int | None = None
    n_unfaithful: int | None = None
    text: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None


@dataclass(frozen=True, kw_only=True)
class Writing:
    """How the label writer is asked."""

    prompts: Prompts
    numbered_examples: bool
    maximum_words: int
    temperature: float | None
    """None: the model's default."""
    max_tokens: int
    prefill: str | None
    """The answer's first words, the marker first: a small model needs them, and not every remote one allows it."""
    seed: int
    minimum_fve: float | None = None
    """Explanations that hold less of their activation are not shown; None: all are."""
    purpose: Purpose = field(default_factory=Purpose)


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One way to ask for a label."""

    text: Callable[[Writing], str]
    """What every question of it has in common, with everything of the settings that changes it: part of the
    fingerprint, so that a changed prompt makes its labels stale, and those of no other prompt."""
    write: Callable[[pl.DataFrame, ChatModel, Writing], Awaitable[Written]]
    """Rows of one feature, the writer, how to ask -> what came of it."""


@dataclass(frozen=True, kw_only=True)
class LabelMethod:
    """A method: its evidence, and how it asks for a label."""

    name: str
    reads: Literal["nla_explanations", "example_splits"]
    prompts: Mapping[Prompts, Prompt]

    def prompt(self, writing: Writing) -> Prompt:
        """The prompt in use."""
        return self.prompts[writing.prompts]


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Who is asked for a label, and how."""

    method: LabelMethod
    open_writer: Callable[[], ChatModel]
    """Called when there is something to ask."""
    writing: Writing

    def labels(self, evidence: Mapping[str, pl.DataFrame]) -> Iterator[tuple[str, pl.DataFrame]]:
        """As `label_features`; the writer is opened if there is a feature."""
        if evidence:
            writer = self.open_writer()
            yield from label_features(self.method, evidence, writer, self.writing, concurrency=writer.concurrency)


def label_features(
    method: LabelMethod,
    evidence: Mapping[str, pl.DataFrame],
    writer: ChatModel,
    writing: Writing,
    *,
    concurrency: int,
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Label features, as many at once as `concurrency` allows; each is given back as soon as it is finished.

    Args:
        method: the method.
        evidence: per feature a frame of the table that the method reads.
        writer: the label writer.
        writing: how it is asked.
        concurrency: features in flight.

    Yields:
        feature and its Labels row.
    """

    async def label(feature: str) -> tuple[str, pl.DataFrame]:
        purpose = Purpose(asset=f"labels_{method.name}", feature=feature, method=method.name)
        written = await method.prompt(writing).write(evidence[feature], writer, replace(writing, purpose=purpose))
        return feature, _row(feature, method, writer, written)

    yield from as_finished([functools.partial(label, feature) for feature in evidence], limit=concurrency)


def _row(feature: str, method: LabelMethod, writer: ChatModel, written: Written) -> pl.DataFrame:
    row = {
        "feature": feature,
        "method": method.name,
        "label": written.answer.label,
        "n_shown": written.n_shown,
        "last_paragraph_fallback": written.last_paragraph_fallback,
        "n_unfaithful": written.n_unfaithful,
        "model": writer.identity,
        "answer": written.text,
        "tokens_in": written.tokens_in,
        "tokens_out": written.tokens_out,
        "outcome": written.answer.outcome.value,
        "detail": written.answer.detail,
    }
    # Checked when it is stored: here it would hold up the requests in flight.
    return pl.DataFrame([row], schema=_COLUMNS, orient="row")
