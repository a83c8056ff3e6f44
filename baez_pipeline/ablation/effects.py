"""How far each fault moves each benchmark toward chance.

Goes in: the table AblationEffects, from scores of every variant. Stays out: judging, and what a page says of it.
"""

from typing import Any

import dataframely as dy
import polars as pl

from baez_pipeline.ablation.faults import ARTICLE, CORRECTED, VARIANTS
from baez_pipeline.draws import seed_of
from baez_pipeline.experiment import Statistics
from baez_pipeline.statistics import mean_interval
from baez_pipeline.tables import AblationEffects

METRICS = {"detection": ("accuracy", "auroc"), "fuzz": ("accuracy", "auroc"), "embedding": ("auroc", "gap")}
"""What the article reports of each benchmark, and the AUROC."""


def ablation_effects(scores: pl.DataFrame, settings: Statistics, seed: int) -> dy.DataFrame[AblationEffects]:
    """One row per group of labels, benchmark, metric and variant.

    Groups are the methods' own labels of real features, and the right labels of planted features; both also with labels
    of other features, which say where chance is. A feature counts once, with the mean over its labels of the group.

    Args:
        scores: AblationScores.
        settings: of the intervals.
        seed: of the resamples.
    """
    values = _values(scores)
    rows = [
        _row(values, group, benchmark, metric, variant, settings, seed)
        for group in values["labels"].unique(maintain_order=True)
        for benchmark, metrics in METRICS.items()
        for metric in metrics
        for variant in VARIANTS
    ]
    return AblationEffects.validate(pl.DataFrame(rows, schema=AblationEffects.create_empty().schema, orient="row"))


def _values(scores: pl.DataFrame) -> pl.DataFrame:
    """labels, benchmark, variant, metric, feature, value: one value per feature."""
    right, shuffled = pl.col("method") == "right", pl.col("shuffle") > 0
    chosen = scores.filter(pl.when(pl.col("planted").is_null()).then(~right).otherwise(right)).with_columns(
        labels=pl.when(right).then(pl.lit("right")).otherwise(pl.lit("methods"))
        + pl.when(shuffled).then(pl.lit(", of others")).otherwise(pl.lit("")),
        benchmark=pl.col("benchmark").replace({"fuzz_random": "fuzz", "fuzz_contrastive": "fuzz"}),
    )
    long = chosen.unpivot(
        ["accuracy", "auroc", "gap"],
        index=["labels", "benchmark", "variant", "feature"],
        variable_name="metric",
    )
    return (
        long.drop_nulls("value")
        .group_by("labels", "benchmark", "variant", "metric", "feature")
        .agg(pl.col("value").mean())
        .sort("labels", "benchmark", "variant", "metric", "feature")
    )


def _row(
    values: pl.DataFrame, group: str, benchmark: str, metric: str, variant: str, settings: Statistics, seed: int
) -> dict[str, Any]:
    of_metric = values.filter(labels=group, benchmark=benchmark, metric=metric)
    here, against = of_metric.filter(variant=variant), of_metric.filter(variant=compared_with(variant))
    paired = here.join(against, on="feature", suffix="_against").sort("feature")
    change = paired["value"] - paired["value_against"]
    intervals = [
        mean_interval(
            numbers.to_numpy(),
            confidence=settings.confidence,
            resamples=settings.resamples,
            seed=seed_of(seed, "ablation", group, benchmark, metric, variant, name),
        )
        for name, numbers in (("mean", here["value"]), ("change", change))
    ]
    return {
        "labels": group,
        "benchmark": benchmark,
        "metric": metric,
        "variant": variant,
        "faults": list(VARIANTS[variant].faults),
        "n_features": here.height,
        "mean": here["value"].mean(),
        "interval_low": intervals[0].low,
        "interval_high": intervals[0].high,
        "compared_with": compared_with(variant),
        "change": change.mean(),
        "change_low": intervals[1].low,
        "change_high": intervals[1].high,
    }


def compared_with(variant: str) -> str:
    """The variant that a fault was added to or taken away from; the corrected one for the two ends."""
    return ARTICLE.name if variant.startswith("without_") else CORRECTED.name
