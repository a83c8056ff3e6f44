"""Scores of each label on each benchmark, worked out from single judgements.

A failed judgement is counted, not scored.
"""

import polars as pl
from sklearn.metrics import roc_auc_score

from baez_pipeline.tables import FeatureScores, Outcome


def feature_scores(judged: pl.DataFrame) -> pl.DataFrame:
    """Accuracy, rates, AUROC and gap of every feature, method and benchmark.

    Args:
        judged: JudgedExamples of any features, methods and benchmarks.

    Returns:
        FeatureScores, sorted by benchmark, method and feature. What cannot be computed is null: accuracy where nothing
        was answered, a rate without examples of its kind, AUROC and gap without both kinds.
    """
    keys = ["benchmark", "method", "feature"]
    rows = [
        dict(zip(keys, key, strict=True)) | _scores(group)
        for key, group in judged.partition_by(keys, as_dict=True).items()
    ]
    table = pl.DataFrame(rows, schema=FeatureScores.create_empty().schema, orient="row")
    return FeatureScores.validate(table.sort(keys))


def _scores(judged: pl.DataFrame) -> dict[str, float | int | None]:
    answered = judged.filter(pl.col("outcome") == Outcome.OK.value)
    right = pl.col("answer") == pl.col("truth")
    # mean() leaves out nulls and is null where nothing is left, so embedding, which answers nothing, has no accuracy.
    return {
        "n_answered": answered.height,
        "n_failed": judged.height - answered.height,
        "accuracy": answered.select(right.mean()).item(),
        "true_positive_rate": answered.filter(pl.col("truth")).select(right.mean()).item(),
        "true_negative_rate": answered.filter(~pl.col("truth")).select(right.mean()).item(),
        "auroc": _auroc(answered.select("truth", value=pl.coalesce("probability", "similarity")).drop_nulls()),
        "gap": answered.select(
            pl.col("similarity").filter(pl.col("truth")).mean() - pl.col("similarity").filter(~pl.col("truth")).mean()
        ).item(),
    }


def _auroc(valued: pl.DataFrame) -> float | None:
    if valued["truth"].n_unique() < 2:
        return None
    return float(roc_auc_score(valued["truth"].to_numpy(), valued["value"].to_numpy()))
