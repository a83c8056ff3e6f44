"""Comparisons, chance, labels and reliability as the tables of the experiment report show them.

Goes in: rows of text made from single tables. Stays out: what controls scored (control_views.py), layout.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from baez_pipeline.reports.measures import Measure, benchmark_name
from baez_pipeline.reports.trust import Trust
from baez_pipeline.reports.wording import (
    MISSING,
    conclusion,
    difference_name,
    p_value,
    percent,
    plain_number,
    signed_interval,
    signed_number,
)
from baez_pipeline.statistics.metrics import methods_in
from baez_pipeline.tables import NEGATIVE_KINDS

NEGATIVES = ("same_text", *NEGATIVE_KINDS)
Shown = dict[str, Any]
"""A row of text by column."""


def comparison_rows(
    comparison: pl.DataFrame, trust: Mapping[str, Trust], *, headline: bool
) -> list[tuple[str, list[Shown]]]:
    """MethodComparison as text: measure in words, its pairs.

    Args:
        comparison: MethodComparison.
        trust: from `trust_in`.
        headline: the measures that benchmarks are shown by, or the others.
    """
    rows: dict[Measure, list[Shown]] = {}
    for row in comparison.iter_rows(named=True):
        measure, found = Measure(row["benchmark"], row["metric"]), trust[row["benchmark"]]
        if (found.measure == measure) == headline:
            rows.setdefault(measure, []).append(
                {
                    "trust": found,
                    "pair": difference_name(row["method_a"], row["method_b"]),
                    "n_features": row["n_features"],
                    "mean": signed_number(row["mean_difference"]),
                    "interval": signed_interval(row["interval_low"], row["interval_high"]),
                    "equivalence": signed_interval(row["equivalence_low"], row["equivalence_high"]),
                    "share": percent(row["share_a_better"]),
                    "p_holm": p_value(row["p_holm"]),
                    "conclusion": conclusion(row["verdict"]),
                }
            )
    return [(measure.title, of_measure) for measure, of_measure in rows.items()]


def chance_rows(chance: pl.DataFrame, claims: pl.DataFrame, trust: Mapping[str, Trust]) -> list[Shown]:
    """ChanceComparison as text, with how many single labels FeatureClaims says beat chance, benchmark by benchmark."""
    counts = {
        (row["method"], row["benchmark"]): f"{row['claimed']} of {row['tested']}"
        for row in claims.group_by("method", "benchmark")
        .agg(pl.col("claimed").sum(), tested=pl.col("p_value").is_not_null().sum())
        .iter_rows(named=True)
    }
    return [
        {
            "trust": found,
            "method": row["method"],
            "n_features": row["n_features"],
            "own": found.mark(plain_number(row["mean_own"])),
            "others": found.mark(plain_number(row["mean_shuffled"])),
            "difference": signed_number(row["mean_difference"]),
            "interval": signed_interval(row["interval_low"], row["interval_high"]),
            "p": p_value(row["p_paired"]),
            "claimed": counts.get((row["method"], name), MISSING),
        }
        for name, found in trust.items()
        for row in chance.filter(pl.col("benchmark") == name).iter_rows(named=True)
    ]


def negatives_rows(by_negatives: pl.DataFrame, trust: Mapping[str, Trust]) -> list[Shown]:
    """ScoresByNegatives as text: one row per benchmark and method, one cell per kind of negatives that occurs.

    AUROC where the benchmark is shown by it, the share of negatives that is turned down otherwise.
    """
    kinds = negatives_in(by_negatives)
    rows = []
    for name, found in trust.items():
        metric = "auroc" if found.measure.metric == "auroc" else "true_negative_rate"
        chosen = by_negatives.filter(pl.col("benchmark") == name, pl.col("metric") == metric)
        for method in methods_in(chosen):
            cells = {row["negatives"]: row for row in chosen.filter(pl.col("method") == method).iter_rows(named=True)}
            rows.append(
                {
                    "trust": found,
                    "metric": "AUROC" if metric == "auroc" else "share turned down",
                    "method": method,
                    "cells": [_mean_and_interval(found, cells.get(kind)) for kind in kinds],
                }
            )
    return rows


def negatives_in(by_negatives: pl.DataFrame) -> list[str]:
    """The kinds of negatives that occur, in their order."""
    found = set(by_negatives["negatives"].cast(pl.String).unique())
    return [kind for kind in NEGATIVES if kind in found]


def label_rows(specificity: pl.DataFrame) -> list[Shown]:
    """LabelSpecificity as text."""
    return [
        {
            "method": row["method"],
            "n_features": row["n_features"],
            "words": plain_number(row["mean_words"], 1),
            "rank": plain_number(row["mean_reciprocal_rank"]),
            "interval": _ends(row),
            "chance": plain_number(row["chance"]),
            "top_1": percent(row["top_1"]),
            "alike": plain_number(row["mean_label_cosine"]),
        }
        for row in specificity.iter_rows(named=True)
    ]


def reliability_rows(reliability: pl.DataFrame) -> list[Shown]:
    """Reliability as text."""
    return [
        {
            "measure": Measure(row["benchmark"], row["metric"]).title,
            "n_features": row["n_features"],
            "n_labels": row["n_labels"],
            "n_examples": plain_number(row["n_examples"], 0),
            "reliability": plain_number(row["reliability"]),
            "interval": _ends(row),
        }
        for row in reliability.iter_rows(named=True)
    ]


def agreement_rows(agreement: pl.DataFrame) -> list[Shown]:
    """BenchmarkAgreement as text."""
    return [
        {
            "pair": f"{benchmark_name(row['benchmark_a'])} and {benchmark_name(row['benchmark_b'])}",
            "n_features": row["n_features"],
            "n_labels": row["n_labels"],
            "correlation": signed_number(row["spearman"], 2),
            "interval": MISSING
            if row["interval_low"] is None
            else f"{signed_number(row['interval_low'], 2)} to {signed_number(row['interval_high'], 2)}",
        }
        for row in agreement.iter_rows(named=True)
    ]


def figure_rows(own: pl.DataFrame, trust: Mapping[str, Trust]) -> list[Shown]:
    """All metrics of the methods' own labels of real features (rows of ScoreSummary) as text."""
    rows = []
    for row in own.iter_rows(named=True):
        measure = Measure(row["benchmark"], row["metric"])
        rows.append(
            {
                "method": row["method"],
                "measure": measure.title,
                "trust": trust[row["benchmark"]],
                "n_features": row["n_features"],
                "mean": measure.number(row["mean"]),
                "interval": measure.interval(row["interval_low"], row["interval_high"]),
                "median": measure.number(row["median"]),
                "standard_deviation": plain_number(row["standard_deviation"], 3),
                "share_negative": percent(row["share_negative"]),
                "failed": f"{row['n_failed']:,}/{row['n_failed'] + row['n_answered']:,}",
            }
        )
    return rows


def cost_rows(ledger: pl.DataFrame) -> Sequence[Shown]:
    """The Ledger by step and model: questions, tokens and price; the last row is their sum."""
    sums = [
        pl.len().alias("questions"),
        pl.col("tokens_in", "tokens_out", "usd", "usd_at_most").sum(),
    ]
    by_step = ledger.group_by("asset", "model").agg(sums).sort("asset", "model")
    total = ledger.select(pl.lit("all steps").alias("asset"), pl.lit("").alias("model"), *sums).head(1)
    return pl.concat([by_step, total], how="vertical_relaxed").to_dicts()


def _mean_and_interval(found: Trust, row: Mapping[str, Any] | None) -> tuple[str, str]:
    return (MISSING, "") if row is None else (found.mark(plain_number(row["mean"])), _ends(row))


def _ends(row: Mapping[str, Any]) -> str:
    low, high = row["interval_low"], row["interval_high"]
    if low is None or high is None:
        return MISSING
    # A dash beside a minus sign reads as two signs.
    return f"{plain_number(low)}{' to ' if low < 0 else '–'}{plain_number(high)}"
