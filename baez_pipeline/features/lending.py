"""What donors lend to negatives: the contexts of their records."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import polars as pl

from baez_pipeline.features.examples import Peak, distinct_examples, silent_contexts, with_peaks
from baez_pipeline.features.source import FeatureSource

# All features of an experiment have the same donors, each in another order. A donor's contexts take about 0.1 MB where
# they are of 128 tokens, 1 MB where they are of 1,024.
_DONORS_IN_MEMORY = 128


@dataclass(frozen=True, kw_only=True, eq=False)
class Lender:
    """The contexts of one record."""

    donor: int | None
    """Index of the feature; None = the feature that the negatives are for."""
    contexts: pl.DataFrame
    """ActivationRow columns, `peak_position` and `peak_activation`: the examples, the highest peak first, then the
    contexts in which the feature is silent, whose peak is null."""
    n_examples: int
    row_of: Mapping[str, int]
    """dataIndex -> row of `contexts`."""

    @classmethod
    def of(cls, record: pl.DataFrame, examples: pl.DataFrame, peak: Peak, *, donor: int | None) -> Self:
        """Read out of one row of FeatureRecords and its `distinct_examples`."""
        contexts = pl.concat([with_peaks(examples, peak), silent_contexts(record, examples)], how="diagonal")
        row_of = {name: row for row, name in enumerate(contexts["dataIndex"])}
        return cls(donor=donor, contexts=contexts, n_examples=examples.height, row_of=row_of)

    @property
    def examples(self) -> Sequence[str]:
        """dataIndex of each example."""
        return list(self.row_of)[: self.n_examples]

    @property
    def silent(self) -> Sequence[str]:
        """dataIndex of each context in which the feature is silent."""
        return list(self.row_of)[self.n_examples :]

    @property
    def silent_texts(self) -> Sequence[list[str]]:
        """The tokens of each of those."""
        return self.contexts["tokens"][self.n_examples :].to_list()


@functools.lru_cache(_DONORS_IN_MEMORY)
def donor_of(source: FeatureSource, index: int, peak: Peak) -> Lender | None:
    """What a donor lends; None if the source does not have the feature.

    Raises:
        SourceError: its record cannot be read.
    """
    record = source.record(index)
    return Lender.of(record, distinct_examples(record), peak, donor=index) if record is not None else None
