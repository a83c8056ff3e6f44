"""The method-by-benchmark table, made once and shown in the terminal, in Markdown and in the report.

Goes in: which numbers stand in it and how each medium prints them, never without the verdict on their benchmark. Stays
out: computing them.
"""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO

import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from baez_pipeline.reports.measures import Measure, benchmark_name
from baez_pipeline.reports.own_labels import label_methods, own_summary
from baez_pipeline.reports.trust import Trust, trust_in
from baez_pipeline.reports.wording import MISSING, counted_range, listed, percent

_TERMINAL = 79
"""Columns of a terminal, less one."""


@dataclass(frozen=True)
class Cell:
    """One mean and the interval of it, as text; in brackets where the benchmark is broken."""

    mean: str
    interval: str


@dataclass(frozen=True)
class Row:
    """One method."""

    method: str
    cells: tuple[Cell, ...]
    """One per benchmark of the table."""
    failed: str
    """Share of its judged examples without an answer, over all benchmarks."""


@dataclass(frozen=True)
class MethodTable:
    """The table as text, whatever shows it."""

    columns: tuple[Trust, ...]
    """The benchmarks, each with its verdict."""
    rows: tuple[Row, ...]
    features: str
    """How many features the means are over, in words; a range where methods differ."""
    confidence: str
    """Of the intervals, in percent."""

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What the columns show."""
        return tuple(column.measure for column in self.columns)

    @property
    def references(self) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
        """The last lines: what right labels and other features' labels score, to read the methods by."""
        return (
            ("right labels", tuple(Cell(column.mark(column.right), column.right_interval) for column in self.columns)),
            (
                "others' labels",
                tuple(Cell(column.mark(column.shuffled), column.shuffled_interval) for column in self.columns),
            ),
        )

    @property
    def broken(self) -> str:
        """What the brackets mean, in a sentence; empty where no benchmark is broken."""
        names = [benchmark_name(column.measure.benchmark) for column in self.columns if column.broken]
        if not names:
            return ""
        verb, pronoun = ("is", "it") if len(names) == 1 else ("are", "them")
        return f"In [brackets]: {listed(names)} {verb} broken here; compare nothing on {pronoun}."

    @property
    def note(self) -> str:
        """What the figures are, in sentences."""
        interval = f"{self.confidence} interval"
        sentences = [
            f"Mean over {self.features} and its {interval}; chance is 0.50.",
            "Unanswered: judged examples without an answer, as a call failed or there was no label. Right labels: of "
            "planted features. Others' labels: each feature's examples with another feature's label.",
            self.broken,
        ]
        return " ".join(sentence for sentence in sentences if sentence)


def method_table(summary: pl.DataFrame, verdicts: pl.DataFrame, *, confidence: float) -> MethodTable:
    """The table of a ScoreSummary and its BenchmarkVerdicts: methods down, benchmarks across.

    Of real features' own labels. `confidence` is that of the summary's intervals, 0 to 1.
    """
    own = own_summary(summary)
    columns = tuple(trust_in(own, verdicts).values())
    found = {(row["method"], row["benchmark"], row["metric"]): row for row in own.iter_rows(named=True)}
    places = {column.measure: (column.measure.benchmark, column.measure.metric) for column in columns}
    rows = tuple(
        Row(
            method=method,
            cells=tuple(cell_of(column, found.get((method, *places[column.measure]))) for column in columns),
            failed=percent(_failed_share(own.filter(pl.col("method") == method))),
        )
        for method in label_methods(own)
    )
    shown = set(places.values())
    counts = [row["n_features"] for (_, *place), row in found.items() if tuple(place) in shown]
    return MethodTable(columns, rows, counted_range(counts, "feature"), percent(confidence))


def as_text(table: MethodTable) -> str:
    """The table for a terminal: under 80 columns, intervals under their means, no final newline."""
    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    names = [benchmark_name(column.measure.benchmark).split() for column in table.columns]
    tallest = max(map(len, names), default=1)
    grid.add_column("\n" * (tallest + 1) + "method")
    for name, column in zip(names, table.columns, strict=True):
        lines = [""] * (tallest - len(name)) + [*name, _short(column.measure), column.verdict]
        grid.add_column(Text("\n".join(lines), justify="right"), justify="right", no_wrap=True)
    for place, row in enumerate(table.rows):
        failed = f"\n{row.failed} unanswered" if row.failed not in ("0 %", MISSING) else ""
        method = Text(row.method + failed)
        grid.add_row(method, *map(_in_two_lines, row.cells), end_section=place == len(table.rows) - 1)
    for label, cells in table.references:
        grid.add_row(Text(label), *map(_in_two_lines, cells))
    # Wider than the table ever is: the terminal that shows it decides about its own width.
    console = Console(file=StringIO(), width=200, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(grid)
        console.print(textwrap.fill(table.note, _TERMINAL), markup=False, highlight=False)
    return "\n".join(line.rstrip() for line in captured.get().strip("\n").split("\n"))


def as_markdown(table: MethodTable) -> str:
    """The table for the README and for Dagster's metadata, intervals in brackets."""
    columns = [
        f"{benchmark_name(column.measure.benchmark)} {column.measure.metric_name}: {column.verdict}"
        for column in table.columns
    ]
    lines = [["method", *columns, "unanswered"], ["---", *["---:"] * (len(columns) + 1)]]
    lines += [[f"`{row.method}`", *map(_in_one_line, row.cells), row.failed] for row in table.rows]
    lines += [[name, *map(_in_one_line, cells), ""] for name, cells in table.references]
    rendered = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{rendered}\n\n{table.note}"


def cell_of(column: Trust, row: Mapping[str, float | None] | None) -> Cell:
    """The cell of a row of ScoreSummary in this benchmark's column; dashes where there is none."""
    if row is None:
        return Cell(MISSING, MISSING)
    measure = column.measure
    return Cell(column.mark(measure.number(row["mean"])), measure.interval(row["interval_low"], row["interval_high"]))


def _in_two_lines(cell: Cell) -> Text:
    return Text(f"{cell.mean}\n{cell.interval}")


def _in_one_line(cell: Cell) -> str:
    return cell.mean + (f" ({cell.interval})" if cell.interval != MISSING else "")


def _short(measure: Measure) -> str:
    return {"balanced_accuracy": "bal. accuracy"}.get(measure.metric, measure.metric_name)


def _failed_share(of_method: pl.DataFrame) -> float | None:
    # All metrics of a benchmark stand on the same judged examples: count them once.
    counts = of_method.unique("benchmark").select(pl.col("n_answered", "n_failed").sum()).row(0)
    return counts[1] / sum(counts) if sum(counts) else None
