"""Labels by tier: words counted for tier 1 (or a small model), a method for tier 2, a person for what is left.

A feature that is obscure or undetermined has no label until a person gave it one, so that what is not known stays
visible as such. What a person said stands, whatever its feature's tier.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import polars as pl

from baez_pipeline.features.roster import is_planted
from baez_pipeline.labeling.method import Asking
from baez_pipeline.tables import Labels, Outcome
from baez_pipeline.tiers.token_labels import token_label
from baez_pipeline.tiers.windows import Context

BY_TIER = "tiers"
"""The method's name."""
COUNTED = "words counted"
"""Who wrote a label of tier 1."""
_COLUMNS = Labels.create_empty().schema


def labels_by_tier(
    tiers: pl.DataFrame,
    splits: pl.DataFrame,
    reviewed: pl.DataFrame,
    *,
    asking: Mapping[int, Asking],
    evidence: Mapping[str, pl.DataFrame],
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Label features by tier; each is given back as soon as it is finished.

    Args:
        tiers: FeatureTiers of the features.
        splits: ExampleSplits of them; labels are made from the train examples alone.
        reviewed: ReviewedLabels, of those that have one.
        asking: tier -> who is asked about its features; words are counted for those of tier 1 where nobody is.
        evidence: per feature a frame of the table that the method reads.

    Yields:
        feature and its Labels row, with the method `tiers`.

    Raises:
        BaezError: what stops the run: no budget left, no access to the writer.
    """
    said = {row["feature"]: row for row in reviewed.iter_rows(named=True)}
    train = splits.filter(pl.col("role") == "train").partition_by("feature", as_dict=True)
    asked: dict[int, list[str]] = {tier: [] for tier in asking}
    for tier in tiers.iter_rows(named=True):
        feature = tier["feature"]
        if feature in said:
            yield feature, _row(feature, _by_a_person(said[feature]))
        elif tier["tier"] in asking:
            asked[tier["tier"]].append(feature)
        elif tier["tier"] == 1:
            yield feature, _row(feature, _counted(train[feature,], tier["window"]))
        else:
            yield feature, _row(feature, _waiting(feature, tier))
    for number, waiting in asked.items():
        by_tier = replace(asking[number], method=replace(asking[number].method, name=BY_TIER))
        yield from by_tier.labels({feature: evidence[feature] for feature in waiting})


def _by_a_person(said: Mapping[str, Any]) -> dict[str, Any]:
    who = f"{said['reviewed_by']}, {said['reviewed_at']:%Y-%m-%d}"
    answer = {"label": said["label"], "n_shown": 0, "model": f"reviewed by {who}"}
    if said["label"] is None:
        return answer | {"outcome": Outcome.NO_LABEL.value, "detail": f"obscure, says {who}"}
    return answer | {"outcome": Outcome.OK.value, "detail": f"{said['kind']}, says {who}"}


def _counted(train: pl.DataFrame, window: Literal["input", "output"]) -> dict[str, Any]:
    rows = train.sort("rank").iter_rows(named=True)
    contexts = [Context(row["tokens"], row["peak_position"], row["peak_activation"], row["document"]) for row in rows]
    found, where = token_label(contexts, window), "at" if window == "input" else "after"
    answer = {"n_shown": len(contexts), "model": COUNTED}
    if found is None:
        detail = f"tier 1, but no train example has a word {where} its peak"
        return answer | {"label": None, "outcome": Outcome.NO_EVIDENCE.value, "detail": detail}
    detail = f"tier 1: {found.share:.0%} of the examples have these words {where} their peaks"
    return answer | {"label": found.label, "outcome": Outcome.OK.value, "detail": detail}


def _waiting(feature: str, tier: Mapping[str, Any]) -> dict[str, Any]:
    kind = "undetermined" if tier["tier"] is None else f"tier {tier['tier']}"
    # Planted features are controls: nobody is asked to read them.
    what = "a control, not reviewed" if is_planted(feature) else "waits for review (baez review page)"
    return {
        "label": None,
        "n_shown": 0,
        "model": "nobody",
        "outcome": Outcome.NO_LABEL.value,
        "detail": f"{kind}, {what}: {tier['reason']}",
    }


def _row(feature: str, answer: Mapping[str, Any]) -> pl.DataFrame:
    row = {**dict.fromkeys(_COLUMNS), "feature": feature, "method": BY_TIER, **answer}
    return pl.DataFrame([row], schema=_COLUMNS, orient="row")
