"""Does this one label beat chance? Claims about single features, with the share of false ones held down.

Goes in: the table FeatureClaims. Stays out: methods as a whole.
"""

import dataframely as dy
import numpy as np
import polars as pl
from scipy import stats

from baez_pipeline.experiment import Statistics
from baez_pipeline.statistics.answered import LABEL, answered
from baez_pipeline.statistics.metrics import benchmarks_in
from baez_pipeline.statistics.significance import benjamini_hochberg
from baez_pipeline.tables import FeatureClaims


def feature_claims(judged: pl.DataFrame, settings: Statistics) -> dy.DataFrame[FeatureClaims]:
    """One row per feature, method and benchmark, sorted so; a label without both kinds of answers claims nothing.

    The test asks how often the truths of a label's examples, dealt anew, would go with its answers as well. For
    balanced accuracy that is Fisher's exact test, which forgives no judge for saying yes to everything. For AUROC it
    is Mann and Whitney's, exact; where values are tied, by its normal approximation with the tie correction, as
    scipy's exact distribution knows no ties.

    Args:
        judged: JudgedExamples of own labels (shuffle 0).
        settings: alpha.
    """
    tables = []
    for benchmark in benchmarks_in(judged):
        rows, metric = answered(judged.filter(pl.col("benchmark") == benchmark))
        counts = judged.filter(pl.col("benchmark") == benchmark).select(LABEL).unique()
        tested = _auroc(rows) if metric == "auroc" else _balanced_accuracy(rows)
        tables += [
            _with_q(of_method, settings.alpha).with_columns(benchmark=pl.lit(benchmark), metric=pl.lit(metric))
            for of_method in counts.join(tested, on=LABEL, how="left", validate="1:1").partition_by("method")
        ]
    empty = FeatureClaims.create_empty()
    claims = pl.concat(tables, how="diagonal").select(empty.columns) if tables else empty
    return FeatureClaims.validate(claims.sort("benchmark", "method", "feature"), cast=True)


def _with_q(claims: pl.DataFrame, alpha: float) -> pl.DataFrame:
    claims = claims.with_columns(pl.col("n_positive", "n_negative").fill_null(0))
    tested, untested = (claims.filter(pl.col("p_value").is_not_null() == is_tested) for is_tested in (True, False))
    q_values = pl.Series(benjamini_hochberg(tested["p_value"].to_numpy()), dtype=pl.Float64)
    together = pl.concat([tested.with_columns(q_value=q_values), untested], how="diagonal")
    return together.with_columns(claimed=(pl.col("q_value") <= alpha).fill_null(False))


def _balanced_accuracy(rows: pl.DataFrame) -> pl.DataFrame:
    yes, truth = pl.col("said"), pl.col("truth")
    counts = rows.group_by(LABEL).agg(
        n_positive=truth.sum(), n_negative=(~truth).sum(), n_yes=yes.sum(), hits=yes.filter(truth).sum()
    )
    rates = (pl.col("hits") / pl.col("n_positive"), 1 - (pl.col("n_yes") - pl.col("hits")) / pl.col("n_negative"))
    both = counts.filter(pl.min_horizontal("n_positive", "n_negative") > 0)
    # Fisher's one-sided p by its definition: scipy.stats.fisher_exact takes one table at a time.
    p_values = stats.hypergeom.sf(
        both["hits"].to_numpy() - 1,
        (both["n_positive"] + both["n_negative"]).to_numpy(),
        both["n_positive"].to_numpy(),
        both["n_yes"].to_numpy(),
    )
    tested = both.select(*LABEL, value=(rates[0] + rates[1]) / 2, p_value=pl.lit(pl.Series(p_values)))
    return counts.select(*LABEL, "n_positive", "n_negative").join(tested, on=LABEL, how="left", validate="1:1")


def _auroc(rows: pl.DataFrame) -> pl.DataFrame:
    said, truth = pl.col("said"), pl.col("truth")
    labels = rows.group_by(LABEL).agg(
        n_positive=truth.sum(),
        n_negative=(~truth).sum(),
        tied=said.n_unique() < pl.len(),
        positives=said.filter(truth),
        negatives=said.filter(~truth),
    )
    # Labels of one shape are tested at once.
    shapes = labels.partition_by("n_positive", "n_negative", "tied", include_key=True)
    return pl.concat(map(_mann_whitney, shapes)) if shapes else _mann_whitney(labels)


def _mann_whitney(labels: pl.DataFrame) -> pl.DataFrame:
    """p-value and AUROC of labels that have the same numbers of examples, all or none of them with ties."""
    kept = labels.select(*LABEL, "n_positive", "n_negative")
    missing = pl.lit(None, dtype=pl.Float64)
    if labels.is_empty() or not labels["n_positive"][0] or not labels["n_negative"][0]:
        return kept.with_columns(value=missing, p_value=missing)
    positives, negatives = (np.array(labels[name].to_list()) for name in ("positives", "negatives"))
    tested = stats.mannwhitneyu(
        positives,
        negatives,
        alternative="greater",
        method="asymptotic" if labels["tied"][0] else "exact",
        axis=-1,
    )
    return kept.with_columns(
        value=pl.Series(tested.statistic / (positives.shape[1] * negatives.shape[1])),
        p_value=pl.Series(tested.pvalue),
    )
