"""One schema per Parquet table: column, type, unit, meaning. Every frame that crosses a step is one of these.

Goes in: dataframely schemas and the values their columns may take. Stays out: how a table is computed or stored.
`TABLES` maps a table's name, which is also its step's and asset's name, to its schema.
"""

from baez_pipeline.tables.ablation import AblationEffects, AblationScores
from baez_pipeline.tables.controls import (
    BenchmarkVerdicts,
    DecileCurves,
    LabelSpecificity,
    MetricSanity,
    ScoresByNegatives,
)
from baez_pipeline.tables.features import (
    NEGATIVE_KINDS,
    PLANTED_KINDS,
    ActivationRow,
    ExampleSplits,
    FeatureRecords,
    FeatureSample,
    NlaExplanations,
)
from baez_pipeline.tables.graphs import GraphLabels
from baez_pipeline.tables.history import ScoreHistory
from baez_pipeline.tables.layers import LayerProfile, LayerTrends
from baez_pipeline.tables.ledger import Ledger
from baez_pipeline.tables.outcomes import Outcome
from baez_pipeline.tables.results import (
    BenchmarkAgreement,
    ChanceComparison,
    FeatureClaims,
    FeatureScores,
    LabelDistances,
    MethodComparison,
    Pages,
    Reliability,
    ScoreSummary,
)
from baez_pipeline.tables.scores import JudgedExamples, Labels
from baez_pipeline.tables.tiers import CorrelationScores, FeatureTiers, ReviewedLabels, TierCosts

__all__ = [
    "NEGATIVE_KINDS",
    "PLANTED_KINDS",
    "AblationEffects",
    "AblationScores",
    "ActivationRow",
    "BenchmarkAgreement",
    "BenchmarkVerdicts",
    "ChanceComparison",
    "CorrelationScores",
    "DecileCurves",
    "ExampleSplits",
    "FeatureClaims",
    "FeatureRecords",
    "FeatureSample",
    "FeatureScores",
    "FeatureTiers",
    "GraphLabels",
    "JudgedExamples",
    "LabelDistances",
    "LabelSpecificity",
    "Labels",
    "LayerProfile",
    "LayerTrends",
    "Ledger",
    "MethodComparison",
    "MetricSanity",
    "NlaExplanations",
    "Outcome",
    "Pages",
    "Reliability",
    "ReviewedLabels",
    "ScoreHistory",
    "ScoreSummary",
    "ScoresByNegatives",
    "TierCosts",
]
