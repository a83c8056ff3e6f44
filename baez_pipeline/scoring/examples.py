"""Examples as judges see them: the shown text of a window, and a feature's examples as delphi's record.

Goes in: what is done to an example before any benchmark judges it. Stays out: judging.

delphi lists the examples of one question as lines "Example i: text", and marks tokens with << and >>. Whatever could be
taken for either is replaced in the text beforehand, one character for one, so that a judge's question has one reading
and the table records what was judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch

from baez_pipeline.features.shown_text import shown_token
from baez_pipeline.llm.delphi_import import ActivatingExample, Latent, LatentRecord, NonActivatingExample


@dataclass(frozen=True, kw_only=True)
class ShownExample:
    """The window of one example, token by token, as it is shown."""

    example: str
    truth: bool
    tokens: list[str]
    token_ids: list[int]
    activations: list[float]
    """The target feature's; on negatives what fuzz marks: the donor's (audit row 36), or the drawn token."""

    @property
    def text(self) -> str:
        """What is shown, without marks."""
        return "".join(self.tokens)

    def why_not_judged(self, *, marks: bool) -> str | None:
        """Why there is nothing to judge here, in a sentence; None for a usable example.

        Args:
            marks: the benchmark asks about marked tokens, so that there must be one.
        """
        if not self.text.strip():
            return "The shown window holds no text."
        if marks and max(self.activations) <= 0:
            return "No token of the shown window is active, so there is nothing to mark."
        return None


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
    values = row["activations"] if row["role"] == "test" else row["donor_activations"]
    if values is None:
        # A silent context of the feature's own record: fuzz asks about the token that was drawn as its peak.
        values = [float(position == row["peak_position"]) for position in range(len(row["tokens"]))]
    activations = values[window]
    return ShownExample(
        example=row["example"],
        truth=row["role"] == "test",
        tokens=tokens,
        token_ids=row["token_ids"][window] if row["token_ids"] else [],
        # A token that is not shown cannot be marked.
        activations=[value if token else 0.0 for value, token in zip(activations, tokens, strict=True)],
    )


def delphi_record(label: str, examples: Sequence[ShownExample]) -> LatentRecord:
    """delphi's record of a label and the examples that it is judged by.

    The record's examples hold the very lists of tokens given here, by which delphi's results are told apart.
    """
    record = LatentRecord(latent=Latent("", 0), explanation=" ".join(label.split()))
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
