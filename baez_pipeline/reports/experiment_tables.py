"""The tables that the experiment report is made from."""

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, kw_only=True)
class ExperimentTables:
    """Each by the name of its schema; a table without rows leaves its section out."""

    roster: pl.DataFrame
    """FeatureSample."""
    scores: pl.DataFrame
    """FeatureScores of all labels, controls among them."""
    summary: pl.DataFrame
    """ScoreSummary."""
    verdicts: pl.DataFrame
    """BenchmarkVerdicts."""
    sanity: pl.DataFrame
    """MetricSanity."""
    chance: pl.DataFrame
    """ChanceComparison of real features."""
    claims: pl.DataFrame
    """FeatureClaims of real features' own labels."""
    comparison: pl.DataFrame
    """MethodComparison of real features' own labels."""
    by_negatives: pl.DataFrame
    """ScoresByNegatives."""
    deciles: pl.DataFrame
    """DecileCurves."""
    specificity: pl.DataFrame
    """LabelSpecificity."""
    reliability: pl.DataFrame
    """Reliability."""
    agreement: pl.DataFrame
    """BenchmarkAgreement."""
    distances: pl.DataFrame
    """LabelDistances."""
    ledger: pl.DataFrame | None
    """Ledger of the experiment; None where nobody is paid."""
