"""What a method shows a label writer of a feature: its evidence, in the one form that the shared prompt takes.

Goes in: which texts, with which strengths. Stays out: how they are laid out and asked about (the prompts).
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from baez_pipeline.features.shown_text import shown_token
from baez_pipeline.labeling.method import Writing
from baez_pipeline.nla.paragraphs import last_paragraph
from baez_pipeline.tables import Outcome

MARKED_ABOVE = 0.3
"""Share of the window's largest activation above which a token is marked: delphi's default."""
MOST_TOKENS = 10
"""Active tokens that are listed of an example, the strongest ones; delphi's limit is 11, in the order of the text."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One example of a feature's activity."""

    text: str
    """An activating text, in one line, or an explanation."""
    strength: int
    """1 to 10, 10 = the strongest of those shown."""
    active_tokens: tuple[tuple[str, int], ...] = ()
    """Of an activating text: its most active tokens with their strengths, strongest first."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that is shown of a feature, strongest first; empty where all of it failed."""

    shown: tuple[Shown, ...]
    missing: str = ""
    """Why there is nothing to show."""
    last_paragraph_fallback: int | None = None
    """Explanations without a paragraph before their last one; None where whole ones are shown."""
    n_unfaithful: int | None = None
    """Explanations that hold too little of their activation to be shown; None where nothing is asked of them."""


ReadEvidence = Callable[[pl.DataFrame, Writing], Evidence]
"""Rows of one feature, and how the writer is asked -> the feature's evidence."""


def whole_explanations(explanations: pl.DataFrame, writing: Writing) -> Evidence:
    """NlaExplanations as they are; failed and unfaithful ones are not shown."""
    kept = _Kept.of(explanations, minimum_fve=writing.minimum_fve)
    return kept.evidence(kept.rows["explanation"].to_list(), fallback=None)


def last_paragraphs(explanations: pl.DataFrame, writing: Writing) -> Evidence:
    """The last paragraph of each of the NlaExplanations; failed and unfaithful ones are not shown."""
    kept = _Kept.of(explanations, minimum_fve=writing.minimum_fve)
    parts = [last_paragraph(text) for text in kept.rows["explanation"]]
    return kept.evidence([text for text, _ in parts], fallback=sum(alone for _, alone in parts))


def activating_texts(splits: pl.DataFrame, writing: Writing) -> Evidence:
    """The train examples of ExampleSplits, each cut to its shown window, its active tokens marked <<like this>>.

    Line breaks of a text are shown as ⏎, angle brackets as ‹ and ›.
    """
    train = splits.filter(pl.col("role") == "train").sort("rank")
    largest = max(train["peak_activation"])
    return Evidence(shown=tuple(_marked_text(row, largest) for row in train.iter_rows(named=True)))


def tenths(activation: float, largest: float) -> int:
    """An activation as an integer from 1 to 10: ceil(10 x activation / largest of those shown).

    The article's and delphi's scale (scoring audit, section 10).
    """
    # Rounding first: 10 x (0.3 / 0.3) must not become 11 by float noise.
    return max(1, min(10, math.ceil(round(10 * activation / largest, 6))))


def strongest_first(activations: Sequence[float], *, above: float) -> list[int]:
    """Places of the activations that are above this share of the largest one, the strongest first."""
    threshold = above * max(activations)
    active = [place for place, activation in enumerate(activations) if activation > threshold]
    return sorted(active, key=lambda place: -activations[place])


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """The explanations of a feature that are worth showing, and what became of the others."""

    rows: pl.DataFrame
    n_failed: int
    n_unfaithful: int
    minimum_fve: float | None

    @classmethod
    def of(cls, explanations: pl.DataFrame, *, minimum_fve: float | None) -> "_Kept":
        answered = explanations.filter(pl.col("outcome") == Outcome.OK).sort("rank")
        rows = answered
        if minimum_fve is not None:
            # An FVE that is not known is not enough of one; polars has NaN above every number.
            rows = answered.filter(pl.col("fve").is_finite() & (pl.col("fve") >= minimum_fve))
        return cls(
            rows=rows,
            n_failed=explanations.height - answered.height,
            n_unfaithful=answered.height - rows.height,
            minimum_fve=minimum_fve,
        )

    def evidence(self, texts: Sequence[str], *, fallback: int | None) -> Evidence:
        """What is shown of the kept rows, text by text."""
        activations = self.rows["peak_activation"].to_list()
        return Evidence(
            shown=tuple(
                Shown(text=text, strength=tenths(activation, max(activations)))
                for text, activation in zip(texts, activations, strict=True)
            ),
            missing="" if texts else self._why_none,
            last_paragraph_fallback=fallback,
            n_unfaithful=None if self.minimum_fve is None else self.n_unfaithful,
        )

    @property
    def _why_none(self) -> str:
        total = self.n_failed + self.n_unfaithful
        if not self.n_unfaithful:
            return f"all {total} explanations failed"
        return (
            f"of {total} explanations {self.n_failed} failed, and {self.n_unfaithful} have no FVE of at least "
            f"{self.minimum_fve} (labeling.minimum_fve)"
        )


def _marked_text(row: dict[str, Any], largest: float) -> Shown:
    window = slice(row["window_start"], row["window_end"])
    tokens = [shown_token(token, marks=True) for token in row["tokens"][window]]
    activations = row["activations"][window]
    active = strongest_first(activations, above=MARKED_ABOVE)
    runs = itertools.groupby(range(len(tokens)), key=set(active).__contains__)
    pieces = [(is_active, "".join(tokens[i] for i in run)) for is_active, run in runs]
    return Shown(
        text="".join(f"<<{piece}>>" if is_active else piece for is_active, piece in pieces),
        strength=tenths(row["peak_activation"], largest),
        active_tokens=tuple((tokens[i], tenths(activations[i], largest)) for i in active[:MOST_TOKENS]),
    )
