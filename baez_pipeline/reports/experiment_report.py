"""The experiment report: what was run, how the methods scored, how they differ, what failed, which features
were met.

Goes in: gathering the page's figures from the tables. Stays out: how it looks (templates/).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from baez_pipeline.experiment import Experiment
from baez_pipeline.reports import charts
from baez_pipeline.reports.identities import Identities
from baez_pipeline.reports.method_table import method_table
from baez_pipeline.reports.most_distant import MOST_DISTANT_REPORT
from baez_pipeline.reports.outcomes import StepOutcomes, failures_found
from baez_pipeline.reports.pages import render
from baez_pipeline.reports.wording import (
    Measure,
    difference_name,
    method_colours,
    percent,
    plain_number,
    signed_interval,
    signed_number,
)
from baez_pipeline.statistics.metrics import methods_in
from baez_pipeline.tables.features import DRAW_OUTCOMES

EXPERIMENT_REPORT = "experiment_report.html"
"""The name of this page."""

_MISSED_SHOWN = 100
"""Draws that are listed one by one; past it the roster itself is the place to look."""


@dataclass(frozen=True)
class Pool:
    """Draws of one pool of the roster."""

    name: str
    drawn: int
    counts: tuple[tuple[str, int], ...]
    """Outcome in words, number of draws; outcomes that occur only."""


def render_experiment_report(
    experiment: Experiment,
    summary: pl.DataFrame,
    comparison: pl.DataFrame,
    scores: pl.DataFrame,
    roster: pl.DataFrame,
    outcomes: Sequence[StepOutcomes],
    identities: Identities,
    distances: pl.DataFrame,
) -> str:
    """The page as HTML, self-contained; the same tables give the same text.

    Args:
        experiment: the settings it was run with.
        summary: ScoreSummary.
        comparison: MethodComparison.
        scores: FeatureScores, for the dots of the chart.
        roster: FeatureSample.
        outcomes: per step, from `outcomes_by_step`.
        identities: from `identities_of`.
        distances: LabelDistances; the farthest are linked to the most-distant report.
    """
    confidence = experiment.statistics.confidence
    return render(
        "experiment_report.html.j2",
        experiment=experiment,
        identities=identities,
        # In running text, the percent sign must not fall onto the next line.
        confidence=percent(confidence).replace(" ", "\u00a0"),
        n_features=roster.filter(pl.col("pool") == "sampled", pl.col("outcome") == "kept").height,
        table=method_table(summary, confidence=confidence),
        colours=method_colours(methods_in(summary)),
        score_chart=charts.score_chart_inline(scores, summary, confidence=confidence),
        difference_chart=charts.difference_chart_inline(comparison, confidence=confidence),
        differences=[_difference(row) for row in comparison.iter_rows(named=True)],
        figures=[_figures(row) for row in summary.iter_rows(named=True)],
        steps=outcomes,
        failures=failures_found(outcomes),
        pools=_pools(roster),
        missed=_missed(roster),
        missed_shown=_MISSED_SHOWN,
        farthest=distances.sort("rank").head(experiment.report.most_distant_features).to_dicts(),
        most_distant_page=MOST_DISTANT_REPORT,
    )


def _difference(row: dict[str, Any]) -> dict[str, str | int]:
    return {
        "measure": Measure(row["benchmark"], row["metric"]).title,
        "pair": difference_name(row["method_a"], row["method_b"]),
        "n_features": row["n_features"],
        "mean": signed_number(row["mean_difference"]),
        "interval": signed_interval(row["interval_low"], row["interval_high"]),
        "share": percent(row["share_a_better"]),
    }


def _figures(row: dict[str, Any]) -> dict[str, str | int]:
    measure = Measure(row["benchmark"], row["metric"])
    return {
        "method": row["method"],
        "measure": measure.title,
        "n_features": row["n_features"],
        "mean": measure.number(row["mean"]),
        "interval": measure.interval(row["interval_low"], row["interval_high"]),
        "median": measure.number(row["median"]),
        "standard_deviation": plain_number(row["standard_deviation"], 3),
        "share_negative": percent(row["share_negative"]),
        "failed": f"{row['n_failed']:,}/{row['n_failed'] + row['n_answered']:,}",
    }


def _pools(roster: pl.DataFrame) -> list[Pool]:
    pools = []
    for name in ("sampled", "donor"):
        counts = dict(roster.filter(pl.col("pool") == name)["outcome"].cast(pl.String).value_counts().iter_rows())
        named = tuple((outcome.replace("_", " "), counts[outcome]) for outcome in DRAW_OUTCOMES if outcome in counts)
        pools.append(Pool(name, sum(counts.values()), named))
    return pools


def _missed(roster: pl.DataFrame) -> list[dict[str, Any]]:
    missed = roster.filter(pl.col("outcome") != "kept").sort("pool", "draw")
    return [row | {"outcome": row["outcome"].replace("_", " ")} for row in missed.to_dicts()]
