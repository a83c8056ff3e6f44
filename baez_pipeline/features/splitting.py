"""Train, test and negative examples of one feature.

Train are the strongest examples, test the ranks after them, negatives come from other features' examples: every one of
them is some feature's peak, not random text. Donors are the roster's, in its order.
"""

from collections.abc import Iterable
from typing import Any

import polars as pl

from baez_pipeline.draws import seeded_order
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import Split
from baez_pipeline.features.examples import distinct_examples, shown_window
from baez_pipeline.features.source import FeatureSource, index_of_key
from baez_pipeline.tables import ExampleSplits


def split_examples(
    record: pl.DataFrame, donors: Iterable[int], source: FeatureSource, split: Split, *, seed: int
) -> pl.DataFrame:
    """The examples of one feature by role.

    Args:
        record: one row of FeatureRecords.
        donors: feature indices, in the order in which they are tried; each lends one example at most.
        source: asked for the donors' records and whether the feature is silent in their examples.
        split: how many of each, and the window.
        seed: of the choice among a donor's examples.

    Returns:
        ExampleSplits. Fewer negatives than asked for where the donors run out of silent examples.

    Raises:
        SourceError: the record has fewer examples than train and test need.
    """
    feature = record["feature"].item()
    examples = distinct_examples(record)
    needed = split.train + split.test
    if examples.height < needed:
        raise SourceError(
            f"Feature {feature} has {examples.height} distinct activating examples; "
            f"split.train + split.test asks for {needed}."
        )
    largest = examples["maxValue"][0]
    rows = [
        _row(feature, example, split, role="train" if rank <= split.train else "test", rank=rank)
        | {"relative_activation": example["maxValue"] / largest}
        for rank, example in enumerate(examples.head(needed).iter_rows(named=True), start=1)
    ]
    rows += _negatives(feature, donors, source, split, seed=seed)
    return ExampleSplits.validate(pl.DataFrame(rows, schema=ExampleSplits.create_empty().schema, orient="row"))


def _negatives(
    feature: str, donors: Iterable[int], source: FeatureSource, split: Split, *, seed: int
) -> list[dict[str, Any]]:
    index = index_of_key(feature)
    found: list[dict[str, Any]] = []
    taken: set[str] = set()
    for donor in donors:
        if len(found) == split.negatives:
            break
        record = source.record(donor)
        if record is None:
            continue
        examples = {row["dataIndex"]: row for row in distinct_examples(record).iter_rows(named=True)}
        for data_index in seeded_order(examples, seed, "negative", feature, donor):
            silent = source.is_silent(index, data_index)
            # Two donors may share a context; shown twice it would count twice.
            if silent is False or data_index in taken:
                continue
            taken.add(data_index)
            found.append(
                _row(feature, examples[data_index], split, role="negative", rank=len(found) + 1)
                | {
                    "activations": [0.0] * len(examples[data_index]["tokens"]),
                    "donor_index": donor,
                    "donor_activations": examples[data_index]["values"],
                    "silent": silent,
                }
            )
            break
    return found


def _row(feature: str, example: dict[str, Any], split: Split, *, role: str, rank: int) -> dict[str, Any]:
    peak = example["maxValueTokenIndex"]
    start, end = shown_window(example["tokens"], peak, split.window)
    return {
        "feature": feature,
        "example": example["dataIndex"],
        "role": role,
        "rank": rank,
        "document": example["dataSource"],
        "tokens": example["tokens"],
        "token_ids": example["tokenIds"],
        "activations": example["values"],
        "donor_index": None,
        "donor_activations": None,
        "peak_position": peak,
        "peak_activation": example["maxValue"],
        "relative_activation": None,
        "window_start": start,
        "window_end": end,
        "silent": None,
    }
