"""The page of the ablation: what each of the article's faults does to each benchmark, and its charts as pictures.

Goes in: gathering the page's figures from AblationEffects. Stays out: how it looks (templates/).
"""

from dataclasses import dataclass

import polars as pl

from baez_pipeline.ablation.effects import METRICS
from baez_pipeline.ablation.faults import ARTICLE, CORRECTED, FAULTS
from baez_pipeline.experiment import Ablation, Experiment
from baez_pipeline.reports import ablation_chart, charts, drawing
from baez_pipeline.reports.ablation_chart import HEADLINE
from baez_pipeline.reports.pages import render
from baez_pipeline.reports.wording import percent, plain_number, signed_interval, signed_number

GROUPS = {"right": "Right labels of planted features", "methods": "The methods' labels of real features"}
"""The groups of labels that the page shows, in words."""

CHANCE_OF = {"right": "right, of others", "methods": "methods, of others"}


@dataclass(frozen=True)
class Row:
    """A fault on a benchmark, as text."""

    title: str
    audit_rows: str
    alone: str
    change: str
    change_interval: str
    without: str
    gain: str
    gain_interval: str


@dataclass(frozen=True)
class Panel:
    """A benchmark."""

    benchmark: str
    metric: str
    corrected: str
    article: str
    chance_corrected: str
    chance_article: str
    rows: tuple[Row, ...]


def render_ablation(experiment: Experiment, effects: pl.DataFrame) -> str:
    """The page as HTML, self-contained; the same table gives the same text.

    Args:
        experiment: the settings it was run with.
        effects: AblationEffects.
    """
    confidence = experiment.statistics.confidence
    return render(
        "ablation_report.html.j2",
        experiment=experiment,
        ablation=experiment.ablation or Ablation(),
        confidence=percent(confidence).replace(" ", "\u00a0"),
        groups=[
            {
                "title": title,
                "chart": charts.ablation_chart_inline(effects, group, confidence=confidence),
                "panels": _panels(effects, group),
            }
            for group, title in GROUPS.items()
        ],
    )


def ablation_picture(effects: pl.DataFrame, group: str, *, confidence: float) -> bytes:
    """The chart of a group of labels as a PNG that stands alone."""
    return drawing.to_png(ablation_chart.draw(effects, group, confidence, drawing.PICTURE))


def _panels(effects: pl.DataFrame, group: str) -> list[Panel]:
    found = []
    for benchmark in METRICS:
        rows = effects.filter(pl.col("benchmark") == benchmark, pl.col("metric") == HEADLINE[benchmark])
        own = {row["variant"]: row for row in rows.filter(pl.col("labels") == group).iter_rows(named=True)}
        others = {
            row["variant"]: row for row in rows.filter(pl.col("labels") == CHANCE_OF[group]).iter_rows(named=True)
        }
        found.append(
            Panel(
                benchmark=benchmark,
                metric=HEADLINE[benchmark].replace("auroc", "AUROC"),
                corrected=plain_number(own[CORRECTED.name]["mean"]),
                article=plain_number(own[ARTICLE.name]["mean"]),
                chance_corrected=plain_number(others[CORRECTED.name]["mean"]),
                chance_article=plain_number(others[ARTICLE.name]["mean"]),
                rows=tuple(
                    _row(fault.title, fault.audit_rows, own[f"with_{fault.name}"], own[f"without_{fault.name}"])
                    for fault in FAULTS
                    if benchmark in fault.benchmarks
                ),
            )
        )
    return found


def _row(title: str, audit_rows: str, added: dict[str, float | None], left: dict[str, float | None]) -> Row:
    return Row(
        title=title,
        audit_rows=audit_rows,
        alone=plain_number(added["mean"]),
        change=signed_number(added["change"]),
        change_interval=signed_interval(added["change_low"], added["change_high"]),
        without=plain_number(left["mean"]),
        gain=signed_number(left["change"]),
        gain_interval=signed_interval(left["change_low"], left["change_high"]),
    )
