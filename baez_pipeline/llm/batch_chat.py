"""A chat model that is asked by OpenAI's Batch API: a step's questions in one file, at half the price, within 24 h.

Goes in: collecting the questions that wait, handing a batch's answers to them. Stays out: the requests
(batch_endpoint.py), the files' lines (batch_lines.py), the database (answers_batches.py). What an answer means, where
it is kept and when it is asked for again is as in http_chat.py. Anthropic's message batches speak another protocol, not
offered by its OpenAI-compatible endpoint, and OpenRouter has no batches: neither is part of this.

A batch is closed when no further question has come for a short time. It is written down, with its questions and the
money held for them, before anything is sent, and carries a tag of ours. A process that is killed leaves it in the
database: the next one finds it there, or by its tag at the endpoint, waits for it and settles it. A question that is in
a batch of the same experiment already, sent by a process that lives or is dead, is waited for and not sent again. Of
two experiments that ask the same at the same time, each pays.

What remains: a process that stops for longer than twice the time-out just before it submits (a laptop that is closed)
may submit what another process, which took it for dead, submits as well. Money for a batch that nobody takes up is held
for 30 days, as long as OpenAI keeps its files.
"""

import asyncio
import logging
import time
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from openai.types import Batch as RemoteBatch

from baez_pipeline.answers import Answers
from baez_pipeline.answers_batches import Batch, Batches, BatchQuestion, Settled
from baez_pipeline.errors import BaezError, BudgetError, ServiceError
from baez_pipeline.experiment import HttpModel
from baez_pipeline.llm.batch_endpoint import BatchEndpoint
from baez_pipeline.llm.batch_lines import MOST_REQUESTS, Line, body_of_line, first_file, line_of, read_line, was_not_run
from baez_pipeline.llm.chat import Completion, Message, Purpose, Request
from baez_pipeline.llm.endpoint_chat import EndpointChat, body_of
from baez_pipeline.llm.pricing import Bill, highest_price
from baez_pipeline.llm.trouble import OddAnswerError, Trouble, trouble_of
from baez_pipeline.tables import Outcome

logger = logging.getLogger(__name__)

QUIET_SECONDS = 2.0
POLL_SECONDS = 30.0
PATIENCE_SECONDS = 3600.0
SETTLED_AT_ONCE = 500
"""Questions per transaction: other processes wait for the database only so long."""
STATUS_OF_CODE = {
    "model_not_found": 404,
    "insufficient_quota": 402,
    "billing_hard_limit_reached": 402,
}
"""Of a batch that was refused as a whole: the HTTP status that a single request would have got."""


@dataclass(kw_only=True, eq=False)
class _Waiting:
    """A question that somebody waits for."""

    request: Request
    body: bytes
    question: BatchQuestion
    answer: asyncio.Future[Completion]


@dataclass(kw_only=True, eq=False)
class _Watch:
    """A batch that is waited for."""

    batch: Batch
    questions: list[BatchQuestion]
    looked: asyncio.Event = field(default_factory=asyncio.Event)
    """It is known to go on, or is settled."""
    task: asyncio.Task[None] | None = None


@dataclass(kw_only=True, eq=False)
class _Session:
    """What belongs to one event loop."""

    endpoint: BatchEndpoint
    waiting: dict[str, _Waiting] = field(default_factory=dict)
    """All that is asked and not answered, by key."""
    pending: dict[str, _Waiting] = field(default_factory=dict)
    """Of those, what is in no batch yet."""
    arrived: float = 0.0
    """Loop time of the latest question."""
    watching: dict[str, _Watch] = field(default_factory=dict)
    """By tag."""
    collecting: asyncio.Task[None] | None = None
    most: int = MOST_REQUESTS
    one_at_a_time: bool = False
    """The endpoint's limit of tokens in all batches was reached."""


_Result = Completion | Exception | None
"""What became of a question in its batch; None: it is to be asked again."""


