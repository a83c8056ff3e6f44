"""The review queue of an experiment: what waits for a person, and storing what the person said."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from baez_pipeline.embedded import DATA
from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import ExperimentError, TableError
from baez_pipeline.experiment import LocalSaeSource
from baez_pipeline.features.roster import IS_PLANTED, is_planted
from baez_pipeline.steps.chain import Chain
from baez_pipeline.steps.tier_labels import review_address
from baez_pipeline.store import Address, content_hash
from baez_pipeline.tables import ExampleSplits, FeatureRecords, FeatureTiers, NlaExplanations, ReviewedLabels
from baez_pipeline.tiers.labels import BY_TIER
from baez_pipeline.tiers.logits import top_logits


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A feature that waits for a person, with what the person reads. Test examples are kept back: labels are judged
    on them."""

    feature: str
    tier: int | None
    """3, or None = undetermined."""
    reason: str
    train: pl.DataFrame
    """ExampleSplits of role train."""
    explanations: pl.DataFrame
    """NlaExplanations; no rows where there are none."""
    logits: Sequence[str] | None
    """Tokens that the feature makes likelier, the strongest first; None = not known."""


def waiting_features(equipment: Equipment) -> list[Waiting]:
    """The real features of tier 3 and the undetermined ones without a person's label, sorted by key.

    Raises:
        ExperimentError: the experiment does not label by tier.
        TableError: tiers or examples are not there yet.
    """
    _require_labels_by_tier(equipment)
    store, source = equipment.store, equipment.experiment.source
    folder = (source.path or DATA) if isinstance(source, LocalSaeSource) else None
    tiers = store.read(Address(table="feature_tiers"), schema=FeatureTiers)
    left = tiers.filter(~IS_PLANTED, pl.col("tier").is_null() | (pl.col("tier") == 3)).sort("feature")
    found = []
    for row in left.iter_rows(named=True):
        feature = row["feature"]
        if store.entry(review_address(feature)):
            continue
        record = store.read(Address(table="feature_records", feature=feature), schema=FeatureRecords)
        splits = store.read(Address(table="example_splits", feature=feature), schema=ExampleSplits)
        explained = Address(table="nla_explanations", feature=feature)
        found.append(
            Waiting(
                feature=feature,
                tier=row["tier"],
                reason=row["reason"],
                train=splits.filter(pl.col("role") == "train").sort("rank"),
                explanations=store.read([explained] if store.entry(explained) else [], schema=NlaExplanations),
                logits=top_logits(record, folder),
            )
        )
    return found


def known_features(chain: Chain, equipment: Equipment) -> set[str]:
    """The features that a person may label: all real ones of the roster.

    Raises:
        ExperimentError: the experiment does not label by tier.
        TableError: there is no roster yet.
    """
    _require_labels_by_tier(equipment)
    return {feature for feature in chain.kept_features(equipment) if not is_planted(feature)}


def store_reviews(equipment: Equipment, reviews: Sequence[dict[str, Any]]) -> list[str]:
    """Store what a person said, feature by feature; what was said of a feature before is replaced, unless it is newer.

    Args:
        equipment: the experiment's.
        reviews: rows of ReviewedLabels.

    Returns:
        Features of which something newer is stored.

    Raises:
        TableError: they are no such rows, in which case none is stored, or cannot be written.
    """
    table = pl.DataFrame(reviews, schema=ReviewedLabels.create_empty().schema, orient="row")
    if not ReviewedLabels.is_valid(table):
        raise TableError("The reviews are not a ReviewedLabels table: every one needs feature, kind, who and when.")
    store, older = equipment.store, []
    for (feature,), row in table.partition_by("feature", as_dict=True).items():
        address = review_address(str(feature))
        if store.entry(address):
            before = store.read(address, schema=ReviewedLabels)
            if before["reviewed_at"].item() > row["reviewed_at"].item():
                older.append(str(feature))
                continue
        store.write(address, row, schema=ReviewedLabels, fingerprint=content_hash(row))
    return older


def _require_labels_by_tier(equipment: Equipment) -> None:
    experiment = equipment.experiment
    if BY_TIER not in experiment.labeling.methods:
        raise ExperimentError(
            f"Experiment {experiment.name} does not label by tier, so nothing waits for review: add tiers to "
            "labeling.methods, and a table tiers."
        )
