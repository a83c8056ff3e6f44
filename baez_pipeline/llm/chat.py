"""The chat protocol that every language model of the pipeline speaks, local or remote."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypedDict

from baez_pipeline.tables import Outcome


def no_problem(text: str) -> None:
    """Any answer will do."""


class Message(TypedDict):
    """One turn of a conversation, in the form that OpenAI's interface has."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, kw_only=True)
class Purpose:
    """What a request is made for: the ledger's columns, never part of the question."""

    asset: str = ""
    feature: str = ""
    method: str = ""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One question to a model. A last message of role assistant is a beginning that the model goes on from."""

    messages: tuple[Message, ...]
    temperature: float | None = 0.0
    """None: the endpoint's default; a model in process samples greedily then."""
    max_tokens: int = 256
    seed: int = 0
    """Sample number: tells several answers to one question apart. A model in process samples by it."""
    round: str | None = None
    """Of asking the same questions anew: an answer kept in another round, or outside of any, is not this one's."""
    stop: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    """JSON schema of the answer, for a model that can be held to one."""
    logprobs: bool = False
    """Give the alternatives of each token, where the model can."""
    whole: bool = False
    """An answer that was cut at `max_tokens` cannot be used, whatever it holds."""
    problem: Callable[[str], str | None] = no_problem
    """Why an answer cannot be used, in a sentence that the model is shown when it is asked again; None if it can."""
    purpose: Purpose = field(default_factory=Purpose)


@dataclass(frozen=True, kw_only=True)
class TokenChoice:
    """A generated token with the alternatives that the model weighed, log-probabilities in nats."""

    token: str
    alternatives: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Completion:
    """A model's answer. `text` includes the beginning that the request gave; it is empty unless the outcome is ok."""

    text: str
    outcome: Outcome = Outcome.OK
    detail: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    choices: tuple[TokenChoice, ...] = ()


class ChatModel(Protocol):
    """A language model. Its `identity` goes into tables: the name with the revision, or with who serves it."""

    @property
    def identity(self) -> str:
        """Name and revision."""
        ...

    @property
    def concurrency(self) -> int:
        """Requests that it works on at once; more may be handed to it, and wait."""
        ...

    async def complete(self, request: Request) -> Completion:
        """The answer to one request. A failure is a Completion with its outcome, never an exception.

        Raises:
            BaezError: what stops the whole run (no credit, no access, no such model).
        """
        ...


class InRound:
    """A chat model whose every question is asked in a round, and has its costs booked on an asset of that round."""

    def __init__(self, model: ChatModel, *, round: str, asset: str) -> None:
        self._model = model
        self._round = round
        self._asset = asset

    @property
    def identity(self) -> str:
        """The model's."""
        return self._model.identity

    @property
    def concurrency(self) -> int:
        """The model's."""
        return self._model.concurrency

    async def complete(self, request: Request) -> Completion:
        """The answer that the model gives in this round.

        Raises:
            BaezError: as the model says.
        """
        purpose = replace(request.purpose, asset=self._asset)
        return await self._model.complete(replace(request, round=self._round, purpose=purpose))
