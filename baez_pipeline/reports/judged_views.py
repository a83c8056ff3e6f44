"""The judgements of one feature as its page shows them: per benchmark a grid of examples and labels.

Goes in: who judged what how, right and wrong told apart. Stays out: scores over examples, layout.
"""

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
from markupsafe import Markup

from baez_pipeline.experiment import METHODS
from baez_pipeline.reports.trust import Trust
from baez_pipeline.reports.visible_text import isolated
from baez_pipeline.reports.wording import MISSING, percent, plain_number, signed_number
from baez_pipeline.scoring.controls import CONTROLS, RIGHT, Judged
from baez_pipeline.tables import Outcome

_KINDS = {
    "active": "active",
    "same_text": "silent tokens of an active text",
    "random": "silent text",
    "hard": "silent look-alike",
    "other_peak": "another feature's peak",
}
_NOT_JUDGED = Markup("<td></td>")
_MARKED = re.compile("(<<.*?>>)", re.DOTALL)


@dataclass(frozen=True)
class JudgedRow:
    """One example under all labels."""

    truth: bool
    kind: str
    strength: str
    """Its activation over the feature's largest; empty for negatives."""
    text: Markup
    cells: Markup
    """One <td> per label, own ones first. Made here, not by the template: they are nine tenths of a page."""


@dataclass(frozen=True)
class JudgedGrid:
    """One benchmark."""

    trust: Trust
    own: tuple[Judged, ...]
    controls: tuple[Judged, ...]
    rows: tuple[JudgedRow, ...]
    answers: bool
    """Whether the judge says yes or no; embedding only says how near."""


def judged_grids(judged: pl.DataFrame, trust: Mapping[str, Trust]) -> list[JudgedGrid]:
    """A grid per benchmark of one feature's JudgedExamples, active examples first, the strongest on top."""
    by_benchmark: dict[str, list[dict[str, Any]]] = {}
    for row in judged.iter_rows(named=True):
        by_benchmark.setdefault(row["benchmark"], []).append(row)
    return [_grid(found, by_benchmark[name]) for name, found in trust.items() if name in by_benchmark]


def in_order(labels: Iterable[Judged]) -> list[Judged]:
    """Own labels by method and the right one, then those of other features, then the generic and the empty one."""
    order = [*METHODS, *CONTROLS]
    place = {method: position for position, method in enumerate(order)}
    return sorted(
        labels, key=lambda label: (is_control(label), label.shuffle == 0, place.get(label.method, len(place)), label)
    )


def is_control(label: Judged) -> bool:
    """Whether a label should score chance: another feature's, generic or empty."""
    return label.shuffle > 0 or (label.method in CONTROLS and label.method != RIGHT)


def _grid(trust: Trust, rows: list[dict[str, Any]]) -> JudgedGrid:
    labels = in_order({Judged(row["method"], row["shuffle"]) for row in rows})
    # fuzz judges one text twice, with its own tokens marked and with silent ones.
    examples: dict[tuple[str, str], dict[Judged, dict[str, Any]]] = {}
    for row in rows:
        of_example = examples.setdefault((row["example"], row["kind"]), {})
        of_example[Judged(row["method"], row["shuffle"])] = row
    in_turn = sorted(examples.values(), key=_turn)
    marked = trust.measure.benchmark.startswith("fuzz")
    return JudgedGrid(
        trust=trust,
        own=tuple(label for label in labels if not is_control(label)),
        controls=tuple(label for label in labels if is_control(label)),
        rows=tuple(_row(of_example, labels, marked=marked) for of_example in in_turn),
        answers=any(row["answer"] is not None for row in rows),
    )


def _turn(of_example: Mapping[Judged, Mapping[str, Any]]) -> tuple[bool, int, float, str]:
    row = next(iter(of_example.values()))
    return not row["truth"], list(_KINDS).index(row["kind"]), -(row["relative_activation"] or 0.0), row["example"]


def _row(of_example: Mapping[Judged, Mapping[str, Any]], labels: list[Judged], *, marked: bool) -> JudgedRow:
    first = next(iter(of_example.values()))
    shown = next((row["shown"] for row in of_example.values() if row["shown"] is not None), MISSING)
    strength = first["relative_activation"]
    return JudgedRow(
        truth=first["truth"],
        kind=_KINDS[first["kind"]],
        strength="" if strength is None else percent(strength),
        text=_with_marks(shown) if marked else isolated(shown),
        cells=Markup("".join(_cell_of(of_example.get(label)) for label in labels)),
    )


def _cell_of(row: Mapping[str, Any] | None) -> Markup:
    if row is None:
        return _NOT_JUDGED
    outcome = row["outcome"]
    if outcome != Outcome.OK.value:
        return _cell("failed", "", outcome.replace("_", " "), row["detail"] or "")
    answer, probability = row["answer"], row["probability"]
    if answer is None:
        return _cell("value", "", signed_number(row["similarity"], 2), "cosine of label and text")
    said, is_right = "active" if answer else "silent", answer == row["truth"]
    text = said if probability is None else plain_number(probability)
    kind, sign = ("right", "✓") if is_right else ("wrong", "✕")
    return _cell(kind, sign, text, f"says {said}, which is {kind}")


@functools.lru_cache(maxsize=4096)
def _cell(css_class: str, sign: str, text: str, title: str) -> Markup:
    """One judgement. The sign says right or wrong without colour."""
    marked = Markup("<i>{}</i> {}").format(sign, text) if sign else Markup.escape(text)
    return Markup('<td class="{}" title="{}">{}</td>').format(css_class, title, marked)


def _with_marks(shown: str) -> Markup:
    """The text as judges of fuzz see it; no mark is the text's own, as its brackets were replaced beforehand."""
    pieces = _MARKED.split(shown)
    return Markup(
        "".join(f"<b>{isolated(piece)}</b>" if place % 2 else isolated(piece) for place, piece in enumerate(pieces))
    )
