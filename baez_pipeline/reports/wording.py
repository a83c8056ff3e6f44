"""How results are named and how their numbers are written: one place, so that no two pages differ.

Goes in: names of metrics, formats of numbers, colours of methods. Stays out: layout.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from baez_pipeline.statistics.metrics import CHANCE, Metric

MISSING = "–"
MINUS = "−"

PALETTE = ("#3d85c6", "#d0701d", "#229a74", "#9448e8", "#c2334a", "#71718c")
"""Told apart under the common colour-vision deficiencies, and at 3:1 or more against the light and the dark
page."""


@dataclass(frozen=True)
class Measure:
    """One metric on one benchmark, as people read it."""

    benchmark: str
    metric: Metric

    @property
    def metric_name(self) -> str:
        """The metric in words, to stand under the benchmark's name."""
        return {"accuracy": "accuracy", "auroc": "AUROC", "gap": "similarity gap"}[self.metric]

    @property
    def title(self) -> str:
        """Benchmark and metric in words."""
        return f"{self.benchmark.capitalize()} {self.metric_name}"

    @property
    def axis_title(self) -> str:
        """What its values count."""
        return {
            "accuracy": "share of right answers per feature",
            "auroc": "AUROC per feature",
            "gap": "mean similarity of activating texts minus that of the others",
        }[self.metric]

    @property
    def chance(self) -> float:
        """What a label that tells nothing scores."""
        return CHANCE[self.metric]

    @property
    def signed(self) -> bool:
        """Whether values lie on both sides of 0."""
        return self.metric == "gap"

    def number(self, value: float | None) -> str:
        """A value of this metric as text: two decimals, or sign and three for the gap, whose values are
        small."""
        return signed_number(value) if self.signed else plain_number(value)

    def interval(self, low: float | None, high: float | None) -> str:
        """Both ends as text; '–' where there is no interval."""
        if low is None or high is None:
            return MISSING
        return f"{self.number(low)}{' to ' if self.signed else '–'}{self.number(high)}"


HEADLINES = (
    Measure("detection", "accuracy"),
    Measure("fuzz", "accuracy"),
    Measure("embedding", "auroc"),
    Measure("embedding", "gap"),
)
"""The measures of the method table and of the charts."""


def plain_number(value: float | None, decimals: int = 2) -> str:
    """A number with a true minus sign, '–' for a missing one."""
    if value is None:
        return MISSING
    text = f"{abs(value):.{decimals}f}"
    return f"{MINUS}{text}" if value < 0 and float(text) else text


def signed_number(value: float | None, decimals: int = 3) -> str:
    """The same with a plus sign on positive numbers; what rounds to zero has no sign."""
    text = plain_number(value, decimals)
    return f"+{text}" if value is not None and value > 0 and float(text) else text


def signed_interval(low: float | None, high: float | None) -> str:
    """Both ends of an interval of a difference."""
    return MISSING if low is None or high is None else f"{signed_number(low)} to {signed_number(high)}"


def difference_name(method_a: str, method_b: str) -> str:
    """What a positive paired difference speaks for, then what it speaks against."""
    return f"{method_a} {MINUS} {method_b}"


def percent(share: float | None) -> str:
    """A share between 0 and 1 in percent, one decimal under 10 %."""
    if share is None:
        return MISSING
    return f"{share * 100:.0f} %" if share >= 0.0995 or share == 0 else f"{share * 100:.1f} %"


def activation(value: float) -> str:
    """An activation to three digits, never in scientific notation."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """'1 feature', '12 features'."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def counted_range(numbers: Sequence[int], noun: str) -> str:
    """'12 features', or '10 to 12 features' where the numbers differ."""
    if not numbers or min(numbers) == max(numbers):
        return counted(max(numbers, default=0), noun)
    return f"{min(numbers):,} to {counted(max(numbers), noun)}"


def listed(names: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def method_colours(methods: Sequence[str]) -> dict[str, str]:
    """A colour per method. Past the palette they repeat: every chart names its methods as well."""
    return {method: PALETTE[place % len(PALETTE)] for place, method in enumerate(methods)}
