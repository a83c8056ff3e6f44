"""What every engine does: vectors in, explanations out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from baez_pipeline.tables import Outcome


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What an engine says of one vector. `text` is empty unless the outcome is ok."""

    text: str
    outcome: Outcome = Outcome.OK
    detail: str | None = None


class Verbalizer(Protocol):
    """An engine that turns activations into prose."""

    @property
    def name(self) -> str:
        """The engine's name in the experiment file."""
        ...

    @property
    def identity(self) -> str:
        """Its model or data, with revision."""
        ...

    @property
    def temperature(self) -> float | None:
        """Of sampling; None if it does not sample."""
        ...

    @property
    def max_new_tokens(self) -> int | None:
        """Cap on an explanation; None if there is none."""
        ...

    def explain(self, vectors: NDArray[np.float32], seeds: Sequence[int]) -> list[Explanation]:
        """One explanation per row of `vectors` (n, d_model), raw activations in fp32.

        The seeds make sampling repeatable.
        """
        ...
