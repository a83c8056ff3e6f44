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


ReadEvidence = Callable[[pl.DataFrame], Evidence]
"""Rows of one feature -> its evidence."""


def whole_explanations(explanations: pl.DataFrame) -> Evidence:
    """NlaExplanations as they are; failed ones are not shown."""
    return _explanations(explanations, _shown_rows(explanations)["explanation"].to_list(), fallback=None)


def last_paragraphs(explanations: pl.DataFrame) -> Evidence:
    """The last paragraph of each of the NlaExplanations; failed ones are not shown."""
    parts = [last_paragraph(text) for text in _shown_rows(explanations)["explanation"]]
    return _explanations(explanations, [text for text, _ in parts], fallback=sum(alone for _, alone in parts))


def activating_texts(splits: pl.DataFrame) -> Evidence:
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


def _explanations(explanations: pl.DataFrame, texts: Sequence[str], *, fallback: int | None) -> Evidence:
    activations = _shown_rows(explanations)["peak_activation"].to_list()
    return Evidence(
        shown=tuple(
            Shown(text=text, strength=tenths(activation, max(activations)))
            for text, activation in zip(texts, activations, strict=True)
        ),
        missing="" if texts else f"all {explanations.height} explanations failed",
        last_paragraph_fallback=fallback,
    )


def _shown_rows(explanations: pl.DataFrame) -> pl.DataFrame:
    return explanations.filter(pl.col("outcome") == Outcome.OK).sort("rank")


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
