"""The experiment report: whether the benchmarks can be trusted, how the methods scored and differ, what failed.

Goes in: gathering the page's figures from the tables. Stays out: how it looks (templates/).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from baez_pipeline.experiment import Experiment
from baez_pipeline.reports import charts, control_views, detail_views
from baez_pipeline.reports.detail_views import cost_rows, figure_rows
from baez_pipeline.reports.experiment_tables import ExperimentTables
from baez_pipeline.reports.identities import Identities
from baez_pipeline.reports.method_table import method_table
from baez_pipeline.reports.names import FEATURE_INDEX, MOST_DISTANT_REPORT, TIER_REPORT, feature_page
from baez_pipeline.reports.outcomes import StepOutcomes, failures_found
from baez_pipeline.reports.own_labels import label_methods, own_summary
from baez_pipeline.reports.pages import render
from baez_pipeline.reports.trust import Trust, trust_in
from baez_pipeline.reports.verdict_sentences import answer
from baez_pipeline.reports.wording import method_colours, percent
from baez_pipeline.tables.features import DRAW_OUTCOMES

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
    experiment: Experiment, tables: ExperimentTables, outcomes: Sequence[StepOutcomes], identities: Identities
) -> str:
    """The page as HTML, self-contained; the same tables give the same text.

    Args:
        experiment: the settings it was run with.
        tables: what it found.
        outcomes: per step, from `outcomes_by_step`.
        identities: from `identities_of`.
    """
    confidence, alpha = experiment.statistics.confidence, experiment.statistics.alpha
    own = own_summary(tables.summary)
    trust, methods = trust_in(own, tables.verdicts), label_methods(own)
    kept = tables.roster.filter(pl.col("outcome") == "kept")
    return render(
        "experiment_report.html.j2",
        experiment=experiment,
        identities=identities,
        # In running text, the percent sign must not fall onto the next line.
        confidence=percent(confidence).replace(" ", "\u00a0"),
        n_features=kept.filter(pl.col("pool") == "sampled").height,
        n_planted=kept.filter(pl.col("pool") == "planted").height,
        answer=answer(trust, tables.chance, tables.comparison, alpha=alpha),
        trust=trust,
        table=method_table(tables.summary, tables.verdicts, confidence=confidence),
        colours=method_colours(methods),
        figures=figure_rows(own, trust),
        steps=outcomes,
        failures=failures_found(outcomes),
        costs=None if tables.ledger is None else cost_rows(tables.ledger),
        pools=_pools(tables.roster),
        missed=_missed(tables.roster),
        missed_shown=_MISSED_SHOWN,
        farthest=tables.distances.sort("rank").head(experiment.report.most_distant_features).to_dicts(),
        most_distant_page=MOST_DISTANT_REPORT,
        feature_index=FEATURE_INDEX,
        tier_report=TIER_REPORT if "tiers" in experiment.labeling.methods else None,
        feature_page=feature_page,
        **_charts(tables, trust, confidence),
        **_details(tables, trust, methods),
    )


def _charts(tables: ExperimentTables, trust: Mapping[str, Trust], confidence: float) -> dict[str, Any]:
    return {
        "score_chart": charts.score_chart_inline(tables.scores, tables.summary, tables.verdicts, confidence=confidence),
        "control_chart": charts.control_chart_inline(tables.verdicts, tables.summary, trust, confidence=confidence),
        "difference_chart": charts.difference_chart_inline(tables.comparison, trust, confidence=confidence),
        "decile_chart": charts.decile_chart_inline(tables.deciles, tables.scores, trust, confidence=confidence),
    }


def _details(tables: ExperimentTables, trust: Mapping[str, Trust], methods: Sequence[str]) -> dict[str, Any]:
    return {
        "controls": control_views.control_rows(tables.summary, trust),
        "kinds": control_views.kind_rows(tables.scores, trust, methods),
        "sanity": control_views.sanity_rows(tables.sanity, trust),
        "chance": detail_views.chance_rows(tables.chance, tables.claims, trust),
        "comparisons": detail_views.comparison_rows(tables.comparison, trust, headline=True),
        "other_comparisons": detail_views.comparison_rows(tables.comparison, trust, headline=False),
        "negative_kinds": detail_views.negatives_in(tables.by_negatives),
        "by_negatives": detail_views.negatives_rows(tables.by_negatives, trust),
        "labels": detail_views.label_rows(tables.specificity),
        "reliability": detail_views.reliability_rows(tables.reliability),
        "agreement": detail_views.agreement_rows(tables.agreement),
    }


def _pools(roster: pl.DataFrame) -> list[Pool]:
    pools = []
    for name in ("sampled", "planted", "donor"):
        counts = dict(roster.filter(pl.col("pool") == name)["outcome"].cast(pl.String).value_counts().iter_rows())
        named = tuple((outcome.replace("_", " "), counts[outcome]) for outcome in DRAW_OUTCOMES if outcome in counts)
        pools.append(Pool(name, sum(counts.values()), named))
    return pools


def _missed(roster: pl.DataFrame) -> list[dict[str, Any]]:
    missed = roster.filter(pl.col("outcome") != "kept").sort("pool", "draw")
    return [row | {"outcome": row["outcome"].replace("_", " ")} for row in missed.to_dicts()]
