"""What kinds of features each layer has, and whether that changes with depth.

Goes in: shares of tiers and means of the companion scores by layer, and their trends. Stays out: tiers and scores
themselves, and how a profile is drawn. The article's hypothesis: early layers hold input features, late ones output
features. The unit is the feature, and layers are taken as independent draws of features.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import dataframely as dy
import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

from baez_pipeline.draws import seed_of
from baez_pipeline.experiment import Statistics
from baez_pipeline.statistics import mean_interval
from baez_pipeline.statistics.significance import holm
from baez_pipeline.tables import LayerProfile, LayerTrends
from baez_pipeline.tables.layers import SHARES
from baez_pipeline.tiers.summary import share_interval

_Values = npt.NDArray[np.float64]

_COMPANIONS = {
    "peak_token_agreement": ("input", "token_agreement"),
    "next_token_agreement": ("output", "token_agreement"),
    "peak_token_in_logits": ("input", "logit_overlap"),
    "next_token_in_logits": ("output", "logit_overlap"),
}
"""Measure -> window and column of CorrelationScores."""
_PERMUTED_AT_ONCE = 500


class Measured(NamedTuple):
    """One number per feature: of a share 1 for those that count and 0 for the others."""

    measure: str
    among: str
    layers: npt.NDArray[np.int64]
    """[features], ascending."""
    values: _Values
    """[features]."""

    @property
    def is_share(self) -> bool:
        """Whether the numbers are 1 and 0."""
        return self.measure in SHARES


def measured(tiers: pl.DataFrame, scores: pl.DataFrame, layers: pl.DataFrame) -> Iterator[Measured]:
    """Every measure of every feature that has a layer.

    Args:
        tiers: FeatureTiers.
        scores: CorrelationScores.
        layers: feature, layer; planted features are of none.
    """
    kinds = tiers.select(
        "feature",
        kind=pl.when("undetermined")
        .then(pl.lit("undetermined"))
        .when(pl.col("tier") == 2)
        .then(pl.lit("cross"))
        .when(pl.col("tier") == 3)
        .then(pl.lit("obscure"))
        .otherwise(pl.col("window").cast(pl.String)),
    )
    every = kinds.join(layers, on="feature").sort("layer", "feature")
    determined = every.filter(pl.col("kind") != "undetermined")
    for among, rows in (("all", every), ("determined", determined)):
        for share in SHARES:
            if among == "all" or share != "undetermined":
                yield _measured(share, among, rows.with_columns(value=(pl.col("kind") == share).cast(pl.Float64)))
    for measure, (window, column) in _COMPANIONS.items():
        rows = scores.filter(pl.col("window") == window).select("feature", value=column).drop_nulls()
        yield _measured(measure, "all", rows.join(layers, on="feature").sort("layer", "feature"))


def _measured(measure: str, among: str, rows: pl.DataFrame) -> Measured:
    return Measured(measure, among, rows["layer"].to_numpy(), rows["value"].to_numpy())


def layer_profile(
    tiers: pl.DataFrame, scores: pl.DataFrame, layers: pl.DataFrame, settings: Statistics, *, seed: int
) -> dy.DataFrame[LayerProfile]:
    """Every measure in every layer, with its interval. Arguments: see `measured`."""
    every_layer = layers["layer"].unique().sort().to_list()
    rows = [
        {"layer": layer, "measure": found.measure, "among": found.among}
        | _of_layer(found, found.values[found.layers == layer], settings, seed)
        for found in measured(tiers, scores, layers)
        for layer in every_layer
    ]
    table = pl.DataFrame(rows, schema=LayerProfile.create_empty().schema, orient="row")
    return LayerProfile.validate(table)


def _of_layer(found: Measured, values: _Values, settings: Statistics, seed: int) -> dict[str, Any]:
    count = int(values.sum()) if found.is_share else None
    if not len(values):
        return {"n_features": 0, "count": count}
    if count is not None:
        interval: tuple[float | None, float | None] = share_interval(count, len(values), confidence=settings.confidence)
    else:
        interval = mean_interval(values, confidence=settings.confidence, resamples=settings.resamples, seed=seed)
    return {
        "n_features": len(values),
        "count": count,
        "value": float(values.mean()),
        "interval_low": interval[0],
        "interval_high": interval[1],
    }


def layer_trends(
    tiers: pl.DataFrame, scores: pl.DataFrame, layers: pl.DataFrame, settings: Statistics, *, seed: int
) -> dy.DataFrame[LayerTrends]:
    """Whether each measure rises or falls with depth. Arguments: see `measured`."""
    rows = [
        {"measure": found.measure, "among": found.among, "n_features": len(found.values)}
        | _trend(found, settings, seed_of(seed, found.measure, found.among))
        for found in measured(tiers, scores, layers)
    ]
    table = pl.DataFrame(rows, schema=LayerTrends.create_empty().schema | {"trend": pl.String}, orient="row")
    adjusted = []
    for of_one in table.partition_by("among", maintain_order=True):
        tested, untested = of_one.filter(pl.col("p").is_not_null()), of_one.filter(pl.col("p").is_null())
        adjusted += [tested.with_columns(p_holm=pl.Series(holm(tested["p"].to_numpy()), dtype=pl.Float64)), untested]
    direction = pl.when(pl.col("rho") > 0).then(pl.lit("rises")).otherwise(pl.lit("falls"))
    shown = (pl.col("p_holm") <= settings.alpha).fill_null(False)
    table = pl.concat(adjusted).with_columns(trend=pl.when(shown).then(direction).otherwise(pl.lit("not shown")))
    return LayerTrends.validate(table, cast=True)


def _trend(found: Measured, settings: Statistics, seed: int) -> dict[str, float | None]:
    layers, values = found.layers, found.values
    if len(np.unique(layers)) < 2 or np.ptp(values) == 0:
        return {}
    generator = np.random.default_rng(seed)
    first, last = values[layers == layers[0]], values[layers == layers[-1]]
    low, high = _change_interval(first, last, settings, generator, is_share=found.is_share)
    return {
        "rho": float(stats.spearmanr(layers, values).statistic),
        "p": exchange_p(layers, values, draws=settings.resamples, generator=generator),
        "change": float(last.mean() - first.mean()),
        "change_low": float(low),
        "change_high": float(high),
    }


def _change_interval(
    first: _Values, last: _Values, settings: Statistics, generator: np.random.Generator, *, is_share: bool
) -> tuple[float, float]:
    """Of the difference of two layers' means. Of shares Newcombe's (1998): resampling none of 70 gives none again."""
    if is_share:
        low, high = confint_proportions_2indep(
            int(last.sum()), len(last), int(first.sum()), len(first), method="newcomb", alpha=settings.alpha
        )
        return float(low), float(high)
    means = [_resampled_means(part, settings.resamples, generator) for part in (first, last)]
    low, high = np.quantile(means[1] - means[0], [settings.alpha / 2, 1 - settings.alpha / 2])
    return float(low), float(high)


def _resampled_means(values: _Values, resamples: int, generator: np.random.Generator) -> _Values:
    return values[generator.integers(0, len(values), size=(resamples, len(values)))].mean(axis=1)


def exchange_p(layers: npt.NDArray[np.int64], values: _Values, *, draws: int, generator: np.random.Generator) -> float:
    """Two-sided p-value of Spearman's rho, by exchanging features between layers.

    If a feature's value had nothing to do with its layer, every order of the values would be as likely. Twice the
    smaller side's (b + 1) / (B + 1), at most 1 (Phipson & Smyth 2010).

    Args:
        layers: [features].
        values: [features].
        draws: B.
        generator: of the exchanges.
    """
    # With the ranks' spread fixed, rho grows with their sum of products.
    depth, rank = stats.rankdata(layers), stats.rankdata(values)
    observed = depth @ rank
    above = below = 0
    for start in range(0, draws, _PERMUTED_AT_ONCE):
        turns = min(_PERMUTED_AT_ONCE, draws - start)
        drawn = generator.permuted(np.tile(rank, (turns, 1)), axis=1) @ depth
        # Ranks are halves of whole numbers, so that sums of their products are exact.
        above += int((drawn >= observed).sum())
        below += int((drawn <= observed).sum())
    return min(1.0, 2 * (min(above, below) + 1) / (draws + 1))
