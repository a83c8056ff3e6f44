"""A chat model behind any OpenAI-compatible endpoint.

A question is looked up among the kept answers first. If it has to be asked, money is held for it, it is tried until it
is answered or given up, and its answer is kept together with its row of the ledger, in one transaction. An answer that
cannot be read is asked for again with the reason. The package `openai` speaks the protocol; its own retries are off:
they ignore a Retry-After of more than a minute, give up after some 15 s of 429, and do not say how often they tried.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace

import openai
from openai.types.chat import ChatCompletion

from baez_pipeline.answers import Answers
from baez_pipeline.errors import BaezError, BudgetError, ServiceError
from baez_pipeline.experiment import HttpModel
from baez_pipeline.llm.chat import Completion, Message, Request
from baez_pipeline.llm.endpoint_chat import EndpointChat, body_of
from baez_pipeline.llm.pricing import Bill, highest_price
from baez_pipeline.llm.reading import Answer, read_response
from baez_pipeline.llm.request_body import request_body, sent_schema
from baez_pipeline.llm.trouble import Trouble, trouble_of
from baez_pipeline.tables import Outcome

logger = logging.getLogger(__name__)

LONGEST_BACKOFF = 60.0
LONGEST_WAIT = 3600.0
"""That an endpoint may ask for: a run that waits longer would look as if it hung."""
GIVE_UP_AFTER = 10
"""Questions in a row that no try brought an answer for: the endpoint is down, and asking on would fail every bill."""


@dataclass(kw_only=True)
class _Session:
    """What belongs to one event loop."""

    client: openai.AsyncOpenAI
    slots: asyncio.Semaphore
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    not_before: float = 0.0
    """Loop time before which the endpoint wants no request at all."""
    until_the_loop_ends: AsyncGenerator["_Session"] | None = None


class HttpChat(EndpointChat):
    """A model over HTTP. All who ask it in a process share its slots; all processes share its kept answers."""

    def __init__(
        self,
        settings: HttpModel,
        answers: Answers,
        *,
        experiment: str,
        max_usd: float | None,
        key: str | None,
        backoff_seconds: float = 1.0,
    ) -> None:
        """Nothing is sent yet.

        Args:
            settings: model, endpoint, prices, limits.
            answers: where answers and the ledger are kept.
            experiment: whose ledger and budget.
            max_usd: the budget; None = no limit.
            key: sent to the endpoint and kept in memory only; None = no key.
            backoff_seconds: first wait after a failed try; doubled with each, up to a minute.
        """
        super().__init__(settings, answers, experiment=experiment, max_usd=max_usd, key=key)
        self._backoff = backoff_seconds
        self._sessions: dict[asyncio.AbstractEventLoop, _Session] = {}
        self._unanswered_in_a_row = 0
        self._holding = 0
        self._stopped: ServiceError | None = None
        """Why no question of this process will be answered any more: what waits for its turn is not sent."""

    @property
    def concurrency(self) -> int:
        """Requests in flight at once."""
        return self._settings.concurrency

    async def _ask(self, messages: Sequence[Message], request: Request, key: str) -> Completion:
        session = await self._session()
        async with session.slots:
            self._check_stopped()
            try:
                return await self._ask_at_once(messages, request, key, session)
            except ServiceError as stop:
                self._stopped = self._stopped or stop
                raise

    async def _ask_at_once(
        self, messages: Sequence[Message], request: Request, key: str, session: _Session
    ) -> Completion:
        at_most = highest_price(
            self._settings, messages, max_tokens=request.max_tokens, schema=sent_schema(self._settings, request)
        )
        bill = Bill(at_most=at_most, held=[await self._hold(at_most, session)])
        completion, answer = Completion(text="", outcome=Outcome.ERROR, detail="the question was cancelled"), None
        try:
            answer = await self._try(messages, request, bill, session)
            completion = self._read(answer, request)
        except _GivenUp as given_up:
            completion = Completion(text="", outcome=given_up.trouble.outcome, detail=given_up.trouble.detail)
            self._count_unanswered(given_up.trouble)
        except asyncio.CancelledError:
            bill.lost += bill.tries > 0
            raise
        except BaezError as error:
            completion = replace(completion, detail=str(error))
            raise
        finally:
            try:
                self._settle(bill, request, completion, answer, key)
            finally:
                # Whoever waits for money learns of it even when the database fails.
                self._holding -= 1
                session.settled.set()
        return completion

    def _settle(self, bill: Bill, request: Request, completion: Completion, answer: Answer | None, key: str) -> None:
        first, *further = bill.held
        if bill.tries:
            asked = bill.row(self._settings, self._experiment, request.purpose, completion, answer)
            self._answers.settle(first, asked, key=key, body=body_of(completion))
        for held in further if bill.tries else bill.held:
            self._answers.release(held)

    async def _try(self, messages: Sequence[Message], request: Request, bill: Bill, session: _Session) -> Answer:
        while True:
            await self._wait_for_the_endpoint(bill, session)
            self._check_stopped()
            bill.tries += 1
            try:
                async with asyncio.timeout(self._settings.timeout_seconds):
                    # Not by chat.completions.create: it checks every field of 25 messages anew, 4 ms of a request.
                    response = await session.client.post(
                        "/chat/completions",
                        cast_to=ChatCompletion,
                        body=request_body(self._settings, messages, request),
                        options={"headers": self._headers},
                    )
                answer = read_response(response)
            except Exception as error:
                failure = error
            else:
                self._unanswered_in_a_row = 0
                return answer
            # Not while it is handled: what a traceback then shows before ours may repeat the key.
            trouble = trouble_of(failure, self._settings, self._key)
            bill.lost += trouble.lost
            if not trouble.again or bill.tries >= self._settings.tries:
                raise _GivenUp(trouble)
            if trouble.lost:
                # That try may be billed, and so may the next.
                bill.held.append(self._hold_at_once(bill.at_most))
            await self._wait_after(trouble, bill, session)

    def _check_stopped(self) -> None:
        if self._stopped is not None:
            raise type(self._stopped)(str(self._stopped))

    async def _wait_for_the_endpoint(self, bill: Bill, session: _Session) -> None:
        loop = asyncio.get_running_loop()
        while (left := session.not_before - loop.time()) > 0:
            self._hold_through(left, bill)
            # Not all at the same moment, or the endpoint is at its limit again.
            await asyncio.sleep(left + random.uniform(0, min(1.0, left)))

    async def _wait_after(self, trouble: Trouble, bill: Bill, session: _Session) -> None:
        backoff = min(LONGEST_BACKOFF, self._backoff * 2 ** (bill.tries - 1)) * random.uniform(0.75, 1.25)
        wait = backoff if trouble.wait is None else trouble.wait
        if wait > LONGEST_WAIT:
            raise ServiceError(
                f"{trouble.detail}. The endpoint wants no request for {wait / 3600:.1f} h: run again then. What was "
                "answered is kept, and a new run asks for the rest."
            )
        until = asyncio.get_running_loop().time() + wait
        if trouble.for_all and until > session.not_before:
            session.not_before = until
            logger.info("%s; all requests wait %.1f s", trouble.detail, wait)
        elif not trouble.for_all:
            logger.info("%s; try %d of %d in %.1f s", trouble.detail, bill.tries + 1, self._settings.tries, wait)
            self._hold_through(wait, bill)
            await asyncio.sleep(wait)

    async def _hold(self, usd: float, session: _Session) -> str:
        """Set the money aside; where it is all held by questions in flight, wait until one of them is answered."""
        while True:
            session.settled.clear()
            try:
                held = self._hold_at_once(usd)
            except BudgetError:
                if not self._holding:
                    raise
                await session.settled.wait()
            else:
                self._holding += 1
                return held

    def _hold_at_once(self, usd: float) -> str:
        return self._answers.hold(self._experiment, usd, max_usd=self._max_usd, seconds=self._seconds_held)

    def _hold_through(self, wait: float, bill: Bill) -> None:
        if wait > LONGEST_BACKOFF and self._max_usd is not None:
            self._answers.prolong(bill.held, seconds=wait + self._seconds_held)

    @property
    def _seconds_held(self) -> float:
        """As long as a question can take; money that is still held then counts as spent."""
        return self._settings.tries * (self._settings.timeout_seconds + LONGEST_BACKOFF)

    def _count_unanswered(self, trouble: Trouble) -> None:
        if trouble.unreachable:
            raise ServiceError(
                f"{self._settings.base_url} cannot be reached: {trouble.detail}. Check base_url and the network; what "
                "was answered is kept, and a new run asks for the rest."
            )
        self._unanswered_in_a_row += trouble.outcome is not Outcome.REFUSED
        if self._unanswered_in_a_row >= GIVE_UP_AFTER:
            raise ServiceError(
                f"{GIVE_UP_AFTER} questions in a row got no answer from {self._settings.base_url}, the last one: "
                f"{trouble.detail}. What was answered is kept, and a new run asks for the rest."
            )

    async def _session(self) -> _Session:
        loop = asyncio.get_running_loop()
        if loop not in self._sessions:
            opened = self._open(loop)
            (await anext(opened)).until_the_loop_ends = opened
        return self._sessions[loop]

    async def _open(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[_Session]:
        """A loop that ends closes the generators that were begun in it, while connections can still be closed."""
        client = self._client()
        self._sessions[loop] = _Session(client=client, slots=asyncio.Semaphore(self._settings.concurrency))
        try:
            yield self._sessions[loop]
        finally:
            del self._sessions[loop]
            await client.close()


class _GivenUp(Exception):
    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.detail)
        self.trouble = trouble
