"""Examples that show nearly the same text: boilerplate with another number in it, one passage in two editions.

A label written from one of them would be judged by the other.
"""

from typing import Literal

import polars as pl

from baez_pipeline.features.examples import SPECIAL_TOKENS, shown_window

# Tokens in a row that are compared, and the share of them in common (Jaccard) from which on texts are near copies.
_SHINGLE = 5
_NEARLY_THE_SAME = 0.8


def without_near_copies(examples: pl.DataFrame, window: int | Literal["whole"]) -> pl.DataFrame:
    """The examples whose shown window is no near copy of an earlier one's.

    Args:
        examples: of `with_peaks`.
        window: tokens shown around the peak.
    """
    kept: list[frozenset[tuple[str, ...]]] = []
    distinct: list[bool] = []
    for row in examples.select("tokens", "peak_position").iter_rows(named=True):
        start, end = shown_window(row["tokens"], row["peak_position"], window)
        shingles = _shingles([token for token in row["tokens"][start:end] if token not in SPECIAL_TOKENS])
        is_distinct = not any(_jaccard(shingles, other) >= _NEARLY_THE_SAME for other in kept)
        distinct.append(is_distinct)
        if is_distinct:
            kept.append(shingles)
    return examples.filter(pl.Series(distinct, dtype=pl.Boolean))


def _shingles(tokens: list[str]) -> frozenset[tuple[str, ...]]:
    """Every run of five tokens; the whole text where it is shorter."""
    return frozenset(tuple(tokens[i : i + _SHINGLE]) for i in range(max(1, len(tokens) - _SHINGLE + 1)))


def _jaccard(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)
