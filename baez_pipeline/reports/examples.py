"""Activating examples as a page shows them: pieces of text with their strength, the peak, the window and the
rest.

Goes in: cutting tokens into pieces. Stays out: colours and layout.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from baez_pipeline.reports.wording import activation, percent


@dataclass(frozen=True)
class Piece:
    """A run of silent tokens, or one active token."""

    text: str
    shade: float = 0.0
    """0 = silent, to 1 = the feature's largest peak."""
    value: str = ""
    """The activation in words; empty on silent text."""
    peak: bool = False


@dataclass(frozen=True)
class ExampleView:
    """One example. `before` and `after` are the context outside the window that label writers and judges
    saw."""

    rank: int
    role: str
    document: str | None
    peak: float
    share: float
    """Peak over the feature's largest peak."""
    n_tokens: int
    before: tuple[Piece, ...]
    window: tuple[Piece, ...]
    after: tuple[Piece, ...]


def example_view(row: dict[str, Any], *, largest: float) -> ExampleView:
    """The view of one row of ExampleSplits of role train or test.

    Args:
        row: with its columns as keys.
        largest: the feature's largest peak among the examples on the page (source's own unit), above 0.
    """
    start, end = row["window_start"], row["window_end"]

    def pieces(low: int, high: int) -> tuple[Piece, ...]:
        return tuple(
            _pieces(row["tokens"][low:high], row["activations"][low:high], largest, row["peak_position"] - low)
        )

    return ExampleView(
        rank=row["rank"],
        role=row["role"],
        document=row["document"],
        peak=row["peak_activation"],
        share=row["peak_activation"] / largest,
        n_tokens=len(row["tokens"]),
        before=pieces(0, start),
        window=pieces(start, end),
        after=pieces(end, len(row["tokens"])),
    )


def example_views(splits: pl.DataFrame) -> list[ExampleView]:
    """The train and test examples of one feature, by rank, shaded by its largest peak among them.

    Args:
        splits: ExampleSplits of the feature.
    """
    rows = splits.filter(pl.col("role") != "negative").sort("rank").to_dicts()
    largest = max((row["peak_activation"] for row in rows), default=0.0)
    return [example_view(row, largest=largest) for row in rows]


def _pieces(tokens: Sequence[str], activations: Sequence[float], largest: float, peak_position: int) -> Iterator[Piece]:
    silent = ""
    for position, (token, value) in enumerate(zip(tokens, activations, strict=True)):
        if value <= 0:
            silent += token
            continue
        # The blank that many tokens begin with stays outside the shading, as between words it looks like part of both.
        blank = " " if token.startswith(" ") and token.strip(" ") else ""
        if silent + blank:
            yield Piece(silent + blank)
        silent = ""
        yield Piece(
            text=token.removeprefix(blank),
            shade=min(1.0, value / largest),
            value=f"activation {activation(value)}, {percent(value / largest)} of the largest peak",
            peak=position == peak_position,
        )
    if silent:
        yield Piece(silent)
