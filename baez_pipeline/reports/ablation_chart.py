"""The chart of the ablation: per benchmark a panel, per fault what it does alone and what is left without it.

Goes in: which values stand where in a panel. Stays out: ink and export (drawing.py).
"""

from collections.abc import Iterator

import altair as alt
import polars as pl

from baez_pipeline.ablation.effects import METRICS
from baez_pipeline.ablation.faults import ARTICLE, CORRECTED, FAULTS
from baez_pipeline.reports import drawing
from baez_pipeline.reports.drawing import Layout, Mark
from baez_pipeline.reports.wording import PALETTE, counted_range, percent, plain_number

HEADLINE = {"detection": "accuracy", "fuzz": "accuracy", "embedding": "auroc"}
"""The article's measures; of its embedding gap the AUROC, which has a chance level."""

_ROW = 46
_NAME, _ADDED, _LEFT = 11, 24, 34
"""Pixels from the top of a fault's row: its name, the disc of the fault alone, that of all but it."""
_ADDED_COLOUR, _LEFT_COLOUR = PALETTE[1], PALETTE[0]


def caption(effects: pl.DataFrame, labels: str, confidence: float) -> str:
    """What the marks mean, in words."""
    chosen = effects.filter(pl.col("labels") == labels)
    features = counted_range(chosen["n_features"].unique().to_list(), "feature")
    return (
        f"Mean over {features} and its {percent(confidence)} interval. Upper, orange: this fault alone. Lower, blue: "
        "the article's way without this fault."
    )


def draw(effects: pl.DataFrame, labels: str, confidence: float, layout: Layout) -> alt.ConcatChart:
    """The panels of one group of labels.

    Args:
        effects: AblationEffects.
        labels: the group, a value of its column `labels`.
        confidence: of the intervals, for the caption.
        layout: size and ink.
    """
    chosen = effects.filter(pl.col("labels") == labels)
    panels = [
        _draw(benchmark, rows, layout)
        for benchmark in METRICS
        if (rows := chosen.filter(benchmark=benchmark, metric=HEADLINE[benchmark])).drop_nulls("mean").height
    ]
    return drawing.grid(panels, caption=caption(effects, labels, confidence), layout=layout)


def _draw(benchmark: str, rows: pl.DataFrame, layout: Layout) -> alt.LayerChart:
    by_variant = {row["variant"]: row for row in rows.iter_rows(named=True)}
    faults = [fault for fault in FAULTS if benchmark in fault.benchmarks]
    height = _ROW * len(faults)
    means: list[Mark] = []
    names: list[Mark] = []
    for place, fault in enumerate(faults):
        top = place * _ROW
        added, left = by_variant[f"with_{fault.name}"], by_variant[f"without_{fault.name}"]
        figures = f"{plain_number(added['mean'])} / {plain_number(left['mean'])}"
        names.append({"y": top + _NAME, "name": fault.title, "figures": figures})
        means.append(drawing.mean_mark(added, "mean", y=top + _ADDED, colour=_ADDED_COLOUR))
        means.append(drawing.mean_mark(left, "mean", y=top + _LEFT, colour=_LEFT_COLOUR))
    low, high = _ends(rows)
    x = alt.X(
        "x:Q",
        scale=alt.Scale(domain=[low, high], nice=False),
        axis=drawing.axis(f"{'AUROC' if HEADLINE[benchmark] == 'auroc' else 'accuracy'}", layout, number_format=".2~f"),
    )
    ends = {0.5: "chance", by_variant[ARTICLE.name]["mean"]: "article", by_variant[CORRECTED.name]["mean"]: "corrected"}
    layers = [
        layer
        for value, name in _apart(ends, high - low)
        for layer in drawing.reference_line(value, name, x, height, layout)
    ]
    layers += [*drawing.mean_layers(means, x, height), *drawing.row_texts(names, height, layout)]
    return drawing.panel(layers, title=benchmark.capitalize(), height=height, layout=layout)


def _ends(rows: pl.DataFrame) -> tuple[float, float]:
    values = [value for name in ("mean", "interval_low", "interval_high") for value in rows[name].drop_nulls()]
    return min([0.45, *values]) - 0.02, max([0.55, *values]) + 0.02


def _apart(ends: dict[float, str], width: float) -> Iterator[tuple[float, str]]:
    """The reference lines; of two too near for two names the second has none of its own."""
    before: float | None = None
    for value, name in sorted((value, name) for value, name in ends.items() if value is not None):
        yield value, "" if before is not None and value - before < 0.12 * width else name
        before = value
