"""What every engine does: peaks in, explanations out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

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
    token: str | None = None
    """The token that was explained; None: the peak token."""
    token_id: int | None = None
    """Its id, where the engine says which token it explained and has one."""
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

    def __init__(
        self,
        subject: SubjectModel,
        engine: VectorVerbalizer,
        *,
        alignment: Literal["verified", "unverified"] = "verified",
    ) -> None:
        """An engine over the subject model.

        Args:
            subject: gives activations.
            engine: explains them.
            alignment: unverified reads the token before the peak, as services did that put a BOS before the text and
                were asked for the peak's position all the same (scoring audit, row 14). A context's first token, which
                is its BOS, has none before it and is read itself: it is what those services had there.
        """
        self._subject = subject
        self._engine = engine
        self._alignment = alignment
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
        positions = [self._position(peak) for peak in peaks]
        vectors = self._subject.activations_at(contexts, positions)
        said = self._engine.explain_vectors(vectors, [peak.seed for peak in peaks])
        return [
            replace(_at(peak, position, explanation), norm=float(np.linalg.norm(vector)))
            for peak, position, explanation, vector in zip(peaks, positions, said, vectors, strict=True)
        ]

    def _position(self, peak: Peak) -> int:
        return peak.position if self._alignment == "verified" else max(0, peak.position - 1)


def _at(peak: Peak, position: int, explanation: Explanation) -> Explanation:
    """The explanation of a token of the peak's context, which says so where that is not the peak."""
    if position == peak.position:
        return explanation
    note = f"the token at position {position} was explained, the peak is at {peak.position}"
    return replace(
        explanation,
        token=peak.tokens[position],
        token_id=_ids(peak)[position],
        detail="; ".join(filter(None, (explanation.detail, note))),
    )


def _ids(peak: Peak) -> Sequence[int]:
    if peak.token_ids is None:
        raise SourceError(
            "The source gives its contexts as text without token ids, and an engine that reads activations here needs "
            "ids: choose an engine that takes text (nla.engine.kind = neuronpedia, or nla_server by text)."
        )
    return peak.token_ids
