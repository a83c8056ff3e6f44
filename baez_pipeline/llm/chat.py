"""The chat protocol that every language model of the pipeline speaks, local or remote."""

from dataclasses import dataclass, field
from typing import Literal, Protocol, TypedDict

from baez_pipeline.tables import Outcome


class Message(TypedDict):
    """One turn of a conversation, in the form that OpenAI's interface has."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """One question to a model. A last message of role assistant is a beginning that the model goes on from."""

    messages: tuple[Message, ...]
    temperature: float = 0.0
    max_tokens: int = 256
    seed: int = 0
    stop: tuple[str, ...] = ()


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
    """A language model. `identity` names it with its revision and goes into tables and fingerprints."""

    @property
    def identity(self) -> str:
        """Name and revision."""
        ...

    async def complete(self, request: Request) -> Completion:
        """The answer to one request. A failure is a Completion with its outcome, never an exception.

        Raises:
            BaezError: what stops the whole run (no credit, no access, no such model).
        """
        ...
