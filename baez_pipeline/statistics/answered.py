"""Judged examples as the statistics of single labels need them.

Goes in: which judgements count, and by which metric a benchmark's labels are scored. Stays out: scores over features.
"""

import numpy as np
import polars as pl

from baez_pipeline.statistics.bootstrap import Values
from baez_pipeline.statistics.metrics import PrimaryMetric
from baez_pipeline.tables import Outcome

LABEL = ["method", "feature"]
"""What names a label within a benchmark."""


def answered(judged: pl.DataFrame) -> tuple[pl.DataFrame, PrimaryMetric]:
    """The answered examples of one benchmark, with what they say as a number, and the benchmark's primary metric.

    AUROC where the judge gives probabilities or similarities, balanced accuracy where it gives answers alone; then a
    judgement without its probability counts as one without an answer. Failures are left out, whatever scoring.failures
    says of them: a judgement that did not take place tells nothing about spread or chance.

    Args:
        judged: JudgedExamples of one benchmark.

    Returns:
        Columns feature, method, example, truth and `said`: probability, similarity, or 1 for yes and 0 for no.
    """
    ok = judged.filter(pl.col("outcome") == Outcome.OK.value)
    valued = ok.with_columns(said=pl.coalesce("probability", "similarity"))
    metric: PrimaryMetric = "auroc" if valued["said"].is_not_null().any() else "balanced_accuracy"
    if metric == "balanced_accuracy":
        valued = ok.with_columns(said=pl.col("answer").cast(pl.Float64))
    return valued.select("feature", "method", "example", "truth", "said").drop_nulls("said"), metric


def pair_scores(positives: Values, negatives: Values, metric: PrimaryMetric) -> Values:
    """How every test example with every negative is judged, 0 to 1; their mean is the label's score.

    AUROC: 1 where the test example comes first, .5 for a tie. Balanced accuracy: the mean of both answers being right.
    A mean over pairs from two samples (a U-statistic), which is what halving examples and variances need.

    Args:
        positives: what was said of test examples, shape (m,).
        negatives: what was said of negatives, shape (n,).
        metric: what it is scored by.

    Returns:
        Shape (m, n).
    """
    if metric == "auroc":
        return (positives[:, None] > negatives) + 0.5 * (positives[:, None] == negatives)
    return np.asarray((positives[:, None] + 1 - negatives) / 2)
