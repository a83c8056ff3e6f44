"""What labelling by tier saves, and what it loses: against one method's labels for all, on the same features.

Goes in: the table TierCosts and its Markdown. Stays out: labels, scores and the ledger themselves.
"""

from collections.abc import Mapping
from typing import Any

import dataframely as dy
import polars as pl

from baez_pipeline.draws import seed_of
from baez_pipeline.experiment import Statistics
from baez_pipeline.statistics import mean_interval
from baez_pipeline.statistics.metrics import benchmarks_in, metric_values, primary_metric
from baez_pipeline.tables import Outcome, TierCosts
from baez_pipeline.tiers.labels import BY_TIER
from baez_pipeline.tiers.summary import share_interval

_TIERS = ("1", "2", "3", "undetermined", "all")


def tier_costs(
    tiers: pl.DataFrame,
    labels: pl.DataFrame,
    scores: pl.DataFrame,
    usd_method: Mapping[str, float],
    usd_by_tier: Mapping[str, float],
    *,
    method: str,
    reviewed: set[str],
    settings: Statistics,
    seed: int,
) -> dy.DataFrame[TierCosts]:
    """Labels by tier against a method's, tier by tier and benchmark by benchmark.

    The question about a feature of tier 2 is the one that the method asks about it, and is paid for once, by whichever
    of both steps came first: so its price counts on both sides. What a person's time costs is not known.

    Args:
        tiers: FeatureTiers of real features.
        labels: Labels by tier of the same features.
        scores: FeatureScores of their own labels, by both methods.
        usd_method: feature -> what the method's step has paid for it; features without an entry cost nothing.
        usd_by_tier: the same of the step of labels by tier.
        method: with whose labels those by tier are compared.
        reviewed: features that a person labelled.
        settings: of the interval.
        seed: of its resamples.
    """
    features = tiers.select(
        "feature",
        tier=pl.col("tier").cast(pl.String).fill_null("undetermined"),
        usd_method=_paid(usd_method),
        usd_by_tier=_paid(usd_by_tier),
        reviewed=pl.col("feature").is_in(list(reviewed)),
    ).join(
        labels.select("feature", labelled=(pl.col("outcome") == Outcome.OK) & pl.col("label").is_not_null()),
        on="feature",
        how="left",
        validate="1:1",
    )
    rows = []
    for benchmark in benchmarks_in(scores):
        judged = scores.filter(pl.col("benchmark") == benchmark)
        metric = primary_metric(judged)
        by_tier, by_method = (
            metric_values(judged, method=name, benchmark=benchmark, metric=metric) for name in (BY_TIER, method)
        )
        pairs = by_tier.join(by_method, on="feature", suffix="_method", validate="1:1").sort("feature")
        for tier in _TIERS:
            of_tier = features if tier == "all" else features.filter(pl.col("tier") == tier)
            paired = pairs.join(of_tier, on="feature", how="semi", maintain_order="left")
            drawn = seed_of(seed, "tier_costs", benchmark, tier)
            rows.append(
                {"tier": tier, "benchmark": benchmark, "metric": metric, "method": method}
                | _spent(of_tier, features.height)
                | _compared(paired, settings, drawn)
                | {"mean_method_all": by_method.join(of_tier, on="feature", how="semi")["value"].mean()}
            )
    return TierCosts.validate(pl.DataFrame(rows, schema=TierCosts.create_empty().schema), cast=True)


def _paid(usd: Mapping[str, float]) -> pl.Expr:
    return pl.col("feature").replace_strict(dict(usd), default=0.0, return_dtype=pl.Float64)


def _spent(of_tier: pl.DataFrame, total: int) -> dict[str, Any]:
    low, high = share_interval(of_tier.height, total) if total else (None, None)
    is_shared, either = pl.col("tier") == "2", pl.col("usd_method") + pl.col("usd_by_tier")
    # A person's label takes the place of the question.
    asked = of_tier.filter(~pl.col("reviewed"))
    by_tier = asked.select(pl.when(is_shared).then(either).otherwise("usd_by_tier"))
    by_method = of_tier.select(pl.when(is_shared).then(either).otherwise("usd_method"))
    return {
        "n_features": of_tier.height,
        "share": of_tier.height / total if total else None,
        "share_low": low,
        "share_high": high,
        "n_labelled": of_tier["labelled"].sum(),
        "n_reviewed": (of_tier["labelled"] & of_tier["reviewed"]).sum(),
        "usd_by_tier": by_tier.to_series().sum() / of_tier.height if of_tier.height else None,
        "usd_method": by_method.to_series().mean(),
    }


def _compared(paired: pl.DataFrame, settings: Statistics, seed: int) -> dict[str, Any]:
    differences = (paired["value"] - paired["value_method"]).to_numpy()
    low, high = mean_interval(differences, confidence=settings.confidence, resamples=settings.resamples, seed=seed)
    return {
        "n_scored": paired.height,
        "mean_by_tier": paired["value"].mean(),
        "mean_method": paired["value_method"].mean(),
        "mean_difference": float(differences.mean()) if paired.height else None,
        "interval_low": low,
        "interval_high": high,
    }


def tier_costs_markdown(costs: pl.DataFrame) -> str:
    """TierCosts as tables for Dagster's metadata: features and dollars by tier, then scores by benchmark."""
    if not costs.height:
        return "There are no scores to compare."
    first = costs.filter(pl.col("benchmark") == costs["benchmark"][0])
    method = costs["method"][0]
    lines = [
        f"| tier | features | share | labelled | reviewed | $ per feature by tier | $ per feature by {method} |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in first.iter_rows(named=True):
        cells = (
            row["tier"],
            row["n_features"],
            "-" if row["share"] is None else f"{row['share']:.0%} ({row['share_low']:.0%} to {row['share_high']:.0%})",
            row["n_labelled"],
            row["n_reviewed"],
            _dollars(row["usd_by_tier"]),
            _dollars(row["usd_method"]),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += [
        "",
        f"| tier | benchmark | metric | features scored | by tier | {method} | difference (interval) |",
        "| --- | --- | --- | ---: | ---: | ---: | --- |",
    ]
    for row in costs.iter_rows(named=True):
        interval = "" if row["interval_low"] is None else f" ({row['interval_low']:.2f} to {row['interval_high']:.2f})"
        difference = "-" if row["mean_difference"] is None else f"{row['mean_difference']:+.2f}{interval}"
        cells = (
            *(row["tier"], row["benchmark"], row["metric"], row["n_scored"]),
            *(_number(row["mean_by_tier"]), _number(row["mean_method"]), difference),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _dollars(usd: float | None) -> str:
    return "-" if usd is None else f"{usd:.6f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
