"""How many features are of each tier."""

import polars as pl
from scipy import stats

TIERS = (1, 2, 3, None)
"""None: undetermined."""


def share_interval(count: int, total: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share (1927); total >= 1."""
    interval = stats.binomtest(count, total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def tier_counts(tiers: pl.DataFrame) -> pl.DataFrame:
    """Features per tier of a table FeatureTiers with at least one row.

    Returns:
        Four rows: tier (null = undetermined), n_features, share, share_low, share_high (Wilson, 95 %).
    """
    rows = []
    for tier in TIERS:
        count = tiers.filter(pl.col("tier").eq_missing(tier)).height
        low, high = share_interval(count, tiers.height)
        rows.append(
            {"tier": tier, "n_features": count, "share": count / tiers.height, "share_low": low, "share_high": high}
        )
    return pl.DataFrame(rows, schema_overrides={"tier": pl.Int64})


def tier_counts_markdown(tiers: pl.DataFrame) -> str:
    """The same as a table for Dagster's metadata."""
    lines = ["| tier | features | share |", "| --- | ---: | --- |"]
    for row in tier_counts(tiers).iter_rows(named=True) if tiers.height else ():
        interval = f"{row['share']:.0%} ({row['share_low']:.0%} to {row['share_high']:.0%})"
        lines.append(f"| {row['tier'] or 'undetermined'} | {row['n_features']} | {interval} |")
    return "\n".join(lines)
