"""What every engine does: peaks in, explanations out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from baez_pipeline.errors import SourceError
from baez_pipeline.tables import Outcome

if TYPE_CHECKING:
    from baez_pipeline.nla.extraction import SubjectModel


@dataclass(frozen=True, kw_only=True)
class Peak:
    """A token in its context, whose activation is to be explained."""

    tokens: Sequence[str]
    """The whole context as text tokens."""
    token_ids: Sequence[int] | None
    """The same as ids; None where the source has none."""
    position: int
    """Of the token in the context, 0 = the first token (BOS where there is one)."""
    seed: int
    """Makes sampling repeatable, where the engine lets it."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What an engine says of one peak. `text` is empty unless the outcome is ok."""

    text: str
    outcome: Outcome = Outcome.OK
    detail: str | None = None
    norm: float | None = None
    """Euclidean norm of the activation before any scaling; None where the engine does not say."""
    position_asked: int | None = None
    """The position that a service counted the token at; None for an engine that reads activations here."""
    mse: float | None = None
    """Of the reconstruction from the explanation, both vectors scaled to norm sqrt(d_model): 0 to 4."""
    cosine: float | None = None
    """Of the same."""


class Engine(Protocol):
    """What every engine says of itself; the columns of NlaExplanations."""

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
        """Cap on an explanation; None if there is none, or if the service does not say."""
        ...


class Verbalizer(Engine, Protocol):
    """An engine that turns the activation at a peak into prose."""

    def explain(self, peaks: Sequence[Peak]) -> list[Explanation]:
        """One explanation per peak; a failure is an Explanation with its outcome.

        Raises:
            BaezError: what stops the whole run.
        """
        ...


class VectorVerbalizer(Engine, Protocol):
    """An engine that is given the activation itself."""

    def explain_vectors(self, vectors: NDArray[np.float32], seeds: Sequence[int]) -> list[Explanation]:
        """One explanation per row of `vectors` (n, d_model), raw activations in fp32.

        The seeds make sampling repeatable.
        """
        ...


class FromActivations:
    """A verbalizer of peaks: the subject model gives each peak's activation, the engine its explanation."""

    def __init__(self, subject: SubjectModel, engine: VectorVerbalizer) -> None:
        self._subject = subject
        self._engine = engine
        self.name = engine.name
        self.identity = engine.identity
        self.temperature = engine.temperature
        self.max_new_tokens = engine.max_new_tokens

    def explain(self, peaks: Sequence[Peak]) -> list[Explanation]:
        """One explanation per peak, with the norm of its activation.

        Raises:
            SourceError: a context comes without token ids, which alone go into a model (design, decision 8).
        """
        contexts = [_ids(peak) for peak in peaks]
        vectors = self._subject.activations_at(contexts, [peak.position for peak in peaks])
        said = self._engine.explain_vectors(vectors, [peak.seed for peak in peaks])
        return [
            replace(explanation, norm=float(np.linalg.norm(vector)))
            for explanation, vector in zip(said, vectors, strict=True)
        ]


def _ids(peak: Peak) -> Sequence[int]:
    if peak.token_ids is None:
        raise SourceError(
            "The source gives its contexts as text without token ids, and an engine that reads activations here needs "
            "ids: choose an engine that takes text (nla.engine.kind = neuronpedia, or nla_server by text)."
        )
    return peak.token_ids
