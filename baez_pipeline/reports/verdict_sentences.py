"""The answer in two sentences: were the labels or the benchmarks broken?

Goes in: what the verdicts, the scores and the paired comparisons say together, in words. Stays out: the figures
themselves, which the page shows below.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from baez_pipeline.reports.measures import Measure, benchmark_name
from baez_pipeline.reports.trust import BROKEN, DISCRIMINATES, UNCHECKED, WEAK, Trust
from baez_pipeline.reports.wording import counted, listed, plain_number, signed_number

_PAIRS_NAMED = 3


class Answer(NamedTuple):
    """Both sentences as text."""

    benchmarks: str
    labels: str


def answer(trust: Mapping[str, Trust], chance: pl.DataFrame, comparison: pl.DataFrame, *, alpha: float) -> Answer:
    """The answer of an experiment.

    Args:
        trust: from `trust_in`.
        chance: ChanceComparison of real features.
        comparison: MethodComparison of real features' own labels.
        alpha: p-values up to it count, as in the comparison.
    """
    sound = [found.measure for found in trust.values() if found.verdict == DISCRIMINATES]
    return Answer(_about_benchmarks(list(trust.values())), _about_labels(sound, chance, comparison, alpha))


def _about_benchmarks(trust: Sequence[Trust]) -> str:
    if not trust:
        return "No label has been judged yet, so no benchmark could be checked."
    pieces, explained = [], False
    for verdict in (DISCRIMINATES, WEAK, BROKEN):
        group = [found for found in trust if found.verdict == verdict]
        if group:
            pieces.append(f"{_said(verdict, group)} ({_evidence(group, explain=not explained)})")
            explained = True
    unchecked = [found for found in trust if found.verdict == UNCHECKED]
    if unchecked:
        pieces.append(f"{_names(unchecked)} {'was' if len(unchecked) == 1 else 'were'} not checked by controls")
    whole = "; ".join(pieces)
    if any(found.verdict == DISCRIMINATES for found in trust):
        return f"{whole[0].upper()}{whole[1:]}."
    return f"No benchmark is known to tell right labels from wrong ones here: {whole}."


def _said(verdict: str, group: Sequence[Trust]) -> str:
    several = len(group) > 1
    if verdict == DISCRIMINATES:
        return f"{_names(group)} {'tell' if several else 'tells'} right labels from wrong ones here"
    return f"{_names(group)} {'are' if several else 'is'} {verdict}"


def _evidence(group: Sequence[Trust], *, explain: bool) -> str:
    """The right labels' scores of a group and those of other features' labels; said what they are the first time."""
    alike = len({found.measure.metric for found in group}) == 1
    right = [found.right if alike and place else f"{found.measure.metric_name} {found.right}" for place, found in
             enumerate(group)]  # fmt: skip
    shuffled = [found.shuffled for found in group]
    if explain:
        return f"right labels of planted features: {listed(right)}; labels of other features: {listed(shuffled)}"
    return f"{listed(right)}; {listed(shuffled)}"


def _about_labels(sound: Sequence[Measure], chance: pl.DataFrame, comparison: pl.DataFrame, alpha: float) -> str:
    if not sound:
        return "So the scores below say nothing certain about the labels: the benchmarks have to be mended first."
    places = f"On {_listed_names([measure.benchmark for measure in sound])}"
    rows = [row for measure in sound for row in chance.iter_rows(named=True) if _is_of(measure, row)]
    if not rows:
        return f"{places}, no label of a method has a score."
    return f"{places}, {_against_chance(rows, len(sound), alpha)}; {_between_methods(sound, comparison)}."


def _against_chance(rows: Sequence[Mapping[str, Any]], n_benchmarks: int, alpha: float) -> str:
    """Which methods' labels score above labels of other features, on which benchmarks."""
    above: dict[str, list[str]] = {row["method"]: [] for row in rows}
    for row in rows:
        if row["p_paired"] is not None and row["p_paired"] <= alpha:
            above[row["method"]].append(row["benchmark"])
    means = [row["mean_own"] for row in rows if row["mean_own"] is not None]
    reach = f"means from {plain_number(min(means))} to {plain_number(max(means))}" if means else "no scores"
    groups: dict[tuple[str, ...], list[str]] = {}
    for method, benchmarks in sorted(above.items(), key=lambda item: -len(item[1])):
        groups.setdefault(tuple(benchmarks), []).append(method)
    if list(groups) == [()]:
        return f"no method's labels are shown to beat those of other features ({reach}): the labels are in doubt here"
    if len(groups) == 1 and len(next(iter(groups))) == n_benchmarks:
        return f"labels of {_all_of(list(above))} beat those of other features ({reach})"
    if n_benchmarks == 1:
        *better, others = groups.values()
        rest = f"those of {listed(others)} are not shown to"
        return f"labels of {listed(better[0])} beat those of other features, {rest} ({reach})"
    clauses = [f"{listed(group)} on {_extent(benchmarks, n_benchmarks)}" for benchmarks, group in groups.items()]
    return f"these labels beat those of other features: {', '.join(clauses)} ({reach})"


def _extent(benchmarks: Sequence[str], n_benchmarks: int) -> str:
    if len(benchmarks) == n_benchmarks:
        return "all of them"
    return _listed_names(benchmarks) if benchmarks else "none"


def _is_of(measure: Measure, row: Mapping[str, Any]) -> bool:
    return (row["benchmark"], row["metric"]) == (measure.benchmark, measure.metric)


def _between_methods(sound: Sequence[Measure], comparison: pl.DataFrame) -> str:
    """Which pairs of methods differ, and how sure it is that the others do not."""
    rows = [row for measure in sound for row in comparison.iter_rows(named=True) if _is_of(measure, row)]
    different = [row for row in rows if row["verdict"] == "different"]
    different.sort(key=lambda row: -abs(row["mean_difference"]))
    if not rows:
        return "no two methods were compared"
    if not different:
        n_equivalent = sum(row["verdict"] == "equivalent" for row in rows)
        return f"no two methods are shown to differ, {_equivalent(n_equivalent, len(rows), rows[0]['margin'])}"
    named = [_better(row, place=len(sound) > 1) for row in different[:_PAIRS_NAMED]]
    more = len(different) - len(named)
    further = f", and {counted(more, 'further comparison differs', 'further comparisons differ')}" if more else ""
    return listed(named) + further


def _equivalent(n_equivalent: int, n_compared: int, margin: float) -> str:
    if not n_equivalent:
        return f"and none is shown to be within ±{margin:g} of another"
    return f"and {n_equivalent} of {counted(n_compared, 'comparison')} show them to be within ±{margin:g} of each other"


def _better(row: Mapping[str, Any], *, place: bool) -> str:
    difference = row["mean_difference"]
    first, second = (row["method_a"], row["method_b"]) if difference > 0 else (row["method_b"], row["method_a"])
    on = f" on {benchmark_name(row['benchmark'])}" if place else ""
    return f"{first} is better than {second}{on} ({signed_number(abs(difference))})"


def _all_of(methods: Sequence[str]) -> str:
    return listed(methods) if len(methods) < 4 else f"all {len(methods)} methods"


def _names(group: Sequence[Trust]) -> str:
    return _listed_names([found.measure.benchmark for found in group])


def _listed_names(benchmarks: Sequence[str]) -> str:
    return listed([benchmark_name(name) for name in benchmarks])
