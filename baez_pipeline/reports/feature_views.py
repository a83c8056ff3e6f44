"""What the page of a feature says of its labels.

Goes in: labels with their scores, own ones and controls. Stays out: single judgements (judged_views.py), layout.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from baez_pipeline.reports.judged_views import in_order, is_control
from baez_pipeline.reports.trust import Trust
from baez_pipeline.reports.wording import MISSING, counted, p_value
from baez_pipeline.scoring.controls import RIGHT, Judged
from baez_pipeline.tables import Outcome
from baez_pipeline.tiers.labels import BY_TIER


@dataclass(frozen=True)
class ScoredBenchmark:
    """One label on one benchmark."""

    trust: Trust
    value: str
    claim: str
    """Whether this one label beats chance, in words; empty where that was not tested."""


@dataclass(frozen=True)
class LabelView:
    """One label that the feature's examples were judged with."""

    who: Judged
    of_feature: str
    """The feature that it was written for."""
    label: str | None
    why_none: str
    scores: tuple[ScoredBenchmark, ...]
    by: str
    """Who wrote it and why, where that is not the method's writer for every feature: labels by tier. Else empty."""
    unanswered: str
    """How many of its judgements have no answer, in words; empty if all were answered."""

    @property
    def name(self) -> str:
        """Who wrote it, and that it is another feature's where it is."""
        method = f"{self.who.method} label" if self.who.method in (RIGHT, "generic", "empty") else self.who.method
        return f"{method} of another feature" if self.who.shuffle else method


def label_views(
    feature: str,
    labels: pl.DataFrame,
    judged: pl.DataFrame,
    scores: pl.DataFrame,
    claims: pl.DataFrame,
    trust: Mapping[str, Trust],
) -> tuple[list[LabelView], list[LabelView]]:
    """The feature's own labels, and the control labels that its examples were judged with.

    Args:
        feature: its key.
        labels: Labels of the feature, by all methods.
        judged: JudgedExamples of the feature.
        scores: FeatureScores of the feature.
        claims: FeatureClaims of the feature.
        trust: from `trust_in`.
    """
    written = {Judged(row["method"]): row for row in labels.iter_rows(named=True)}
    judged_as = {
        Judged(row["method"], row["shuffle"]): row
        for row in judged.unique(["method", "shuffle"], maintain_order=True).iter_rows(named=True)
    }
    scored: dict[Judged, dict[str, dict[str, Any]]] = {}
    for row in scores.iter_rows(named=True):
        scored.setdefault(Judged(row["method"], row["shuffle"]), {})[row["benchmark"]] = row
    claimed = {(row["method"], row["benchmark"]): row for row in claims.iter_rows(named=True)}
    views = []
    for who in in_order({*written, *judged_as}):
        row = judged_as.get(who, {})
        label, why_none = _text(row, written.get(who, {}))
        of_label = scored.get(who, {})
        views.append(
            LabelView(
                who=who,
                of_feature=row.get("label_from", feature),
                label=label,
                why_none=why_none,
                by=_by(who, written.get(who, {})),
                scores=tuple(
                    ScoredBenchmark(
                        found, _value(found, of_label.get(name)), _claim(who, claimed.get((who.method, name)))
                    )
                    for name, found in trust.items()
                ),
                unanswered="" if label is None else _unanswered(of_label),
            )
        )
    return [view for view in views if not is_control(view.who)], [view for view in views if is_control(view.who)]


def _text(judged: Mapping[str, Any], written: Mapping[str, Any]) -> tuple[str | None, str]:
    """The label, and why there is none."""
    if written and written["outcome"] != Outcome.OK.value:
        detail = written["detail"] or MISSING
        # "No label" stands before it on the page.
        said = written["outcome"] == Outcome.NO_LABEL.value
        return None, detail if said else f"{written['outcome'].replace('_', ' ')}: {detail}"
    label = judged.get("label", written.get("label"))
    return (label, "") if label is not None else (None, "there was none")


def _by(who: Judged, written: Mapping[str, Any]) -> str:
    if who.method != BY_TIER or who.shuffle or written.get("outcome") != Outcome.OK.value:
        return ""
    return "; ".join(filter(None, (written["model"], written["detail"])))


def _value(trust: Trust, row: Mapping[str, Any] | None) -> str:
    return trust.mark(trust.measure.number(row[trust.measure.metric] if row else None))


def _claim(who: Judged, row: Mapping[str, Any] | None) -> str:
    if row is None or who.shuffle or row["q_value"] is None:
        return ""
    return f"{'beats chance' if row['claimed'] else 'not shown to beat chance'}, q\u00a0{p_value(row['q_value'])}"


def _unanswered(of_label: Mapping[str, Mapping[str, Any]]) -> str:
    failed = sum(row["n_failed"] for row in of_label.values())
    judged = failed + sum(row["n_answered"] for row in of_label.values())
    return f"{failed} of {counted(judged, 'judgement')} unanswered" if failed else ""
