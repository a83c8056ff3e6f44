"""Train, test and negative examples of one feature.

Train are the strongest examples, test the ranks after them. Negatives are contexts in which the source found the
feature silent, where its record holds such, and then other features' examples: every one of those is some feature's
peak, not random text. Donors are the roster's, in its order.
"""

from collections.abc import Sequence
from typing import Any

import polars as pl

from baez_pipeline.draws import seeded_order
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import Split
from baez_pipeline.features.examples import (
    SPECIAL_TOKENS,
    distinct_examples,
    shown_window,
    silent_contexts,
    with_peaks,
)
from baez_pipeline.features.source import FeatureSource, index_of_key
from baez_pipeline.tables import ExampleSplits


def split_examples(
    record: pl.DataFrame, donors: Sequence[int], source: FeatureSource, split: Split, *, seed: int
) -> pl.DataFrame:
    """The examples of one feature by role.

    Args:
        record: one row of FeatureRecords.
        donors: feature indices, in the order in which they are tried; each lends one example at most.
        source: asked for the donors' records and whether the feature is silent in their examples.
        split: how many of each, and the window.
        seed: of the choice among silent contexts and among a donor's examples.

    Returns:
        ExampleSplits. Fewer negatives than asked for where the donors run out of silent examples.

    Raises:
        SourceError: the record has fewer examples than train and test need, or a donor's record cannot be read.
    """
    feature = record["feature"].item()
    examples = with_peaks(distinct_examples(record), split.peak)
    needed = split.train + split.test
    if examples.height < needed:
        raise SourceError(
            f"Feature {feature} has {examples.height} distinct activating examples; "
            f"split.train + split.test asks for {needed}."
        )
    largest = examples["peak_activation"][0]
    rows = [
        _row(feature, example, split, role="train" if rank <= split.train else "test")
        | {"relative_activation": example["peak_activation"] / largest}
        for rank, example in enumerate(examples.head(needed).iter_rows(named=True), start=1)
    ]
    silent = _silent_negatives(record, split, seed=seed)
    # A donor may lend what the feature's own record holds: its activating texts, or a context shown already.
    taken = {"".join(tokens) for tokens in examples["tokens"].to_list()} | {"".join(row["tokens"]) for row in silent}
    shown = {row["example"] for row in silent}
    wanted = split.negatives - len(silent)
    lent = _lent_negatives(feature, donors, source, split, wanted=wanted, taken=taken, shown=shown, seed=seed)
    ranked = [row | {"rank": rank} for part in (rows, [*silent, *lent]) for rank, row in enumerate(part, start=1)]
    return ExampleSplits.validate(pl.DataFrame(ranked, schema=ExampleSplits.create_empty().schema, orient="row"))


def _silent_negatives(record: pl.DataFrame, split: Split, *, seed: int) -> list[dict[str, Any]]:
    """Contexts of the feature's own record in which it is silent. What is shown of each is drawn: it has no peak."""
    feature = record["feature"].item()
    contexts = {row["dataIndex"]: row for row in silent_contexts(record).iter_rows(named=True)}
    rows = []
    for data_index in seeded_order(contexts, seed, "silent", feature)[: min(split.silent_rows, split.negatives)]:
        context = contexts[data_index]
        text = [place for place, token in enumerate(context["tokens"]) if token not in SPECIAL_TOKENS]
        place = seeded_order(text, seed, "silent place", feature, data_index)[0]
        rows.append(
            _row(feature, context | {"peak_position": place, "peak_activation": 0.0}, split, role="negative")
            | {"silent": True}
        )
    return rows


def _lent_negatives(
    feature: str,
    donors: Sequence[int],
    source: FeatureSource,
    split: Split,
    *,
    wanted: int,
    taken: set[str],
    shown: set[str],
    seed: int,
) -> list[dict[str, Any]]:
    index = index_of_key(feature)
    found: list[dict[str, Any]] = []
    source.fetch_ahead(donors[:wanted])
    for donor in donors:
        if len(found) == wanted:
            break
        record = source.record(donor)
        if record is None:
            continue
        peaks = with_peaks(distinct_examples(record), split.peak)
        examples = {row["dataIndex"]: row for row in peaks.iter_rows(named=True)}
        for data_index in seeded_order(examples, seed, "negative", feature, donor):
            example, silent = examples[data_index], source.is_silent(index, data_index)
            text = "".join(example["tokens"])
            # Two donors may share a context; shown twice it would count twice.
            if silent is False or data_index in shown or text in taken:
                continue
            shown.add(data_index)
            taken.add(text)
            found.append(
                _row(feature, example, split, role="negative")
                | {
                    "activations": [0.0] * len(example["tokens"]),
                    "donor_index": donor,
                    "donor_activations": example["values"],
                    "silent": silent,
                }
            )
            break
    return found


def _row(feature: str, example: dict[str, Any], split: Split, *, role: str) -> dict[str, Any]:
    start, end = shown_window(example["tokens"], example["peak_position"], split.window)
    return {
        "feature": feature,
        "example": example["dataIndex"],
        "role": role,
        "document": example["dataSource"],
        "tokens": example["tokens"],
        "token_ids": example["tokenIds"],
        "activations": example["values"],
        "donor_index": None,
        "donor_activations": None,
        "peak_position": example["peak_position"],
        "peak_activation": example["peak_activation"],
        "relative_activation": None,
        "window_start": start,
        "window_end": end,
        "silent": None,
    }
