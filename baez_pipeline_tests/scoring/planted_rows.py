"""Rows of example_splits and labels made from sentences, for the tests of scoring."""

from typing import Any

import polars as pl

from baez_pipeline.tables import ExampleSplits

MUSIC = [
    " The band recorded a new song for the album",
    " She sang an old melody at the concert",
    " He plays guitar and drums in a rock group",
    " The orchestra performed the symphony twice that evening",
    " Their second single reached the top of the charts",
]
OTHERS = [
    " The river flows north into the great lake",
    " Voters elected a new president in the spring",
    " The cell divides and copies its own genes",
    " Soldiers crossed the border before the winter",
    " The company sold its shares to a bank",
]
PEAKS = ["song", "melody", "guitar", "symphony", "single", "river", "president", "genes", "Soldiers", "shares"]


def tokens_of(text: str) -> list[str]:
    """Words with their leading space, as tokenizers have them."""
    return [f" {word}" for word in text.split(" ")[1:]]


def split_row(feature: str, example: str, tokens: list[str], peak: int, *, role: str, rank: int) -> dict[str, Any]:
    own = [float(position == peak) for position in range(len(tokens))]
    negative = role == "negative"
    return {
        "feature": feature,
        "example": example,
        "role": role,
        "rank": rank,
        "tokens": tokens,
        "activations": [0.0] * len(tokens) if negative else own,
        "donor_index": 7 if negative else None,
        "donor_activations": own if negative else None,
        "peak_position": peak,
        "peak_activation": 1.0,
        "relative_activation": None if negative else 1.0,
        "negative_kind": "other_peak" if negative else None,
        "window_start": 0,
        "window_end": len(tokens),
    }


def splits_table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return ExampleSplits.validate(pl.DataFrame(rows, schema=ExampleSplits.create_empty().schema))


def music_splits(feature: str = "toy_000001") -> pl.DataFrame:
    """A feature of music: five test examples and five negatives, a word marked in each, and a train example."""
    rows = [split_row(feature, "train-0", tokens_of(MUSIC[0]), 2, role="train", rank=1)]
    for index, text in enumerate(MUSIC + OTHERS):
        tokens = tokens_of(text)
        peak = next(position for position, token in enumerate(tokens) if token.strip() == PEAKS[index])
        role, rank = ("test", index + 2) if index < len(MUSIC) else ("negative", index - len(MUSIC) + 1)
        rows.append(split_row(feature, f"{role}-{rank}", tokens, peak, role=role, rank=rank))
    return splits_table(rows)


def labels_table(*labels: str | None, feature: str = "toy_000001", method: str = "baez") -> pl.DataFrame:
    """Labels of one feature as `judge_labels` takes them; None for one that failed."""
    return pl.DataFrame(
        [
            {
                "feature": feature,
                "method": method,
                "shuffle": 0,
                "label_from": feature,
                "label": label,
                "outcome": "ok" if label is not None else "unparsable",
                "detail": None if label is not None else "No marker in the answer.",
            }
            for label in labels
        ],
        schema_overrides={"label": pl.String, "detail": pl.String},
    )
