"""The method-by-benchmark table, made once and shown in the terminal, in Markdown and in the report.

Goes in: which numbers stand in it and how each medium prints them. Stays out: computing them.
"""

from dataclasses import dataclass
from io import StringIO

import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from baez_pipeline.reports.wording import HEADLINES, MISSING, Measure, counted_range, percent
from baez_pipeline.statistics.metrics import methods_in


@dataclass(frozen=True)
class Cell:
    """One method's mean on one measure, and the interval of it, as text."""

    mean: str
    interval: str


@dataclass(frozen=True)
class Row:
    """One method."""

    method: str
    cells: tuple[Cell, ...]
    """One per measure of the table."""
    failed: str
    """Share of its judged examples without an answer, over all benchmarks."""


@dataclass(frozen=True)
class MethodTable:
    """The table as text, whatever shows it."""

    measures: tuple[Measure, ...]
    rows: tuple[Row, ...]
    features: str
    """How many features the means are over, in words; a range where methods differ."""
    confidence: str
    """Of the intervals, in percent."""

    @property
    def chance(self) -> tuple[str, ...]:
        """The last line: what a label that tells nothing scores on each measure."""
        return tuple(measure.number(measure.chance) for measure in self.measures)

    @property
    def note(self) -> str:
        """One sentence saying what the figures are."""
        interval = f"{self.confidence} interval"
        return f"Mean over {self.features} and its {interval}; failed: judged examples without an answer."


def method_table(summary: pl.DataFrame, *, confidence: float) -> MethodTable:
    """The table of a ScoreSummary: methods down, the headline measures that were scored across.

    `confidence` is that of the summary's intervals, 0 to 1.
    """
    found = {(row["method"], Measure(row["benchmark"], row["metric"])): row for row in summary.iter_rows(named=True)}
    scored = {measure for _, measure in found}
    measures = tuple(measure for measure in HEADLINES if measure in scored)
    rows = tuple(
        Row(
            method=method,
            cells=tuple(_cell(measure, found.get((method, measure))) for measure in measures),
            failed=percent(_failed_share(summary.filter(pl.col("method") == method))),
        )
        for method in methods_in(summary)
    )
    counts = [row["n_features"] for (_, measure), row in found.items() if measure in measures]
    return MethodTable(measures, rows, counted_range(counts, "feature"), percent(confidence))


def as_text(table: MethodTable) -> str:
    """The table for a terminal: under 80 columns, intervals under their means, no final newline."""
    grid = Table(box=box.SIMPLE_HEAD, show_footer=True, padding=(0, 1, 0, 0), pad_edge=False)
    grid.add_column("\nmethod", footer="chance")
    for measure, chance in zip(table.measures, table.chance, strict=True):
        heading = f"{measure.benchmark}\n{measure.metric_name}"
        grid.add_column(heading, footer=chance, justify="right", no_wrap=True)
    grid.add_column("\nfailed", justify="right", no_wrap=True)
    for row in table.rows:
        cells = [Text(f"{cell.mean}\n{cell.interval}") for cell in row.cells]
        grid.add_row(Text(row.method), *cells, Text(row.failed))
    # Wider than the table ever is: the terminal that shows it decides about its own width.
    console = Console(file=StringIO(), width=200, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(grid)
        console.print(Text(table.note))
    return "\n".join(line.rstrip() for line in captured.get().strip("\n").split("\n"))


def as_markdown(table: MethodTable) -> str:
    """The table for the README and for Dagster's metadata, intervals in brackets."""
    measures = [f"{measure.benchmark} {measure.metric_name}" for measure in table.measures]
    lines = [["method", *measures, "failed"], ["---", *["---:"] * (len(measures) + 1)]]
    for row in table.rows:
        cells = [cell.mean + (f" ({cell.interval})" if cell.interval != MISSING else "") for cell in row.cells]
        lines.append([f"`{row.method}`", *cells, row.failed])
    lines.append(["chance", *table.chance, ""])
    rendered = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{rendered}\n\n{table.note}"


def _cell(measure: Measure, row: dict[str, float | None] | None) -> Cell:
    if row is None:
        return Cell(MISSING, MISSING)
    return Cell(measure.number(row["mean"]), measure.interval(row["interval_low"], row["interval_high"]))


def _failed_share(of_method: pl.DataFrame) -> float | None:
    # Both metrics of a benchmark stand on the same judged examples: count them once.
    counts = of_method.unique("benchmark").select(pl.col("n_answered", "n_failed").sum()).row(0)
    return counts[1] / sum(counts) if sum(counts) else None
