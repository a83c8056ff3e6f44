"""Whether a benchmark can be trusted, as pages, terminal and charts say it.

Goes in: the words and signs of a verdict, without which no score is shown. Stays out: reaching the verdict.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from baez_pipeline.reports.measures import Measure, benchmark_name, headline_measures
from baez_pipeline.reports.wording import MISSING

DISCRIMINATES, WEAK, BROKEN, UNCHECKED = "discriminates", "weak", "broken", "not checked"
_SIGNS = {DISCRIMINATES: "✓", WEAK: "~", BROKEN: "✕", UNCHECKED: "?"}


@dataclass(frozen=True, kw_only=True)
class Trust:
    """One benchmark of one experiment."""

    measure: Measure
    """What it is shown by, and was judged by."""
    verdict: str
    """discriminates, weak or broken; 'not checked' where no control was scored."""
    reason: str
    right: str = MISSING
    """Mean of the right labels of planted features: the ceiling."""
    right_interval: str = MISSING
    shuffled: str = MISSING
    """Mean of other features' labels: chance, as measured."""
    shuffled_interval: str = MISSING

    @property
    def broken(self) -> bool:
        """Whether scores on it say nothing about labels."""
        return self.verdict == BROKEN

    @property
    def sign(self) -> str:
        """A sign that tells verdicts apart without colour."""
        return _SIGNS[self.verdict]

    @property
    def css_class(self) -> str:
        """The verdict as a class of page.css."""
        return self.verdict.replace(" ", "-")

    @property
    def heading(self) -> str:
        """The benchmark with its verdict, for a panel of a chart; the panel's axis names the metric."""
        return f"{benchmark_name(self.measure.benchmark).capitalize()}: {self.verdict}"

    def mark(self, text: str) -> str:
        """A score as text, in brackets where the benchmark is broken."""
        return f"[{text}]" if self.broken and text != MISSING else text


def trust_in(summary: pl.DataFrame, verdicts: pl.DataFrame) -> dict[str, Trust]:
    """What is known of every benchmark of a ScoreSummary, in the order of the benchmarks, by its name.

    Args:
        summary: ScoreSummary.
        verdicts: BenchmarkVerdicts; a benchmark without a row is shown as not checked.
    """
    found: Mapping[str, dict[str, object]] = {row["benchmark"]: row for row in verdicts.iter_rows(named=True)}
    return {
        measure.benchmark: _trust(measure, found.get(measure.benchmark))
        for measure in headline_measures(summary, verdicts)
    }


def _trust(measure: Measure, row: Mapping[str, object] | None) -> Trust:
    if row is None:
        reason = "No control label was scored on it, so nothing says whether it tells right labels from wrong ones."
        return Trust(measure=measure, verdict=UNCHECKED, reason=reason)
    value = {name: number if isinstance(number, float) else None for name, number in row.items()}
    return Trust(
        measure=measure,
        verdict=str(row["verdict"]),
        reason=str(row["reason"]),
        right=measure.number(value["right_mean"]),
        right_interval=measure.interval(value["right_low"], value["right_high"]),
        shuffled=measure.number(value["shuffled_mean"]),
        shuffled_interval=measure.interval(value["shuffled_low"], value["shuffled_high"]),
    )
