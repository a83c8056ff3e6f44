"""Does a score fall when what was predicted gets worse?

After the missing-label and extra-label tests of Oikarinen et al. (2506.05774): half of the predicted examples are left
out, or as many others are predicted, too. A metric that does not fall under both cannot tell a good label from one that
is too narrow or too wide. It is asked here of this experiment's own judgements, those of the right labels of planted
features. Predicted are the examples answered active; by similarity, those over the feature's median.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import dataframely as dy
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from baez_pipeline.draws import seed_of
from baez_pipeline.statistics.metrics import PrimaryMetric
from baez_pipeline.tables import MetricSanity, Outcome

Booleans = NDArray[np.bool_]
Values = NDArray[np.float64]

DRAWS = 20
"""Draws of which examples are left out or added; a feature's value is their mean."""


def metric_sanity(judged: pl.DataFrame, *, seed: int) -> dy.DataFrame[MetricSanity]:
    """One row per benchmark, by its primary metric.

    Args:
        judged: JudgedExamples of the right labels of planted features, of any benchmarks.
        seed: of the draws.
    """
    rows = [
        {"benchmark": benchmark, **_row(group, seed)}
        for (benchmark,), group in judged.partition_by("benchmark", as_dict=True, maintain_order=True).items()
    ]
    return MetricSanity.validate(pl.DataFrame(rows, schema=MetricSanity.create_empty().schema, orient="row"))


class _Judged(NamedTuple):
    """One feature's answered examples."""

    truth: Booleans
    predicted: Booleans
    value: Values | None
    """What they are ranked by; None where the judge gives answers alone."""

    @property
    def score(self) -> float:
        """AUROC by value, as Mann and Whitney's U; balanced accuracy of the predictions without one."""
        n_true, n_false = self.truth.sum(), (~self.truth).sum()
        if self.value is None:
            return float((self.predicted[self.truth].mean() + (~self.predicted)[~self.truth].mean()) / 2)
        ranks = stats.rankdata(self.value)[self.truth].sum()
        return float((ranks - n_true * (n_true + 1) / 2) / (n_true * n_false))

    def worsened(self, *, left_out: bool, seed: int) -> "_Judged":
        """Half of the predicted examples not predicted, or as many others predicted, too."""
        chosen_from = np.flatnonzero(self.predicted == left_out)
        n_predicted = int(self.predicted.sum())
        wanted = min(math.ceil(n_predicted / 2) if left_out else n_predicted, len(chosen_from))
        changed = np.random.default_rng(seed).choice(chosen_from, wanted, replace=False)
        predicted, value = self.predicted.copy(), self.value
        predicted[changed] = not left_out
        if value is not None:
            # Beyond all others: what is left out ranks last, what is added ranks first.
            end = value.min() - 1 if left_out else value.max() + 1
            value = value.copy()
            value[changed] = end
        return _Judged(self.truth, predicted, value)


def _row(judged: pl.DataFrame, seed: int) -> dict[str, str | int | float | bool | None]:
    answered = judged.filter(pl.col("outcome") == Outcome.OK.value).with_columns(
        value=pl.coalesce("probability", "similarity")
    )
    metric: PrimaryMetric = "auroc" if answered["value"].is_not_null().any() else "balanced_accuracy"
    if metric == "auroc":
        # A judge may give a probability for some answers only; what has none cannot be ranked.
        answered = answered.drop_nulls("value")
    both_kinds = [rows for rows in answered.partition_by("feature") if rows["truth"].n_unique() == 2]
    features = [_judged(rows, ranked=metric == "auroc") for rows in both_kinds]
    if not features:
        return {"metric": metric, "n_features": 0, "score": None, "halved": None, "doubled": None, "falls": None}
    score = float(np.mean([feature.score for feature in features]))
    halved, doubled = (_mean_worsened(features, left_out=left_out, seed=seed) for left_out in (True, False))
    return {
        "metric": metric,
        "n_features": len(features),
        "score": score,
        "halved": halved,
        "doubled": doubled,
        "falls": max(halved, doubled) < score,
    }


def _mean_worsened(features: Sequence[_Judged], *, left_out: bool, seed: int) -> float:
    scores = [
        feature.worsened(left_out=left_out, seed=seed_of(seed, "metric sanity", left_out, place, draw)).score
        for place, feature in enumerate(features)
        for draw in range(DRAWS)
    ]
    return float(np.mean(scores))


def _judged(rows: pl.DataFrame, *, ranked: bool) -> _Judged:
    by_similarity = pl.col("similarity") > pl.col("similarity").median()
    predicted = rows.select(pl.coalesce("answer", by_similarity)).to_series()
    return _Judged(rows["truth"].to_numpy(), predicted.to_numpy(), rows["value"].to_numpy() if ranked else None)
