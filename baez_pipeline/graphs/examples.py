"""Which of a feature's examples a label is made from, and which it is held against."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from baez_pipeline.experiment import Split
from baez_pipeline.features.designs import can_split, train_and_test
from baez_pipeline.features.examples import distinct_examples, document_of, readable_rows, shown_window
from baez_pipeline.features.shown_text import shown_token
from baez_pipeline.tables import ExampleSplits
from baez_pipeline.tiers.windows import Context


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The examples of one feature, the highest peak first."""

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


def examples_of(record: pl.DataFrame, split: Split, *, seed: int) -> Examples:
    """The examples of a feature for its label, and others for the label's score, chosen as the experiment's are.

    A graph's features are given: one with fewer examples than the split asks for is not left out, but has fewer to be
    scored by, down to none, and then fewer to be labelled by.

    Args:
        record: one row of FeatureRecords.
        split: how many of each, by which design, whether they may share a document, the peak, and the window.
        seed: of the designs that draw.
    """
    feature = record["feature"].item()
    examples = distinct_examples(record)
    possible = next((each for each in _smaller(split) if can_split(examples, each) is None), None)
    rows = []
    if possible is not None:
        for example in train_and_test(examples, possible, feature=feature, seed=seed).iter_rows(named=True):
            start, end = shown_window(example["tokens"], example["peak_position"], split.window)
            rows.append(
                {
                    "feature": feature,
                    "example": example["dataIndex"],
                    "role": example["role"],
                    "rank": example["rank"],
                    "document": document_of(example["dataSource"]),
                    "tokens": example["tokens"],
                    "token_ids": example["tokenIds"],
                    "activations": example["values"],
                    "peak_position": example["peak_position"],
                    "peak_activation": example["peak_activation"],
                    "relative_activation": example["relative_activation"],
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


def _smaller(split: Split) -> Iterator[Split]:
    """The split, then those with less for test, then those with none for it and less for train."""
    for test in range(split.test, -1, -1):
        yield split.model_copy(update={"test": test})
    for train in range(split.train - 1, 0, -1):
        yield split.model_copy(update={"train": train, "test": 0})


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
