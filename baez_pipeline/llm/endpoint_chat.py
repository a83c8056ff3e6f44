"""What chat models behind an endpoint share, however their questions are sent (http_chat.py, batch_chat.py).

Goes in: kept answers, a question in flight that is sent once, an answer that cannot be read and is asked for again.
Stays out: sending, money and waiting.
"""

import asyncio
import json
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import urlsplit

import openai

from baez_pipeline.answers import Answers
from baez_pipeline.errors import BaezError, ServiceError
from baez_pipeline.experiment import HttpModel
from baez_pipeline.llm.chat import Completion, Message, Request, TokenChoice
from baez_pipeline.llm.reading import Answer
from baez_pipeline.llm.request_body import request_body
from baez_pipeline.store import hash_of
from baez_pipeline.tables import Outcome

CONNECT_SECONDS = 10.0


class EndpointChat(ABC):
    """A chat model behind an OpenAI-compatible endpoint, with kept answers."""

    def __init__(
        self, settings: HttpModel, answers: Answers, *, experiment: str, max_usd: float | None, key: str | None
    ) -> None:
        """Nothing is sent yet.

        Args:
            settings: model, endpoint, prices, limits.
            answers: where answers and the ledger are kept.
            experiment: whose ledger and budget.
            max_usd: the budget; None = no limit.
            key: sent to the endpoint and kept in memory only; None = no key.
        """
        self._settings = settings
        self._answers = answers
        self._experiment = experiment
        self._max_usd = max_usd
        self._key = key
        self._asking: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Future[Completion]]] = (
            weakref.WeakKeyDictionary()
        )
        """Questions in flight by key: two labels with the same words are judged once."""

    @property
    def identity(self) -> str:
        """The model and whose endpoint serves it; a provider may change what is behind both."""
        return f"{self._settings.model} at {urlsplit(self._settings.base_url).netloc}"

    @property
    @abstractmethod
    def concurrency(self) -> int:
        """Requests that are worked on at once."""

    def key_of(self, request: Request) -> str:
        """The hash under which the answer to a question is kept: everything that may change it, and nothing else."""
        asked = {"chat": request_body(self._settings, request.messages, request), "sample": request.seed}
        # Only where there is one: answers from before there were rounds are still found.
        return hash_of(asked | ({"round": request.round} if request.round else {}))

    def is_kept(self, request: Request) -> bool:
        """Whether the answer is kept, so that asking costs nothing."""
        return self._answers.kept(self.key_of(request)) is not None

    async def complete(self, request: Request) -> Completion:
        """The answer, kept or asked for. A question that is in flight already is not sent twice.

        Raises:
            AccessError: the endpoint refuses key, credit or model.
            ServiceError: the endpoint cannot be reached, or does not do its work.
            BudgetError: the question might exceed the budget.
            AnswersError: the database fails.
        """
        key = self.key_of(request)
        if (kept := self._kept(request, key)) is not None:
            return kept
        asking = self._asking.setdefault(asyncio.get_running_loop(), {})
        if key in asking:
            return await asyncio.shield(asking[key])
        asking[key] = answer = asyncio.get_running_loop().create_future()
        try:
            completion = await self._ask_until_read(request, key)
        except BaseException as error:
            answer.set_exception(error if isinstance(error, BaezError) else ServiceError("The question was cancelled."))
            answer.exception()  # Seen, though nobody else may be waiting for it.
            raise
        finally:
            del asking[key]
        answer.set_result(completion)
        return completion

    def _kept(self, request: Request, key: str) -> Completion | None:
        """The kept answer. One that was kept when nobody was there to say whether it can be used may be of no use."""
        body = self._answers.kept(key)
        if body is None:
            return None
        completion = _completion(json.loads(body))
        if request.problem(completion.text) is None:
            return completion
        self._answers.forget(key)
        return None

    async def _ask_until_read(self, request: Request, key: str) -> Completion:
        messages = list(request.messages)
        completion = Completion(text="", outcome=Outcome.ERROR)
        for _ in range(self._settings.asks):
            completion = await self._ask(messages, request, key)
            if completion.outcome not in (Outcome.UNPARSABLE, Outcome.EMPTY):
                break
            messages = _asked_again(request.messages, completion)
        return completion if completion.outcome is Outcome.OK else replace(completion, text="")

    @abstractmethod
    async def _ask(self, messages: Sequence[Message], request: Request, key: str) -> Completion:
        """One question, with as many tries as it takes, and its row in the ledger."""

    def _read(self, answer: Answer, request: Request) -> Completion:
        last = request.messages[-1]
        beginning = last["content"] if last["role"] == "assistant" else ""
        completion = Completion(
            text=beginning + answer.text,
            outcome=answer.outcome,
            detail=answer.detail,
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
            choices=answer.choices,
        )
        if answer.outcome is not Outcome.OK:
            return completion
        cut = f"the answer was cut at {request.max_tokens} tokens" if answer.was_cut else None
        problem = request.problem(completion.text) or (cut if request.whole else None)
        if problem is None:
            return completion
        detail = f"{problem} ({cut})" if cut and problem != cut else problem
        return replace(completion, outcome=Outcome.UNPARSABLE, detail=detail)

    @property
    def _headers(self) -> dict[str, Any]:
        """For every request, because the client takes the wish for no key at none but a request: no key, no header."""
        return {} if self._key else {"Authorization": openai.omit}

    def _client(self) -> openai.AsyncOpenAI:
        """A client for one event loop, without retries of its own."""
        # An empty key would be read from OPENAI_API_KEY.
        return openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=self._settings.base_url,
            max_retries=0,
            timeout=openai.Timeout(self._settings.timeout_seconds, connect=CONNECT_SECONDS),
        )


def body_of(completion: Completion) -> bytes | None:
    """An answer as it is kept; None for one that failed, which never is."""
    return json.dumps(asdict(completion)).encode() if completion.outcome is Outcome.OK else None


def _asked_again(messages: Sequence[Message], completion: Completion) -> list[Message]:
    """The question with what is wrong with its answer."""
    if completion.outcome is Outcome.UNPARSABLE:
        correction = f"That answer cannot be used: {completion.detail}. Answer again, in the form asked for."
        return [*messages, {"role": "assistant", "content": completion.text}, {"role": "user", "content": correction}]
    *before, last = messages
    if last["role"] != "user":
        return list(messages)
    # In the same message: there is no answer to put between two, and some templates want turns to alternate.
    return [*before, {"role": "user", "content": f"{last['content']}\n\n(An earlier answer was empty. Do answer.)"}]


def _completion(body: dict[str, Any]) -> Completion:
    choices = tuple(TokenChoice(**choice) for choice in body.pop("choices"))
    return Completion(**{**body, "outcome": Outcome(body["outcome"])}, choices=choices)
