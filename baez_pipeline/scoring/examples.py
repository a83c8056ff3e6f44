"""Examples as judges see them: the shown text of a window, and a feature's examples as delphi's record.

Goes in: what is done to an example before any benchmark judges it. Stays out: judging, and which tokens of a negative
are marked (`marking`).

delphi lists the examples of one question as lines "Example i: text", and marks tokens with << and >>. Whatever could be
taken for either is replaced in the text beforehand, one character for one, so that a judge's question has one reading
and the table records what was judged.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
import torch

from baez_pipeline.features.shown_text import shown_token
from baez_pipeline.llm.delphi_import import ActivatingExample, Latent, LatentRecord, NonActivatingExample

ACTIVE, SAME_TEXT = "active", "same_text"
"""Kinds of judged examples that are made of test examples; those of negatives are the splits' own."""

FEATURES_IN_MEMORY = 64
"""Of what is made for delphi from a feature's examples, some 0.3 MB each: labels of one feature come together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownExample:
    """The window of one example, token by token, as it is shown. Each is equal to itself alone."""

    example: str
    kind: str
    """As in JudgedExamples."""
    tokens: list[str]
    token_ids: list[int]
    activations: list[float]
    """By which delphi marks: the target feature's in test examples; in negatives the donor's, 0 in a silent context."""
    relative_activation: float | None = None
    """Peak of a test example over the feature's largest."""
    problem: str | None = None
    """Why there is nothing to judge here, in a sentence; None for a usable example."""

    @property
    def truth(self) -> bool:
        """What a judge should answer."""
        return self.kind == ACTIVE

    @property
    def text(self) -> str:
        """What is shown, without marks."""
        return "".join(self.tokens)


def shown_examples(splits: pl.DataFrame, *, marks: bool) -> list[ShownExample]:
    """A feature's test examples, then its negatives, each by rank.

    Args:
        splits: ExampleSplits of one feature.
        marks: tokens will be marked, so angle brackets of the text itself are replaced.
    """
    chosen = splits.filter(pl.col("role") != "train").sort(pl.col("role") == "negative", "rank")
    return [_shown(row, marks=marks) for row in chosen.iter_rows(named=True)]


def _shown(row: dict[str, Any], *, marks: bool) -> ShownExample:
    window = slice(row["window_start"], row["window_end"])
    tokens = [shown_token(token, marks=marks) for token in row["tokens"][window]]
    is_test = row["role"] == "test"
    values = row["activations"] if is_test or row["donor_activations"] is None else row["donor_activations"]
    return ShownExample(
        example=row["example"],
        kind=ACTIVE if is_test else row["negative_kind"],
        tokens=tokens,
        token_ids=row["token_ids"][window] if row["token_ids"] else [],
        # A token that is not shown cannot be marked.
        activations=[value if token else 0.0 for value, token in zip(values[window], tokens, strict=True)],
        relative_activation=row["relative_activation"] if is_test else None,
        problem=None if "".join(tokens).strip() else "The shown window holds no text.",
    )


def delphi_record(label: str, examples: Sequence[ShownExample]) -> LatentRecord:
    """delphi's record of a label and the examples that it is judged by.

    The record's examples hold the very lists of tokens given here, by which delphi's results are told apart.
    """
    return replace(_record_of(tuple(examples)), explanation=" ".join(label.split()))


@functools.lru_cache(FEATURES_IN_MEMORY)
def _record_of(examples: tuple[ShownExample, ...]) -> LatentRecord:
    record = LatentRecord(latent=Latent("", 0))
    for shown in examples:
        # ids and activations are of no consequence to a judge's text except for the marks.
        common = {
            "tokens": torch.tensor(shown.token_ids),
            "activations": torch.tensor(shown.activations),
            "str_tokens": shown.tokens,
        }
        if shown.truth:
            record.test.append(ActivatingExample(**common))
        else:
            record.not_active.append(NonActivatingExample(**common))
    return record
