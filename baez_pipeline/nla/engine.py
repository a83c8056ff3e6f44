"""What every engine does: peaks in, explanations out."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from baez_pipeline.errors import BaezError, SourceError
from baez_pipeline.nla.paragraphs import Tag
from baez_pipeline.tables import Outcome

if TYPE_CHECKING:
    from baez_pipeline.nla.reconstructor import Faithfulness
    from baez_pipeline.nla.token_ids import Context

_NOT_FINITE = "the activation at the peak is not finite: the subject model's weights or their type are damaged"
_NO_BOS_TO_EXPLAIN = "the context begins at the peak, without a BOS; a service would put one there and explain it"


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
    fve: float | None = None
    """1 - mse / variance of such activations; None where no reconstructor or no variance is known."""
    tag: Tag | None = None
    """What became of the explanation's tags; None for an engine that writes none or does not show them."""


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

    @property
    def peaks_at_once(self) -> int:
        """As many peaks of whole features, or a few more, are worth being explained in one call."""
        ...

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


class Tokens(Protocol):
    """What turns text tokens into ids of the subject model."""

    def context(self, tokens: Sequence[str], position: int) -> Context | str:
        """The ids up to a position, or why there are none."""
        ...


class Subject(Protocol):
    """A model whose activations can be read."""

    def activations_at(self, contexts: Sequence[Sequence[int]], positions: Sequence[int]) -> NDArray[np.float32]:
        """The activation (n, d_model) at one position of each context of ids, raw and in fp32."""
        ...


class Rebuilder(Protocol):
    """A reconstructor."""

    def scores(self, explanations: Sequence[str], vectors: NDArray[np.float32]) -> list[Faithfulness | None]:
        """How near the activations rebuilt from explanations are to the real ones (n, d_model).

        None where a rebuilt one holds what is not a number.
        """
        ...


