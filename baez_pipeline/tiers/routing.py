"""Which tier a feature is of: 1 = its input or output windows are alike, 2 = only both together, 3 = obscure.

Goes in: the table FeatureTiers, from the correlation scores of all features. Stays out: the scores.

Mode article: a score of at least `tiers.tau` stands out; the cross window is looked at only where input and output are
below it. Mode calibrated: input and output are held against the null `shifted` (local at the peak, not merely of the
same topic), cross against both `random` and `others`; the false discovery rate is held down over all features and
windows. (Field guide, evaluation-and-tiers, 4 and 5.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import dataframely as dy
import polars as pl

from baez_pipeline.experiment import Tiers
from baez_pipeline.statistics.significance import benjamini_hochberg
from baez_pipeline.tables import FeatureTiers
from baez_pipeline.tiers.windows import FEWEST_WINDOWS, KINDS, WindowKind

Standing = Literal["stands out", "does not", "in doubt"]

NULLS_OF: Mapping[WindowKind, tuple[str, ...]] = {
    "input": ("shifted",),
    "output": ("shifted",),
    "cross": ("random", "others"),
}
"""The nulls that a window must beat, all of them."""

_SMALLEST_SHOWN = 0.001


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is concluded of one window."""

    standing: Standing
    why: str
    """In words that follow the window's name."""
    margin: float | None
    """How clearly it stands out: z, in mode article r - tau; None where it cannot be told."""
    reach: float | None
    """The margin at the upper end of the score's interval; mode article has no intervals."""


def route(scores: pl.DataFrame, settings: Tiers) -> dy.DataFrame[FeatureTiers]:
    """The tier of each feature.

    Args:
        scores: CorrelationScores of all features: q-values are over them.
        settings: the experiment file's table `tiers`.

    Returns:
        One row per feature, sorted by key.
    """
    tested = _with_q(pl.concat([_tested(scores, kind, settings) for kind in KINDS]))
    rows = []
    for (feature,), windows in tested.partition_by("feature", as_dict=True, maintain_order=True).items():
        by_kind = {row["window"]: row for row in windows.iter_rows(named=True)}
        found = {kind: _judged(by_kind[kind], settings) for kind in KINDS}
        columns = {f"{name}_{kind}": by_kind[kind][name] for name in ("r", "z", "p", "q", "tau") for kind in KINDS}
        rows.append({"feature": feature, "mode": settings.mode} | columns | _tier(found))
    table = pl.DataFrame(rows, schema=FeatureTiers.create_empty().schema, orient="row")
    return FeatureTiers.validate(table.sort("feature"))


def _tested(scores: pl.DataFrame, kind: WindowKind, settings: Tiers) -> pl.DataFrame:
    """The rows of one window with the score that decides, and what it is held against."""
    rows = scores.filter(pl.col("window") == kind).with_columns(pl.col("window").cast(pl.String))
    score = pl.col("r_weighted" if settings.weighted else "r")
    if settings.mode == "article":
        held = {"z": pl.lit(None, pl.Float64), "p": pl.lit(None, pl.Float64), "tau": pl.lit(settings.tau, pl.Float64)}
        held["sd"] = pl.lit(None, pl.Float64)
    else:
        nulls = NULLS_OF[kind]
        known = pl.all_horizontal(pl.col(f"{null}_p").is_not_null() for null in nulls)
        held = {
            "z": pl.when(known).then(pl.min_horizontal(f"{null}_z" for null in nulls)),
            "p": pl.when(known).then(pl.max_horizontal(f"{null}_p" for null in nulls)),
            "tau": pl.when(known).then(pl.max_horizontal(f"{null}_tau" for null in nulls)),
            "sd": pl.when(known).then(pl.min_horizontal(f"{null}_sd" for null in nulls)),
        }
    return rows.select("feature", "window", "n_windows", "r_low", "r_high", r=score, **held)


def _with_q(tested: pl.DataFrame) -> pl.DataFrame:
    with_p, without = (tested.filter(pl.col("p").is_not_null() == has) for has in (True, False))
    q_values = benjamini_hochberg(with_p["p"].to_numpy())
    together = [with_p.with_columns(q=pl.Series(q_values, dtype=pl.Float64)), without]
    return pl.concat(together, how="diagonal").sort("feature", "window")


