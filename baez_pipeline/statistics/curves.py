"""Scores by what they were judged against: kinds of negatives, and the strength of the test examples.

Goes in: the tables ScoresByNegatives, DecileCurves and LabelSpecificity. Stays out: values of single features
(scoring/), which come in.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl

from baez_pipeline.draws import seed_of
from baez_pipeline.experiment import Statistics
from baez_pipeline.statistics.bootstrap import mean_interval
from baez_pipeline.tables import DecileCurves, LabelSpecificity, ScoresByNegatives


def scores_by_negatives(scores: pl.DataFrame, settings: Statistics, seed: int) -> dy.DataFrame[ScoresByNegatives]:
    """One row per method, benchmark, kind of negatives and metric.

    Args:
        scores: FeatureScores with a column `negatives`, the kind that they were worked out against alone.
        settings: of the intervals.
        seed: of the resamples.
    """
    keys = ["method", "benchmark", "negatives", "metric"]
    long = scores.unpivot(["true_negative_rate", "auroc"], index=[*keys[:3], "feature"], variable_name="metric")
    return _means(ScoresByNegatives, long, keys, settings, seed)


def decile_curves(rates: pl.DataFrame, settings: Statistics, seed: int) -> dy.DataFrame[DecileCurves]:
    """One row per method, benchmark and decile.

    Args:
        rates: feature, method, benchmark, metric, decile, n_examples, value.
        settings: of the intervals.
        seed: of the resamples.
    """
    return _means(DecileCurves, rates, ["method", "benchmark", "decile", "metric"], settings, seed)


def label_specificity(
    found: pl.DataFrame, label_cosines: Mapping[str, float | None], settings: Statistics, seed: int
) -> dy.DataFrame[LabelSpecificity]:
    """One row per method.

    Args:
        found: feature, method, reciprocal_rank, n_candidates, first, words; one row per label.
        label_cosines: method -> mean cosine of any two of its labels.
        settings: of the intervals.
        seed: of the resamples.
    """
    rows = []
    for (method,), labels in found.sort("feature").partition_by("method", as_dict=True, maintain_order=True).items():
        ranks = labels["reciprocal_rank"]
        low, high = mean_interval(
            ranks.to_numpy(),
            confidence=settings.confidence,
            resamples=settings.resamples,
            seed=seed_of(seed, "label_specificity", method),
        )
        rows.append(
            {
                "method": method,
                "n_features": labels.height,
                "mean_reciprocal_rank": ranks.mean(),
                "chance": float(np.mean([_chance(n) for n in labels["n_candidates"]])),
                "interval_low": low,
                "interval_high": high,
                "top_1": labels["first"].mean(),
                "mean_words": labels["words"].mean(),
                "mean_label_cosine": label_cosines.get(str(method)),
            }
        )
    return LabelSpecificity.validate(pl.DataFrame(rows, schema=LabelSpecificity.create_empty().schema, orient="row"))


def _chance(n_candidates: int) -> float:
    """Expected reciprocal rank in a random order of n: the n-th harmonic number over n."""
    return float(np.mean(1 / np.arange(1, n_candidates + 1)))


def _means(schema: type[dy.Schema], values: pl.DataFrame, keys: Sequence[str], settings: Statistics, seed: int) -> Any:
    """Mean and interval over features of each group; a group without a value has no row."""
    rows = []
    groups = values.drop_nulls("value").sort(*keys, "feature").partition_by(keys, as_dict=True, maintain_order=True)
    for key, group in groups.items():
        low, high = mean_interval(
            group["value"].to_numpy(),
            confidence=settings.confidence,
            resamples=settings.resamples,
            seed=seed_of(seed, schema.__name__, *key),
        )
        row = dict(zip(keys, key, strict=True)) | {
            "n_features": group["feature"].n_unique(),
            "mean": group["value"].mean(),
            "interval_low": low,
            "interval_high": high,
        }
        rows.append(row | ({"n_examples": group["n_examples"].sum()} if "n_examples" in group.columns else {}))
    return schema.validate(pl.DataFrame(rows, schema=schema.create_empty().schema, orient="row"))
