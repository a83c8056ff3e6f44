"""How results are named and how their numbers are written: one place, so that no two pages differ.

Goes in: formats of numbers and counts, colours of methods. Stays out: names of metrics (measures.py), layout.
"""

from collections.abc import Sequence

MISSING = "–"
MINUS = "−"

PALETTE = ("#3d85c6", "#d0701d", "#229a74", "#9448e8", "#c2334a", "#71718c")
"""Told apart under the common colour-vision deficiencies, and at 3:1 or more against the light and the dark
page."""


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


def conclusion(verdict: str | None) -> str:
    """What is concluded of two methods, in words."""
    return {None: MISSING, "too_few": "too few features"}.get(verdict, str(verdict))


def percent(share: float | None) -> str:
    """A share between 0 and 1 in percent, one decimal under 10 %."""
    if share is None:
        return MISSING
    return f"{share * 100:.0f} %" if share >= 0.0995 or share == 0 else f"{share * 100:.1f} %"


def share_of_tokens(share: float) -> str:
    """How often a feature is active, to two digits: such shares are small."""
    return f"{share * 100:.2g} %" if share < 0.1 else percent(share)


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


def p_value(value: float | None) -> str:
    """A p-value to two digits, never as zero."""
    if value is None:
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def method_colours(methods: Sequence[str]) -> dict[str, str]:
    """A colour per method, the same on every page of an experiment. Past the palette they repeat: every chart names its
    methods as well."""
    return {method: PALETTE[place % len(PALETTE)] for place, method in enumerate(sorted(methods))}
