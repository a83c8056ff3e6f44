"""delphi's `DefaultExplainer` as the own prompt of `eleuther_acts_top5` uses it.

Importing this imports delphi, which takes seconds.
"""

from typing import Any

import polars as pl
import torch

from baez_pipeline.features.shown_text import shown_token
from baez_pipeline.labeling.answer import MARKER
from baez_pipeline.labeling.evidence import MOST_TOKENS, strongest_first
from baez_pipeline.llm.delphi_import import ActivatingExample, DefaultExplainer, Latent, LatentRecord


class WholeAnswer(DefaultExplainer):  # type: ignore[misc]
    """delphi's explainer as it is, but that the answer is handed on whole: our parser reads it (audit row 27)."""

    def parse_explanation(self, text: str) -> str:
        """The answer."""
        return text


class NumberedExplainer(WholeAnswer):
    """The same with its question in the form of delphi's own worked examples: "Example i:", one line each (row 25).

    Of each example the strongest active tokens are listed, where delphi lists the first ones (row 26).
    """

    def _build_prompt(self, examples: list[Any]) -> list[dict[str, str]]:
        messages: list[dict[str, str]] = super()._build_prompt(examples)
        listed = [
            f"Example {number}: {self._highlight(example.str_tokens, example.activations.tolist())}\n"
            f"{self._strongest(example)}"
            for number, example in enumerate(examples, start=1)
        ]
        messages[-1]["content"] = "\n" + "\n".join(listed).replace(MARKER, "(EXPLANATION):") + "\n"
        return messages

    def _strongest(self, example: Any) -> str:
        chosen = strongest_first(example.activations.tolist(), above=self.threshold)[:MOST_TOKENS]
        values = example.normalized_activations
        return "Activations: " + ", ".join(f'("{example.str_tokens[i]}", {int(values[i])})' for i in chosen)


def delphi_record(train: pl.DataFrame, *, one_line: bool) -> object:
    """delphi's record of the train examples, each cut to its shown window.

    Activations are normalised as delphi's sampler does: ceil(10 x activation / the largest of those shown).

    Args:
        train: rows of ExampleSplits, strongest first.
        one_line: replace line breaks, special tokens and what could be taken for a mark; otherwise tokens are delphi's
            as the source has them.
    """
    record = LatentRecord(latent=Latent("", 0))
    largest = max(train["peak_activation"])
    for row in train.iter_rows(named=True):
        window = slice(row["window_start"], row["window_end"])
        activations = torch.tensor(row["activations"][window])
        tokens = row["tokens"][window]
        record.train.append(
            ActivatingExample(
                tokens=torch.zeros(len(activations), dtype=torch.long),
                activations=activations,
                normalized_activations=(activations * 10 / largest).ceil().clamp(0, 10),
                str_tokens=[shown_token(token, marks=True) for token in tokens] if one_line else tokens,
            )
        )
    return record
