"""One schema per Parquet table: column, type, unit, meaning. Every frame that crosses a step is one of these.

Goes in: dataframely schemas and the values their columns may take. Stays out: how a table is computed or stored.
`TABLES` maps a table's name, which is also its step's and asset's name, to its schema.
"""

from baez_pipeline.tables.features import (
    ActivationRow,
    ExampleSplits,
    FeatureRecords,
    FeatureSample,
    NlaExplanations,
)
from baez_pipeline.tables.ledger import Ledger
from baez_pipeline.tables.outcomes import Outcome
from baez_pipeline.tables.results import FeatureScores, LabelDistances, MethodComparison, Pages, ScoreSummary
from baez_pipeline.tables.scores import JudgedExamples, Labels

__all__ = [
    "ActivationRow",
    "ExampleSplits",
    "FeatureRecords",
    "FeatureSample",
    "FeatureScores",
    "JudgedExamples",
    "LabelDistances",
    "Labels",
    "Ledger",
    "MethodComparison",
    "NlaExplanations",
    "Outcome",
    "Pages",
    "ScoreSummary",
]
