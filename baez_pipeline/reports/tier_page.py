"""The page of features by tier: how many of each, what labels by tier cost and score, and each feature with its reason.

Goes in: how the tables FeatureTiers, Labels and TierCosts look. Stays out: working them out (tiers/).
"""

from typing import Any

import polars as pl

from baez_pipeline.reports.measures import Measure
from baez_pipeline.reports.names import EXPERIMENT_REPORT, feature_page
from baez_pipeline.reports.pages import render
from baez_pipeline.reports.wording import MISSING, percent, plain_number, signed_interval, signed_number
from baez_pipeline.tables import Outcome
from baez_pipeline.tiers.summary import tier_counts


def render_tiers(
    experiment: str, tiers: pl.DataFrame, labels: pl.DataFrame, costs: pl.DataFrame, *, reviewed: set[str]
) -> str:
    """The page as HTML; the same tables give the same text.

    Args:
        experiment: its name.
        tiers: FeatureTiers of real features.
        labels: Labels by tier of the same features; no rows where the experiment does not label by tier.
        costs: TierCosts; no rows where no method labels all features.
        reviewed: features that a person labelled.
    """
    features = [_feature(row) for row in _with_labels(tiers, labels).iter_rows(named=True)]
    return render(
        "tier_report.html.j2",
        experiment=experiment,
        report=EXPERIMENT_REPORT,
        feature_page=feature_page,
        method=costs["method"].first() if costs.height else "",
        counts=_counts(tiers, labels, costs, reviewed),
        costs=_by_benchmark(costs),
        features=features,
        n_waiting=labels.filter(pl.col("model") == "nobody").height,
    )


def _with_labels(tiers: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    written = labels.select("feature", "label", "model", "outcome")
    return tiers.join(written, on="feature", how="left", validate="1:1").sort(pl.col("tier").fill_null(4), "feature")


def _feature(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "feature": row["feature"],
        "tier": "undetermined" if row["tier"] is None else " ".join(filter(None, (str(row["tier"]), row["window"]))),
        "label": row["label"],
        "by": row["model"] or MISSING,
        "reason": row["reason"],
    }


def _counts(tiers: pl.DataFrame, labels: pl.DataFrame, costs: pl.DataFrame, reviewed: set[str]) -> list[dict[str, Any]]:
    if not tiers.height:
        return []
    of_tier = tiers.select("feature", tier=pl.col("tier").cast(pl.String).fill_null("undetermined"))
    has_label = (pl.col("outcome") == Outcome.OK.value) & pl.col("label").is_not_null()
    labelled = of_tier.join(labels.filter(has_label), on="feature", how="semi")
    by_person = labelled.filter(pl.col("feature").is_in(list(reviewed)))
    spent = {row["tier"]: row for row in costs.unique("tier").iter_rows(named=True)}
    found = []
    for row in tier_counts(tiers).iter_rows(named=True):
        tier = "undetermined" if row["tier"] is None else str(row["tier"])
        usd = spent.get(tier, {})
        found.append(
            {
                "tier": tier,
                "n_features": row["n_features"],
                "share": f"{percent(row['share'])} ({percent(row['share_low'])} to {percent(row['share_high'])})",
                "n_labelled": labelled.filter(pl.col("tier") == tier).height,
                "n_reviewed": by_person.filter(pl.col("tier") == tier).height,
                "usd_by_tier": plain_number(usd.get("usd_by_tier"), 6),
                "usd_method": plain_number(usd.get("usd_method"), 6),
            }
        )
    return found


def _by_benchmark(costs: pl.DataFrame) -> list[tuple[str, list[dict[str, str]]]]:
    return [
        (
            Measure(rows["benchmark"][0], rows["metric"][0]).title,
            [_compared(row) for row in rows.iter_rows(named=True)],
        )
        for rows in costs.partition_by("benchmark", maintain_order=True)
    ]


def _compared(row: dict[str, Any]) -> dict[str, str]:
    return {
        "tier": row["tier"],
        "n_scored": str(row["n_scored"]),
        "mean_by_tier": plain_number(row["mean_by_tier"]),
        "mean_method": plain_number(row["mean_method"]),
        "difference": signed_number(row["mean_difference"]),
        "interval": signed_interval(row["interval_low"], row["interval_high"]),
        "mean_method_all": plain_number(row["mean_method_all"]),
    }
