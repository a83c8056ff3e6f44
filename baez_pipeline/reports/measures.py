"""Which metric of a benchmark is shown first, and how metrics are named and their values written.

Goes in: what pages, terminal and charts must agree on. Stays out: which benchmark can be trusted (trust.py).
"""

from dataclasses import dataclass

import polars as pl

from baez_pipeline.reports.wording import MISSING, plain_number, signed_number
from baez_pipeline.statistics.metrics import CHANCE, Metric, benchmarks_in

_IN_WORDS: dict[Metric, str] = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auroc": "AUROC",
    "gap": "similarity gap",
}


@dataclass(frozen=True)
class Measure:
    """One metric on one benchmark, as people read it."""

    benchmark: str
    metric: Metric

    @property
    def metric_name(self) -> str:
        """The metric in words, to stand under the benchmark's name."""
        return _IN_WORDS[self.metric]

    @property
    def title(self) -> str:
        """Benchmark and metric in words."""
        return f"{benchmark_name(self.benchmark).capitalize()}, {self.metric_name}"

    @property
    def chance(self) -> float:
        """What a label that tells nothing scores."""
        return CHANCE[self.metric]

    @property
    def signed(self) -> bool:
        """Whether values lie on both sides of 0."""
        return self.metric == "gap"

    def number(self, value: float | None) -> str:
        """A value of this metric as text: two decimals, or sign and three, for values that are small."""
        return signed_number(value) if self.signed else plain_number(value)

    def interval(self, low: float | None, high: float | None) -> str:
        """Both ends as text; '–' where there is no interval."""
        if low is None or high is None:
            return MISSING
        return f"{self.number(low)}{' to ' if self.signed else '–'}{self.number(high)}"


def benchmark_name(benchmark: str) -> str:
    """A benchmark in running text."""
    return benchmark.replace("_", " ")


def headline_measures(summary: pl.DataFrame, verdicts: pl.DataFrame) -> tuple[Measure, ...]:
    """One measure per benchmark of a ScoreSummary: the metric that its verdict was decided by.

    A benchmark without a verdict is shown by AUROC where there are values of it, by balanced accuracy otherwise.
    """
    decided = dict(verdicts.select("benchmark", "metric").iter_rows())
    with_auroc = set(
        summary.filter(pl.col("metric") == "auroc", pl.col("mean").is_not_null())["benchmark"].unique().to_list()
    )
    return tuple(
        Measure(name, decided.get(name) or ("auroc" if name in with_auroc else "balanced_accuracy"))
        for name in benchmarks_in(summary)
    )