def _judged(row: Mapping[str, Any], settings: Tiers) -> Found:
    if row["n_windows"] < FEWEST_WINDOWS:
        why = f"has {row['n_windows']} valid windows, {FEWEST_WINDOWS} needed"
        return Found(standing="in doubt", why=why, margin=None, reach=None)
    return _by_tau(row) if settings.mode == "article" else _by_nulls(row, settings)


def _by_tau(row: Mapping[str, Any]) -> Found:
    score, tau = row["r"], row["tau"]
    above = score >= tau
    return Found(
        standing="stands out" if above else "does not",
        why=f"has r = {score:.2f}, {'at least' if above else 'below'} tau = {tau:.2f}",
        margin=score - tau,
        reach=score - tau,
    )


def _by_nulls(row: Mapping[str, Any], settings: Tiers) -> Found:
    if row["p"] is None:
        why = "has no null: too few windows off the peak, or too few donors"
        return Found(standing="in doubt", why=why, margin=None, reach=None)
    q = f"q = {row['q']:.3f}" if row["q"] >= _SMALLEST_SHOWN else f"q < {_SMALLEST_SHOWN}"
    said = f"r = {row['r']:.2f}, tau = {row['tau']:.2f}, {q}"
    standing, why = _standing(row, settings.fdr, floor=1 / (settings.most_draws + 1))
    reach = None if row["z"] is None else row["z"] + (row["r_high"] - row["r"]) / row["sd"]
    return Found(standing=standing, why=f"{why} ({said})", margin=row["z"], reach=reach)


def _standing(row: Mapping[str, Any], fdr: float, *, floor: float) -> tuple[Standing, str]:
    if row["q"] <= fdr:
        if row["r_low"] > row["tau"]:
            return "stands out", "stands out"
        return "in doubt", "is above its null, but its interval over examples reaches under tau"
    if row["p"] <= floor:
        return "in doubt", "is above all draws of its null, too few for so many windows: raise tiers.most_draws"
    if row["p"] <= fdr:
        return "in doubt", "is above its null by itself, but not among so many windows"
    return "does not", "is within its null"


def _tier(found: Mapping[WindowKind, Found]) -> dict[str, Any]:
    passed = [kind for kind in KINDS if found[kind].standing == "stands out"]
    doubts = [kind for kind in KINDS if found[kind].standing == "in doubt"]
    local: list[WindowKind] = [kind for kind in passed if kind != "cross"]
    outcome = {"tier": None, "window": None, "passed": passed, "undetermined": False}
    if local:
        return outcome | _local(local, found)
    if local_doubts := [kind for kind in doubts if kind != "cross"]:
        return outcome | {"undetermined": True, "reason": f"it may be of tier 1: {_told(local_doubts, found)}"}
    if passed:
        return outcome | {"tier": 2, "window": "cross", "reason": _told(KINDS, found)}
    if doubts:
        return outcome | {"undetermined": True, "reason": f"it may be of tier 2: {_told(doubts, found)}"}
    return outcome | {"tier": 3, "reason": _told(KINDS, found)}


def _local(local: Sequence[WindowKind], found: Mapping[WindowKind, Found]) -> dict[str, Any]:
    """Tier 1, by the clearer window; undetermined where the other one may be as clear."""
    clearer = max(local, key=lambda kind: found[kind].margin or 0.0)
    other: WindowKind = "output" if clearer == "input" else "input"
    if other in local and _may_be_as_clear(found[other].reach, found[clearer].margin):
        told = _told(("input", "output"), found)
        return {"undetermined": True, "reason": f"it is of tier 1, but by which window is not clear: {told}"}
    if found[other].standing == "in doubt" and _may_be_as_clear(found[other].margin, found[clearer].margin):
        told = _told((clearer, other), found)
        return {"undetermined": True, "reason": f"it is of tier 1, but the window in doubt is the clearer one: {told}"}
    if other not in local:
        return {"tier": 1, "window": clearer, "reason": _told(local, found)}
    return {"tier": 1, "window": clearer, "reason": f"both stand out, {clearer} more clearly: {_told(local, found)}"}


def _may_be_as_clear(other: float | None, clearer: float | None) -> bool:
    return other is not None and clearer is not None and other >= clearer


def _told(kinds: Sequence[WindowKind], found: Mapping[WindowKind, Found]) -> str:
    return "; ".join(f"{kind} {found[kind].why}" for kind in kinds)