class BatchChat(EndpointChat):
    """A model that is asked in batches. Processes share its kept answers and its unsettled batches."""

    def __init__(
        self,
        settings: HttpModel,
        answers: Answers,
        *,
        experiment: str,
        max_usd: float | None,
        key: str | None,
        quiet_seconds: float = QUIET_SECONDS,
        poll_seconds: float = POLL_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
        backoff_seconds: float = 1.0,
    ) -> None:
        """Nothing is sent yet.

        Args:
            settings: model, endpoint, prices, limits.
            answers: where answers, the ledger and unsettled batches are kept.
            experiment: whose ledger and budget.
            max_usd: the budget; None = no limit.
            key: sent to the endpoint and kept in memory only; None = no key.
            quiet_seconds: a batch is closed when no question has come for so long.
            poll_seconds: between two looks at a batch.
            patience_seconds: for which the endpoint may be out of reach while it has a batch.
            backoff_seconds: first wait after a failed try; doubled with each, up to a minute.

        Raises:
            AnswersError: the database fails.
        """
        super().__init__(settings, answers, experiment=experiment, max_usd=max_usd, key=key)
        self._batches = Batches(answers)
        self._quiet_seconds = quiet_seconds
        self._waits = {
            "poll_seconds": poll_seconds,
            "patience_seconds": patience_seconds,
            "backoff_seconds": backoff_seconds,
        }
        self._sessions: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Session] = weakref.WeakKeyDictionary()

    @property
    def concurrency(self) -> int:
        """Questions that are collected at once: as many as fit a file."""
        return MOST_REQUESTS

    async def _ask(self, messages: Sequence[Message], request: Request, key: str) -> Completion:
        session = self._session()
        last = messages[-1]
        waiting = _Waiting(
            request=request,
            body=body_of_line(self._settings, messages, request),
            question=BatchQuestion(
                key=key,
                usd=highest_price(self._settings, messages, max_tokens=request.max_tokens),
                beginning=last["content"] if last["role"] == "assistant" else "",
                asset=request.purpose.asset,
                feature=request.purpose.feature,
                method=request.purpose.method,
            ),
            answer=asyncio.get_running_loop().create_future(),
        )
        session.waiting[key] = session.pending[key] = waiting
        session.arrived = asyncio.get_running_loop().time()
        self._collect_from(session)
        try:
            return await waiting.answer
        finally:
            session.waiting.pop(key, None)
            session.pending.pop(key, None)

    def _collect_from(self, session: _Session) -> None:
        if session.collecting is None:
            session.collecting = asyncio.create_task(self._collect(session))

    async def _collect(self, session: _Session) -> None:
        """Make batches of what is pending until nothing is."""
        loop = asyncio.get_running_loop()
        try:
            while session.pending:
                while (left := session.arrived + self._quiet_seconds - loop.time()) > 0:
                    await asyncio.sleep(left)
                await self._take_up(session)
                if session.pending:
                    await self._submit_some(session)
        except Exception as error:
            _resolve(session, dict.fromkeys(session.pending, error))
        finally:
            session.collecting = None

    async def _take_up(self, session: _Session) -> None:
        """Look after batches that others have left or are waiting for, and settle those that have ended."""
        for batch in self._batches.unsettled(
            self._experiment, base_url=self._settings.base_url, model=self._settings.model
        ):
            if batch.tag not in session.watching:
                logger.info("batch %s of an earlier run is taken up", batch.id or batch.tag)
                self._watch(session, batch, self._batches.questions(batch.tag))
        for watch in list(session.watching.values()):
            await watch.looked.wait()

    async def _submit_some(self, session: _Session) -> None:
        """Submit as much as fits a file and the budget; where nothing does, wait until a batch has ended."""
        if session.one_at_a_time and session.watching:
            await _one_ends(session)
            return
        sizes = [len(line_of(waiting.question.request, waiting.body)) for waiting in session.pending.values()]
        chosen = list(session.pending.values())[: first_file(sizes, most=session.most)]
        batch = Batch(experiment=self._experiment, base_url=self._settings.base_url, model=self._settings.model)
        begun = self._batches.begin(batch, [waiting.question for waiting in chosen], max_usd=self._max_usd)
        for key in begun.kept:
            # None where it is of no use after all, and forgotten: it stays pending.
            _resolve(session, {key: kept for kept in [self._kept(session.pending[key].request, key)] if kept})
        watched = {question.key for watch in session.watching.values() for question in watch.questions}
        for key in begun.elsewhere & watched:
            del session.pending[key]
        if begun.questions:
            await self._submit(session, batch, begun.questions)
        elif begun.too_dear and session.watching:
            # Much of what is held for them will be free again.
            await _one_ends(session)
        elif begun.too_dear:
            _resolve(session, dict[str, _Result](begun.too_dear))

    async def _submit(self, session: _Session, batch: Batch, questions: list[BatchQuestion]) -> None:
        bodies = {question.key: session.pending[question.key].body for question in questions}
        content = b"".join(line_of(question.request, bodies[question.key]) for question in questions)
        try:
            file_id = await session.endpoint.upload(content)
        except BaseException:
            self._batches.close(batch.tag)
            raise
        if not self._batches.about_to_send(batch.tag):
            return
        try:
            batch_id = await session.endpoint.submit(file_id, batch.tag)
        except BaezError:
            self._batches.close(batch.tag)
            raise
        if batch_id is not None:
            self._batches.name(batch.tag, batch_id)
            logger.info("batch %s: %d questions submitted", batch_id, len(questions))
        for question in questions:
            session.pending.pop(question.key, None)
        self._watch(session, replace(batch, id=batch_id, sent_at=time.time()), questions)

    def _watch(self, session: _Session, batch: Batch, questions: list[BatchQuestion]) -> None:
        watch = _Watch(batch=batch, questions=questions)
        session.watching[batch.tag] = watch
        watch.task = asyncio.create_task(self._settle_when_ended(session, watch))

    async def _settle_when_ended(self, session: _Session, watch: _Watch) -> None:
        results: dict[str, _Result] = {question.key: None for question in watch.questions}
        try:
            batch_id = watch.batch.id or await self._found(session, watch)
            if batch_id is None:
                results = self._not_submitted(watch)
            else:
                ended = await session.endpoint.ended(watch.batch, batch_id, looked=watch.looked)
                if ended.status == "failed":
                    results = self._refused(session, watch, ended)
                else:
                    results = self._settle(session, watch, ended, await session.endpoint.lines(ended))
                self._batches.close(watch.batch.tag)
        except Exception as error:
            logger.warning("batch %s: %s", watch.batch.id or watch.batch.tag, error)
            results = dict.fromkeys(results, error)
        finally:
            del session.watching[watch.batch.tag]
            watch.looked.set()
        tries = {question.key: question for question in watch.questions}
        again = [key for key, result in results.items() if result is None and key in session.waiting]
        for key in again:
            session.pending[key] = waiting = session.waiting[key]
            waiting.question = replace(
                waiting.question,
                request=BatchQuestion.__dataclass_fields__["request"].default_factory(),
                tries=tries[key].tries + 1,
                asked_at=tries[key].asked_at,
            )
        _resolve(session, results)
        if again:
            self._collect_from(session)
