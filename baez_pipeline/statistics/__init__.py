"""Intervals, summaries, paired comparisons and distances: numbers in, numbers out.

Goes in: what turns per-feature scores and label vectors into the tables over all features. The unit is always
the feature; its examples are nested in it. Stays out: how a score is judged, and how a number is shown.
"""

from baez_pipeline.statistics.bootstrap import Interval, mean_interval
from baez_pipeline.statistics.comparison import method_comparison
from baez_pipeline.statistics.distances import label_distances
from baez_pipeline.statistics.summary import score_summary

__all__ = ["Interval", "label_distances", "mean_interval", "method_comparison", "score_summary"]
