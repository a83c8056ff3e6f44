"""The records of a graph's features, and why some have none.

A record that cannot be had is said so of its feature, not an error: most graphs have features without a dashboard.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from baez_pipeline.features.source import UnreadableRecord
from baez_pipeline.graphs.dictionary import Dictionary
from baez_pipeline.graphs.reading import FeatureId, Graph


@dataclass(frozen=True, kw_only=True)
class Records:
    """What could be had of a graph's features."""

    found: Mapping[FeatureId, pl.DataFrame]
    """One row of FeatureRecords each."""
    missing: Mapping[FeatureId, str]
    """Why there is none, in a sentence."""
    dictionary: Dictionary
    """What the features are numbers of."""


class RecordSource(Protocol):
    """Where the records of the features of a graph come from."""

    def of(self, graph: Graph) -> Records:
        """The records of all features of a graph.

        Raises:
            SourceError: the source is not that of the graph's features, or there is none.
            ServiceError: the service behind it cannot be reached.
        """
        ...


def each_record(
    features: Iterable[FeatureId], record: Callable[[FeatureId], pl.DataFrame], dictionary: Dictionary
) -> Records:
    """The records that can be had.

    Args:
        features: which.
        record: gives one row of FeatureRecords, or raises an UnreadableRecord.
        dictionary: of the features.
    """
    found: dict[FeatureId, pl.DataFrame] = {}
    missing: dict[FeatureId, str] = {}
    for feature in features:
        try:
            found[feature] = record(feature)
        except UnreadableRecord as error:
            missing[feature] = str(error)
    return Records(found=found, missing=missing, dictionary=dictionary)
