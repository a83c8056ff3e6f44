"""Train, test and negative examples of one feature, as the table that labels and scores are made from."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from baez_pipeline.experiment import Split
from baez_pipeline.features.designs import train_and_test
from baez_pipeline.features.examples import distinct_examples, document_of, shown_window
from baez_pipeline.features.lending import Lender
from baez_pipeline.features.negatives import Negative, choose_negatives
from baez_pipeline.features.source import FeatureSource
from baez_pipeline.tables import ExampleSplits

_COLUMNS = ExampleSplits.create_empty().schema


def split_examples(
    record: pl.DataFrame,
    donors: Sequence[int],
    source: FeatureSource,
    split: Split,
    *,
    is_silent: Callable[[str], bool | None],
    seed: int,
) -> pl.DataFrame:
    """The examples of one feature by role.

    Args:
        record: one row of FeatureRecords.
        donors: feature indices, in the order in which they are tried.
        source: asked for the donors' records.
        split: how many of each, by which design, and the window.
        is_silent: of a context by dataIndex, whether this feature is silent in it; None = cannot tell.
        seed: of all that is drawn.

    Returns:
        ExampleSplits. Fewer negatives than asked for where the donors' contexts run out.

    Raises:
        SourceError: train and test cannot be chosen from the record's examples (`can_split` says when), or a donor's
            record cannot be read.
    """
    feature = record["feature"].item()
    examples = distinct_examples(record)
    chosen = train_and_test(examples, split, feature=feature, seed=seed)
    rows = [_positive(example, split) for example in chosen.iter_rows(named=True)]
    own = Lender.of(record, examples, split.peak, donor=None)
    negatives = choose_negatives(own, donors, source, split, feature=feature, is_silent=is_silent, seed=seed)
    rows += [_negative(negative, split) | {"rank": rank} for rank, negative in enumerate(negatives, start=1)]
    # Checked when it is stored, many features together: one by one it takes as long as the draws.
    return pl.DataFrame([row | {"feature": feature} for row in rows], schema=_COLUMNS, orient="row")


def _positive(example: Mapping[str, Any], split: Split) -> dict[str, Any]:
    return _row(example, example["peak_position"], split) | {
        "role": example["role"],
        "rank": example["rank"],
        "activations": example["values"],
        "donor_index": None,
        "donor_activations": None,
        "peak_activation": example["peak_activation"],
        "relative_activation": example["relative_activation"],
        "negative_kind": None,
        "silent": None,
    }


def _negative(negative: Negative, split: Split) -> dict[str, Any]:
    values = negative.context["values"]
    return _row(negative.context, negative.place, split) | {
        "role": "negative",
        "activations": [0.0] * len(values),
        "donor_index": negative.donor,
        "donor_activations": values if negative.donor is not None else None,
        "peak_activation": values[negative.place],
        "relative_activation": None,
        "negative_kind": negative.kind,
        "silent": negative.silent,
    }


def _row(context: Mapping[str, Any], place: int, split: Split) -> dict[str, Any]:
    start, end = shown_window(context["tokens"], place, split.window)
    return {
        "example": context["dataIndex"],
        "document": document_of(context["dataSource"]),
        "tokens": context["tokens"],
        "token_ids": context["tokenIds"],
        "peak_position": place,
        "window_start": start,
        "window_end": end,
    }
