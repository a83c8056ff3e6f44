"""Scores of each label on each benchmark, worked out from single judgements.

A failed judgement is counted, not scored, unless the article's arithmetic is asked for.
"""

from collections.abc import Sequence
from typing import Literal

import polars as pl

from baez_pipeline.tables import PLANTED_KINDS, FeatureScores, Outcome

Failures = Literal["excluded", "wrong"]

KEYS = ["benchmark", "method", "shuffle", "feature"]

_JUDGED = ["truth", "answer", "probability", "similarity", "truncated", "outcome"]
_NEVER_ASKED = [Outcome.NO_LABEL.value, Outcome.NO_EVIDENCE.value]


def feature_scores(judged: pl.DataFrame, *, failures: Failures = "excluded") -> pl.DataFrame:
    """Rates, correlations and areas of every feature, method, shuffle and benchmark.

    Args:
        judged: JudgedExamples of any features, methods and benchmarks.
        failures: excluded = scores are those of the answered examples. wrong = an answer that failed counts as a wrong
            one, as in the article's accuracy, which is the sum of right answers over the number of examples that were
            asked about (field guide, audit row 30); probabilities and similarities know no failures in either case.

    Returns:
        FeatureScores, sorted by benchmark, method, shuffle and feature. What cannot be computed is null: accuracy where
        nothing was answered, a rate without examples of its kind, all that compares test examples with negatives
        without both.
    """
    rows = with_ranks(judged.select(*KEYS, *_JUDGED), KEYS).with_columns(answer=_counted_answer(failures))
    counts = rows.group_by(KEYS).agg(
        n_answered=_ok().sum(),
        n_failed=(~_ok()).sum(),
        true_positives=(pl.col("answer") & pl.col("truth")).sum(),
        false_negatives=(~pl.col("answer") & pl.col("truth")).sum(),
        false_positives=(pl.col("answer") & ~pl.col("truth")).sum(),
        true_negatives=(~pl.col("answer") & ~pl.col("truth")).sum(),
        brier=(pl.col("probability") - pl.col("truth").cast(pl.Float64)).pow(2).mean(),
        auroc=pl.col("share_below").mean(),
        auprc=pl.col("precision").mean(),
        gap=_similarity(pl.col("truth")) - _similarity(~pl.col("truth")),
        n_truncated=pl.when(pl.col("truncated").is_not_null().any()).then(pl.col("truncated").sum()),
    )
    schema = FeatureScores.create_empty().schema
    table = _with_rates(counts).with_columns(planted=_planted()).select(*schema).cast(schema)
    return FeatureScores.validate(table.sort(KEYS))


def with_ranks(judged: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """The rows with what the areas under the curves are means of.

    Args:
        judged: rows of JudgedExamples.
        keys: columns that tell labels apart.

    Returns:
        The same with `share_below`, the share of negatives that a test example is above, ties counting half, whose mean
        is the area under the ROC curve (Mann and Whitney's statistic); and `precision`, the share of test examples
        among all examples that are no lower, whose mean is the average precision. Both are null for negatives, for what
        failed or has no value, and where there are no negatives.
    """
    value = pl.when(_ok()).then(pl.coalesce("probability", "similarity"))
    truth = pl.col("truth")
    ranked = judged.with_columns(value=value).with_columns(
        n_negatives=(~truth & pl.col("value").is_not_null()).sum().over(keys),
        rank=pl.col("value").rank("average").over(keys),
        own_rank=pl.col("value").rank("average").over([*keys, "truth"]),
        no_lower=pl.col("value").rank("max", descending=True).over(keys),
        own_no_lower=pl.col("value").rank("max", descending=True).over([*keys, "truth"]),
    )
    compared = truth & (pl.col("n_negatives") > 0)
    return ranked.with_columns(
        # What is left of a rank among all without the rank among test examples are the negatives below.
        share_below=pl.when(compared).then((pl.col("rank") - pl.col("own_rank")) / pl.col("n_negatives")),
        precision=pl.when(compared).then(pl.col("own_no_lower") / pl.col("no_lower")),
    ).drop("value", "n_negatives", "rank", "own_rank", "no_lower", "own_no_lower")


def _ok() -> pl.Expr:
    return pl.col("outcome").cast(pl.String) == Outcome.OK.value


def _counted_answer(failures: Failures) -> pl.Expr:
    """The answer that is held against the truth; null for one that has no part in it."""
    answered = pl.when(_ok()).then(pl.col("answer"))
    if failures == "excluded":
        return answered
    # Embedding asks for no answer, so that none can be wrong.
    asked = ~pl.col("outcome").cast(pl.String).is_in(_NEVER_ASKED) & (pl.col("benchmark") != "embedding")
    return pl.when(_ok() | ~asked).then(answered).otherwise(~pl.col("truth"))


def _similarity(chosen: pl.Expr) -> pl.Expr:
    return pl.col("similarity").filter(chosen & _ok()).mean()


def _with_rates(counts: pl.DataFrame) -> pl.DataFrame:
    # Whole numbers as such would overflow in the product of four.
    names = ["true_positives", "false_negatives", "false_positives", "true_negatives"]
    tp, fn, fp, tn = (pl.col(name).cast(pl.Float64) for name in names)
    n_counted = tp + fn + fp + tn
    spread = ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)).sqrt()
    correlation = pl.when(spread > 0).then((tp * tn - fp * fn) / spread).otherwise(0.0)
    return counts.with_columns(
        accuracy=_ratio(tp + tn, n_counted),
        true_positive_rate=_ratio(tp, tp + fn),
        true_negative_rate=_ratio(tn, tn + fp),
        mcc=pl.when((tp + fn > 0) & (tn + fp > 0)).then(correlation),
    ).with_columns(balanced_accuracy=(pl.col("true_positive_rate") + pl.col("true_negative_rate")) / 2)


def _ratio(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    return pl.when(whole > 0).then(part / whole)


def _planted() -> pl.Expr:
    """The kind of a planted feature, by its key."""
    return pl.col("feature").str.extract(rf"^planted-({'|'.join(PLANTED_KINDS)})_\d+$")
