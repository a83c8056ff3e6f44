"""The tables of docs/tiers.md, from what validation.py measured."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import polars as pl

from baez_pipeline.experiment import Tiers
from baez_pipeline.statistics.agreement import spearman
from baez_pipeline.statistics.bootstrap import clustered_interval
from baez_pipeline.tiers.arad import AradScores
from baez_pipeline.tiers.known_classes import EXPECTED
from baez_pipeline.tiers.routing import NULLS_OF, route
from baez_pipeline.tiers.summary import share_interval
from baez_pipeline.tiers.windows import KINDS

CONFIDENCE, RESAMPLES = 0.95, 2000
TAUS = [round(0.05 * step, 2) for step in range(1, 20)]
"""Tried for mode article."""
OUTCOMES: dict[str, pl.Expr] = {
    "tier 1, input": (pl.col("tier") == 1) & (pl.col("window") == "input"),
    "tier 1, output": (pl.col("tier") == 1) & (pl.col("window") == "output"),
    "tier 2": pl.col("tier") == 2,
    "tier 3": pl.col("tier") == 3,
    "undetermined": pl.col("undetermined"),
}
AGREEMENTS = {
    "input score": ("input", ("r", "shifted_z", "token_agreement", "logit_overlap")),
    "output score": ("output", ("r", "shifted_z", "token_agreement", "logit_overlap")),
}


def rendered(scores: pl.DataFrame, classes: Mapping[str, str], arad: Mapping[str, AradScores], settings: Tiers) -> str:
    """All tables as Markdown.

    Args:
        scores: CorrelationScores of all features.
        classes: feature -> its class, or `real`.
        arad: real feature -> Arad's scores.
        settings: the protocol's, mode calibrated.
    """
    kind_of = pl.DataFrame({"feature": list(classes), "class": list(classes.values())})
    scores = scores.join(kind_of, on="feature", validate="m:1")
    planted = scores.filter(pl.col("class") != "real")
    parts = [
        "### Confusion, mode calibrated",
        confusion(planted, settings),
        "### Random features alone",
        confusion(planted.filter(pl.col("class") == "random"), settings),
        "### p-values of random features",
        p_values_of_random(planted.filter(pl.col("class") == "random"), settings),
        "### Confusion, mode article, with the tau that is best in hindsight",
        article(planted),
        "### Real features",
        confusion(scores.filter(pl.col("class") == "real"), settings),
        "### Agreement with Arad et al.",
        agreement_with_arad(scores.filter(pl.col("class") == "real"), arad),
    ]
    return "\n\n".join(parts)


def confusion(scores: pl.DataFrame, settings: Tiers) -> str:
    """Classes by outcomes, and the share that is right with its interval."""
    routed = _routed(scores, settings)
    lines = []
    for kind in [*EXPECTED, "real"]:
        rows = routed.filter(pl.col("class") == kind)
        if rows.is_empty():
            continue
        counts = [rows.filter(outcome).height for outcome in OUTCOMES.values()]
        right = _share(rows.filter("right").height, rows.height) if kind in EXPECTED else ""
        lines.append([kind, *map(str, counts), right])
    return _table(["class", *OUTCOMES, "right"], lines)


def p_values_of_random(scores: pl.DataFrame, settings: Tiers) -> str:
    """How often a random feature's window is above each null's tau, and how often its interval holds tau."""
    lines = []
    for kind in KINDS:
        for null in ("random", "shifted", "others"):
            rows = scores.filter(pl.col("window") == kind, pl.col(f"{null}_p").is_not_null())
            if rows.height:
                low = rows.filter(pl.col(f"{null}_p") <= settings.fdr).height
                tau = pl.col(f"{null}_tau")
                held = rows.filter(pl.col("r_low") <= tau, pl.col("r_high") >= tau).height
                decides = "yes" if null in NULLS_OF[kind] else ""
                lines.append([kind, null, decides, _share(low, rows.height), _share(held, rows.height)])
    columns = ["window", "null", "decides", f"p <= {settings.fdr}", "interval holds tau"]
    return _table(columns, lines)


def article(scores: pl.DataFrame) -> str:
    """The confusion of mode article with the tau that gets most features right, each class counted alike."""

    def mean_right(tau: float) -> float:
        routed = _routed(scores, Tiers(mode="article", tau=tau))
        return float(routed.group_by("class").agg(pl.col("right").mean())["right"].mean())  # type: ignore[arg-type]

    best = max(TAUS, key=mean_right)
    table = confusion(scores, Tiers(mode="article", tau=best))
    return (
        f"tau = {best} (of {TAUS[0]} to {TAUS[-1]}); mean share right over classes {mean_right(best):.2f}.\n\n{table}"
    )


def agreement_with_arad(scores: pl.DataFrame, arad: Mapping[str, AradScores]) -> str:
    """Spearman's correlation of our scores with Arad's over real features."""
    theirs = pl.DataFrame(
        [{"feature": key, "input score": said.input, "output score": said.output} for key, said in arad.items()]
    )
    lines = []
    for name, (window, columns) in AGREEMENTS.items():
        both = scores.filter(pl.col("window") == window).join(theirs, on="feature", validate="1:1")
        for column in columns:
            pairs = both.select(a=pl.col(column).cast(pl.Float64), b=pl.col(name)).drop_nulls()
            lines.append([name, f"{window} {column}", str(pairs.height), _correlation(pairs)])
    medians = theirs.select(pl.col("input score").median(), pl.col("output score").median()).row(0)
    note = f"Medians of Arad's scores: input {medians[0]:.2f}, output {medians[1]:.2g}."
    return f"{_table(['Arad', 'ours', 'features', 'Spearman'], lines)}\n\n{note}"


def _routed(scores: pl.DataFrame, settings: Tiers) -> pl.DataFrame:
    """FeatureTiers with the class, and whether tier and window are the expected ones."""
    kinds = scores.select("feature", "class").unique()
    routed = route(scores.drop("class"), settings).join(kinds, on="feature", validate="1:1")
    expected = pl.DataFrame(
        [{"class": kind, "right_tier": tier, "right_window": window} for kind, (tier, window) in EXPECTED.items()],
        schema={"class": pl.String, "right_tier": pl.Int64, "right_window": pl.String},
    )
    window = pl.col("window").cast(pl.String)
    return routed.join(expected, on="class", how="left", validate="m:1").with_columns(
        right=((pl.col("tier") == pl.col("right_tier")) & window.eq_missing(pl.col("right_window"))).fill_null(False)
    )


def _correlation(pairs: pl.DataFrame) -> str:
    a, b = pairs["a"].to_numpy(), pairs["b"].to_numpy()
    statistic: Callable[[np.ndarray], np.ndarray] = lambda counts: spearman(counts, a, b)  # noqa: E731
    value = statistic(np.ones((1, len(a))))[0]
    if not np.isfinite(value):
        return "one side is constant"
    low, high = clustered_interval(statistic, np.arange(len(a)), confidence=CONFIDENCE, resamples=RESAMPLES, seed=0)
    return f"{value:.2f} ({low:.2f} to {high:.2f})" if low is not None and high is not None else f"{value:.2f}"


def _share(count: int, total: int) -> str:
    low, high = share_interval(count, total)
    return f"{count} of {total}: {count / total:.0%} ({low:.0%} to {high:.0%})"


def _table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [columns, ["---"] * len(columns), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
