"""Intervals, tests, power, reliability and distances: numbers in, numbers out.

Goes in: what turns per-feature scores, single judgements and label vectors into the tables over all features. The unit
is always the feature; its examples and its labels are nested in it. Stays out: how a score is judged, and how a number
is shown.
"""

from baez_pipeline.statistics.agreement import benchmark_agreement
from baez_pipeline.statistics.bootstrap import Interval, mean_interval
from baez_pipeline.statistics.chance import beats_chance
from baez_pipeline.statistics.claims import feature_claims
from baez_pipeline.statistics.comparison import method_comparison
from baez_pipeline.statistics.curves import decile_curves, label_specificity, scores_by_negatives
from baez_pipeline.statistics.distances import label_distances
from baez_pipeline.statistics.metric_sanity import metric_sanity
from baez_pipeline.statistics.reliability import icc, reliability
from baez_pipeline.statistics.summary import score_summary
from baez_pipeline.statistics.verdicts import benchmark_verdicts

__all__ = [
    "Interval",
    "beats_chance",
    "benchmark_agreement",
    "benchmark_verdicts",
    "decile_curves",
    "feature_claims",
    "icc",
    "label_distances",
    "label_specificity",
    "mean_interval",
    "method_comparison",
    "metric_sanity",
    "reliability",
    "score_summary",
    "scores_by_negatives",
]
