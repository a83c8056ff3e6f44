"""The roster as its readers need it: who is labelled, whose labels stand in as controls, and what is known of whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

PLANTED = "planted-"

IS_PLANTED = pl.col("feature").str.starts_with(PLANTED)
"""Rows of any table that are of planted features, as `is_planted` says of a key."""


def is_planted(feature: str) -> bool:
    """Whether a partition key is that of a planted feature."""
    return feature.startswith(PLANTED)


@dataclass(frozen=True, eq=False)
class Roster:
    """The kept features of FeatureSample, donors apart."""

    features: Sequence[str]
    """Real and planted ones, sorted by key: the order in which partitions are registered and backfilled."""
    partners: Mapping[str, Sequence[str]]
    """Feature -> whose labels its examples are also judged with, one per shuffle."""
    right_labels: Mapping[str, str]
    """Planted feature -> what its rule finds."""
    rules: Mapping[str, str]
    """Planted feature -> its rule as a regular expression."""
    donors: Mapping[str, Sequence[int]]
    """Feature -> indices of its donors, in the order in which they are tried."""
    donor_pool: tuple[int, ...]
    """All kept donors as they were drawn: rules are looked for in their contexts."""

    @classmethod
    def of(cls, table: pl.DataFrame) -> Roster:
        """Read out of FeatureSample."""
        kept = table.filter(pl.col("outcome") == "kept", pl.col("pool") != "donor")
        return cls(
            features=sorted(kept["feature"]),
            partners={row["feature"]: row["partners"] or [] for row in kept.iter_rows(named=True)},
            right_labels={
                row["feature"]: row["right_label"] for row in kept.iter_rows(named=True) if row["right_label"]
            },
            rules={row["feature"]: row["rule"] for row in kept.iter_rows(named=True) if row["rule"]},
            donors={row["feature"]: row["donors"] for row in kept.iter_rows(named=True)},
            donor_pool=tuple(table.filter(pool="donor", outcome="kept").sort("draw")["feature_index"]),
        )
