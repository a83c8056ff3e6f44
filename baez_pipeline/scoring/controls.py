"""Whose labels a feature's examples are judged with: its own by every method, and the controls.

Controls are the labels of other features (chance, with everything else as it is), a label that says nothing, an empty
one, and for planted features the right one. They go through the same judge, examples and order as a method's label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

GENERIC_LABEL = "various words and phrases in a text"
"""True of every text, so that it tells none apart."""

RIGHT, GENERIC, EMPTY = "right", "generic", "empty"
CONTROLS = (RIGHT, GENERIC, EMPTY)
"""Who wrote a label, where no method did."""

_SHUFFLED = ".shuffled_"


class Judged(NamedTuple):
    """Which label of a feature: who wrote it, and for whom."""

    method: str
    shuffle: int = 0
    """0 = for the feature itself, k = for its k-th partner."""

    @property
    def part(self) -> str:
        """As the part of a score table is called."""
        return f"{self.method}{_SHUFFLED}{self.shuffle}" if self.shuffle else self.method

    @classmethod
    def of(cls, part: str) -> Judged:
        """The label that a part of a score table is about."""
        method, _, shuffle = part.partition(_SHUFFLED)
        return cls(method, int(shuffle or 0))


def judged_labels(methods: Sequence[str], *, shuffles: int) -> Iterator[Judged]:
    """All labels that a planted feature's examples are judged with; those of `right` are not there for a real one."""
    for method in (*methods, RIGHT):
        for shuffle in range(shuffles + 1):
            yield Judged(method, shuffle)
    yield Judged(GENERIC)
    yield Judged(EMPTY)