class FromActivations:
    """A verbalizer of peaks: the subject model gives each peak's activation, the engine its explanation.

    All activations are read first, then all are explained, then all explanations are scored: three models that need
    not fit the machine together.
    """

    def __init__(
        self,
        subject: Subject,
        engine: VectorVerbalizer,
        *,
        reconstructor: Rebuilder | None = None,
        tokens: Callable[[], Tokens] | None = None,
        alignment: Literal["verified", "unverified"] = "verified",
        peaks_at_once: int = 1,
    ) -> None:
        """An engine over the subject model.

        Args:
            subject: gives activations.
            engine: explains them.
            reconstructor: scores the explanations; None = they are not scored.
            tokens: opens what turns text tokens into ids, for sources without ids; None = they are refused.
            alignment: unverified reads the token before the peak, as services did that put a BOS before the text and
                were asked for the peak's position all the same (scoring audit, row 14). A context's first token has
                none before it and is read itself. Where it is a BOS, that is what those services had there; where it
                is not, they explained a BOS of their own, and the row says so.
            peaks_at_once: as the protocol has it.
        """
        self._subject = subject
        self._engine = engine
        self._reconstructor = reconstructor
        self._open_tokens = tokens
        self._alignment = alignment
        self.name = engine.name
        self.identity = engine.identity
        self.temperature = engine.temperature
        self.max_new_tokens = engine.max_new_tokens
        self.peaks_at_once = peaks_at_once

    def explain(self, peaks: Sequence[Peak]) -> list[Explanation]:
        """One explanation per peak, with the norm of its activation.

        An activation that is not finite is an error of its own row; it is neither explained nor scored.

        Raises:
            SourceError: a context comes without token ids, which alone go into a model (design, decision 8), and
                nothing here can find them.
            BaezError: the memory does not hold a model with a single row, or its folder cannot be loaded.
        """
        import torch

        found = [self._context(peak, self._position(peak)) for peak in peaks]
        read = {row: context for row, context in enumerate(found) if not isinstance(context, str)}
        try:
            explained = self._explained(peaks, read) if read else {}
        except torch.OutOfMemoryError as error:
            raise BaezError(
                "The GPU's memory does not hold the model with a single context or explanation. Free it of other "
                "processes, use more GPUs or one with more memory, or lower nla.engine.max_new_tokens; then run "
                f"again: what is stored is kept. ({' '.join(str(error).split())[:200]})"
            ) from error
        return [
            Explanation(text="", outcome=Outcome.MISALIGNED, detail=context)
            if isinstance(context, str)
            else self._at(peaks[row], explained[row])
            for row, context in enumerate(found)
        ]

    def _explained(
        self, peaks: Sequence[Peak], read: Mapping[int, tuple[Sequence[int], int]]
    ) -> dict[int, Explanation]:
        """The explanations of the rows whose contexts can be read."""
        vectors = self._subject.activations_at(
            [ids for ids, _ in read.values()], [position for _, position in read.values()]
        )
        with np.errstate(over="ignore", invalid="ignore"):
            norms = dict(zip(read, np.linalg.norm(vectors, axis=1).tolist(), strict=True))
        rows = [row for row, norm in norms.items() if math.isfinite(norm)]
        explained = {row: Explanation(text="", outcome=Outcome.ERROR, detail=_NOT_FINITE) for row in read}
        if rows:
            finite = vectors[np.isfinite(list(norms.values()))]
            said = self._scored(self._engine.explain_vectors(finite, [peaks[row].seed for row in rows]), finite)
            explained |= {row: replace(each, norm=norms[row]) for row, each in zip(rows, said, strict=True)}
        return explained

    def _context(self, peak: Peak, position: int) -> tuple[Sequence[int], int] | str:
        """The ids of a peak's context and the place to read; or why its tokens are not the subject model's."""
        if peak.token_ids is not None:
            return peak.token_ids, position
        if self._tokens is None:
            raise SourceError(
                "The source gives its contexts as text without token ids, and an engine that reads activations here "
                "needs ids: choose an engine that takes text (nla.engine.kind = neuronpedia, or nla_server by text), "
                'or name the subject model, whose tokenizer has them (nla.subject.kind = "folder").'
            )
        context = self._tokens.context(peak.tokens, position)
        return context if isinstance(context, str) else (context.ids, context.position)

    @functools.cached_property
    def _tokens(self) -> Tokens | None:
        return self._open_tokens() if self._open_tokens else None

    def _scored(self, said: list[Explanation], vectors: NDArray[np.float32]) -> list[Explanation]:
        rows = [row for row, explanation in enumerate(said) if explanation.outcome is Outcome.OK]
        if self._reconstructor is None or not rows:
            return said
        found = self._reconstructor.scores([said[row].text for row in rows], vectors[rows])
        scores = dict(zip(rows, found, strict=True))
        return [_with_score(each, scores[row]) if row in scores else each for row, each in enumerate(said)]

    def _position(self, peak: Peak) -> int:
        return peak.position if self._alignment == "verified" else max(0, peak.position - 1)

    def _at(self, peak: Peak, explanation: Explanation) -> Explanation:
        """The explanation of a token of the peak's context, which says so where a service would have another."""
        position = self._position(peak)
        if position != peak.position:
            explained = replace(
                explanation,
                token=peak.tokens[position],
                token_id=peak.token_ids[position] if peak.token_ids else None,
            )
            return _noted(explained, f"the token at position {position} was explained, the peak is at {peak.position}")
        if self._alignment == "unverified" and not _begins_with_bos(peak.tokens):
            return _noted(explanation, _NO_BOS_TO_EXPLAIN)
        return explanation


def _begins_with_bos(tokens: Sequence[str]) -> bool:
    """Whether a context's first text token is a BOS, which a source may show as nothing."""
    from baez_pipeline.nla.described import BOS

    return tokens[0] in BOS or not tokens[0]


def _noted(explanation: Explanation, note: str) -> Explanation:
    return replace(explanation, detail="; ".join(filter(None, (explanation.detail, note))))


def _with_score(explanation: Explanation, score: Faithfulness | None) -> Explanation:
    if score is None:
        return _noted(explanation, "the activation that the reconstructor gives for it is not finite")
    return replace(explanation, mse=score.mse, cosine=score.cosine, fve=score.fve)
