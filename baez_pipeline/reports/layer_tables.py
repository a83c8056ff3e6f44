"""The tables of a profile over layers, made once and shown in the terminal and in Markdown.

Goes in: which numbers stand in them, and what is concluded in a sentence. Stays out: working them out
(tiers/profile.py), and the chart (layer_chart.py).
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from baez_pipeline.reports.wording import MISSING, p_value, percent, plain_number, signed_number
from baez_pipeline.tables.layers import MEANS, SHARES

NAMES = {measure: measure for measure in SHARES} | {
    "peak_token_agreement": "peak tokens agree",
    "next_token_agreement": "next tokens agree",
    "peak_token_in_logits": "peak token in top logits",
    "next_token_in_logits": "next token in top logits",
}
"""Measure -> as a reader is told it."""
AMONG = {
    "all": "Share of all features",
    "determined": "Share of the features that are not undetermined",
    "means": "Without an embedder: means over features",
}
_HEADING = 13
"""Letters of a heading's line in a terminal."""


@dataclass(frozen=True)
class LayerTable:
    """A table as text, whatever shows it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """A figure's interval stands after it in brackets."""


def group_of(measure: str, among: str) -> str:
    """Which of the tables AMONG a measure stands in."""
    return "means" if measure in MEANS else among


def profile_tables(profile: pl.DataFrame, *, confidence: float) -> tuple[LayerTable, ...]:
    """The tables of LayerProfile: layers down, measures across, one table for each of AMONG.

    `confidence` is of its intervals.
    """
    return tuple(
        _profile_table(rows, title=f"{AMONG[group]} ({percent(confidence)} intervals)")
        for group, rows in _grouped(profile)
    )


def trend_table(trends: pl.DataFrame, *, confidence: float) -> LayerTable:
    """The table of LayerTrends: what changes from the first layer to the last. `confidence` is of its intervals."""
    rows = [
        (
            f"{NAMES[row['measure']]}{', of determined' * (group == 'determined')}",
            _with_interval(*(_points(row[name], signed=True) for name in ("change", "change_low", "change_high"))),
            plain_number(row["rho"]),
            p_value(row["p_holm"]),
            row["trend"],
        )
        for group, found in _grouped(trends)
        for row in found.iter_rows(named=True)
    ]
    title = f"First layer to last, in percentage points ({percent(confidence)} intervals)"
    return LayerTable(title, ("measure", "change", "rho", "p (Holm)", "trend"), tuple(rows))


def hypothesis_sentence(profile: pl.DataFrame, trends: pl.DataFrame) -> str:
    """What is concluded of the article's hypothesis, by the shares of all features.

    Args:
        profile: LayerProfile.
        trends: LayerTrends of the same features.
    """
    found = {row["measure"]: row["trend"] for row in trends.filter(among="all").iter_rows(named=True)}
    expected, opposite = {"input": "falls", "output": "rises"}, {"input": "rises", "output": "falls"}
    n_shown = sum(found[measure] == trend for measure, trend in expected.items())
    verdict = ("is not shown", "is half shown", "is shown")[n_shown]
    if any(found[measure] == trend for measure, trend in opposite.items()):
        verdict = "is contradicted"
    said = {name: "has no trend that is shown" if found[name] == "not shown" else found[name] for name in expected}
    last = profile.filter(pl.col("layer") == pl.col("layer").max(), among="all")
    shares = {row["measure"]: percent(row["value"]) for row in last.iter_rows(named=True)}
    return (
        f"With depth, the share of input features {said['input']} and that of output features {said['output']}: that "
        f"input gives way to output {verdict}. In the last of these layers, {last['layer'][0]}, {shares['input']} of "
        f"the features are of the input and {shares['output']} of the output."
    )


def tables_text(tables: Sequence[LayerTable]) -> str:
    """Tables for a terminal: under 80 columns, intervals under their figures, no final newline."""
    return "\n\n".join(_text(table) for table in tables)


def tables_markdown(tables: Sequence[LayerTable]) -> str:
    """Tables for Dagster's metadata and the documentation, each under its title."""
    return "\n\n".join(f"**{table.title}**\n\n{_markdown(table)}" for table in tables)


def _grouped(table: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    order = [*SHARES, *MEANS]
    groups: dict[str, list[dict[str, Any]]] = {group: [] for group in AMONG}
    for row in table.iter_rows(named=True):
        groups[group_of(row["measure"], row["among"])].append(row)
    return [
        (group, pl.DataFrame(sorted(rows, key=lambda row: order.index(row["measure"])), schema=table.schema))
        for group, rows in groups.items()
        if rows
    ]


def _profile_table(found: pl.DataFrame, *, title: str) -> LayerTable:
    measures = found["measure"].cast(pl.String).unique(maintain_order=True).to_list()
    rows = []
    for (layer,), of_layer in found.partition_by("layer", as_dict=True, maintain_order=True).items():
        by_measure = {row["measure"]: row for row in of_layer.iter_rows(named=True)}
        features = str(of_layer["n_features"].max())
        rows.append((str(layer), features, *(_share_cell(by_measure[measure]) for measure in measures)))
    rows.sort(key=lambda row: int(row[0]))
    return LayerTable(title, ("layer", "features", *(NAMES[measure] for measure in measures)), tuple(rows))


def _share_cell(row: dict[str, Any]) -> str:
    return _with_interval(percent(row["value"]), *(_points(row[end]) for end in ("interval_low", "interval_high")))


def _with_interval(figure: str, low: str, high: str) -> str:
    return figure if MISSING in (low, high) else f"{figure} ({low} to {high})"


def _points(share: float | None, *, signed: bool = False) -> str:
    """Percentage points; the figure beside them or the title says so."""
    points = None if share is None else 100 * share
    return signed_number(points, 0) if signed else plain_number(points, 0)


def _text(table: LayerTable) -> str:
    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    headings = [textwrap.wrap(column, _HEADING) for column in table.columns]
    tallest = max(map(len, headings))
    for place, lines in enumerate(headings):
        heading = "\n" * (tallest - len(lines)) + "\n".join(lines)
        grid.add_column(heading, justify="right" if place else "left", no_wrap=True)
    for row in table.rows:
        grid.add_row(*(Text(cell.replace(" (", "\n").rstrip(")")) for cell in row))
    # Wider than the table ever is: the terminal that shows it decides about its own width.
    console = Console(file=StringIO(), width=200, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(grid)
    lines = [table.title, *captured.get().strip("\n").split("\n")]
    return "\n".join(line.rstrip() for line in lines)


def _markdown(table: LayerTable) -> str:
    lines = [table.columns, ("---", *["---:"] * (len(table.columns) - 1)), *table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
