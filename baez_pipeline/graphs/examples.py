"""Which of a feature's examples a label is made from, and which it is held against."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from baez_pipeline.experiment import Split
from baez_pipeline.features.examples import distinct_examples, document_of, readable_rows, shown_window, with_peaks
from baez_pipeline.features.near_copies import without_near_copies
from baez_pipeline.features.shown_text import shown_token
from baez_pipeline.tables import ExampleSplits
from baez_pipeline.tiers.windows import COMPARED, Context


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The examples of one feature, strongest first, no two of them near copies."""

    feature: str
    train: pl.DataFrame
    """Rows of ExampleSplits, of role train: what a label is made from."""
    test: pl.DataFrame
    """The same of role test: what it is scored by."""
    active_in: frozenset[str]
    """Ids of all contexts in which its record says that it is active."""

    @property
    def ids(self) -> list[str]:
        """Of the examples that a label is made from."""
        return self.train["example"].to_list()


def examples_of(record: pl.DataFrame, split: Split) -> Examples:
    """The strongest examples of a feature for its label, and those that follow for the label's score.

    Args:
        record: one row of FeatureRecords.
        split: how many of each, which token is an example's peak, and the window.
    """
    feature = record["feature"].item()
    ranked = without_near_copies(with_peaks(distinct_examples(record), split.peak), COMPARED)
    strongest = ranked["peak_activation"].max() if ranked.height else None
    rows = []
    for rank, example in enumerate(ranked.head(split.train + split.test).iter_rows(named=True), start=1):
        start, end = shown_window(example["tokens"], example["peak_position"], split.window)
        rows.append(
            {
                "feature": feature,
                "example": example["dataIndex"],
                "role": "train" if rank <= split.train else "test",
                "rank": rank,
                "document": document_of(example["dataSource"]),
                "tokens": example["tokens"],
                "token_ids": example["tokenIds"],
                "activations": example["values"],
                "peak_position": example["peak_position"],
                "peak_activation": example["peak_activation"],
                "relative_activation": example["peak_activation"] / strongest,
                "window_start": start,
                "window_end": end,
            }
        )
    table = pl.DataFrame(rows, schema=ExampleSplits.create_empty().schema, orient="row")
    return Examples(
        feature=feature,
        train=table.filter(pl.col("role") == "train"),
        test=table.filter(pl.col("role") == "test"),
        active_in=frozenset(readable_rows(record).filter(pl.col("maxValue") > 0)["dataIndex"]),
    )


def contexts_of(rows: pl.DataFrame) -> list[Context]:
    """Rows of ExampleSplits as the tier protocol takes them."""
    return [
        Context(row["tokens"], row["peak_position"], row["peak_activation"], row["document"])
        for row in rows.iter_rows(named=True)
    ]


def shown_texts(rows: pl.DataFrame) -> list[str]:
    """The windows that judges are shown, without marks and in one line each."""
    return [_text(row["tokens"][row["window_start"] : row["window_end"]]) for row in rows.iter_rows(named=True)]


def _text(tokens: Sequence[str]) -> str:
    return " ".join("".join(shown_token(token, marks=False) for token in tokens).replace("▁", " ").split())
