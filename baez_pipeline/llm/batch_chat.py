"""A chat model that is asked by OpenAI's Batch API: a step's questions in one file, at half the price, within 24 h.

Goes in: collecting the questions that wait, handing a batch's answers to them. Stays out: the requests
(batch_endpoint.py), the files' lines (batch_lines.py), the database (answers/batches.py). What an answer means, where
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
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace

from openai.types import Batch as RemoteBatch

from baez_pipeline.answers import Answers
from baez_pipeline.answers.batches import MOST_AT_ONCE, Batch, Batches, BatchQuestion
from baez_pipeline.errors import BaezError
from baez_pipeline.experiment import HttpModel
from baez_pipeline.llm.batch_endpoint import BatchEndpoint
from baez_pipeline.llm.batch_lines import MOST_REQUESTS, Line, body_of_line, first_file, line_of, size_of_line
from baez_pipeline.llm.batch_results import Again, Result, is_too_large, not_submitted, read_ended, refusal_of
from baez_pipeline.llm.batch_session import Session, Waiting, Watch
from baez_pipeline.llm.chat import Completion, Message, Request
from baez_pipeline.llm.endpoint_chat import EndpointChat
from baez_pipeline.llm.pricing import highest_price
from baez_pipeline.llm.reading import Answer
from baez_pipeline.llm.request_body import sent_schema

logger = logging.getLogger(__name__)

QUIET_SECONDS = 2.0
POLL_SECONDS = 30.0
PATIENCE_SECONDS = 3600.0


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
        self._quiet = quiet_seconds
        self._poll = poll_seconds
        self._patience = patience_seconds
        self._backoff = backoff_seconds
        self._sessions: dict[asyncio.AbstractEventLoop, Session] = {}

    @property
    def concurrency(self) -> int:
        """Questions that are collected at once: as many as a file takes."""
        return MOST_REQUESTS

    async def _ask(self, messages: Sequence[Message], request: Request, key: str) -> Completion:
        loop, session = asyncio.get_running_loop(), await self._session()
        last = request.messages[-1]
        waiting = Waiting(
            request=request,
            body=body_of_line(self._settings, messages, request),
            question=BatchQuestion(
                key=key,
                usd=highest_price(
                    self._settings, messages, max_tokens=request.max_tokens, schema=sent_schema(self._settings, request)
                ),
                beginning=last["content"] if last["role"] == "assistant" else "",
                asset=request.purpose.asset,
                feature=request.purpose.feature,
                method=request.purpose.method,
            ),
            answer=loop.create_future(),
        )
        session.waiting[key] = session.pending[key] = waiting
        session.arrived = loop.time()
        self._start_collecting(session)
        try:
            return await waiting.answer
        finally:
            del session.waiting[key]
            session.pending.pop(key, None)

    def _start_collecting(self, session: Session) -> None:
        if session.collecting is None:
            session.collecting = asyncio.create_task(self._collect(session))

    async def _collect(self, session: Session) -> None:
        """Make batches of what is pending until nothing is."""
        loop = asyncio.get_running_loop()
        try:
            while session.pending:
                while (left := session.arrived + self._quiet - loop.time()) > 0:
                    await asyncio.sleep(left)
                await self._take_up(session)
                if session.pending:
                    await self._submit_some(session)
        except Exception as error:
            session.hand_out(dict.fromkeys(session.pending, error))
        finally:
            session.collecting = None

    async def _take_up(self, session: Session) -> None:
        """Look after batches that another process has left, or waits for, and settle those that have ended."""
        for batch in self._batches.unsettled(
            self._experiment, base_url=self._settings.base_url, model=self._settings.model
        ):
            if batch.tag not in session.watching:
                logger.info("batch %s, which was submitted before, is waited for", batch.id or batch.tag)
                self._watch(session, batch, self._batches.questions(batch.tag))
        for watch in list(session.watching.values()):
            await watch.looked.wait()

    async def _submit_some(self, session: Session) -> None:
        """Submit as much as fits a file and the budget; where nothing does, wait until a batch has ended."""
        if session.one_at_a_time and session.watching:
            await session.one_batch_ends()
            return
        sizes = [size_of_line(waiting.body) for waiting in session.pending.values()]
        chosen = itertools.islice(session.pending.values(), first_file(sizes, most=session.most))
        batch = Batch(experiment=self._experiment, base_url=self._settings.base_url, model=self._settings.model)
        begun = self._batches.begin(batch, [waiting.question for waiting in chosen], max_usd=self._max_usd)
        kept = {key: self._kept(session.pending[key].request, key) for key in begun.kept}
        session.hand_out({key: answer for key, answer in kept.items() if answer is not None})
        for key in begun.elsewhere & session.watched_keys:
            del session.pending[key]
        if begun.questions:
            await self._submit(session, batch, begun.questions)
        elif begun.too_dear and session.watching:
            # Much of the money that is held for them will be free again.
            await session.one_batch_ends()
        else:
            session.hand_out(begun.too_dear)

    async def _submit(self, session: Session, batch: Batch, questions: list[BatchQuestion]) -> None:
        content = b"".join(line_of(asked.request, session.pending[asked.key].body) for asked in questions)
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
        for asked in questions:
            session.pending.pop(asked.key, None)
        self._watch(session, replace(batch, id=batch_id, sent_at=time.time()), questions)

    def _watch(self, session: Session, batch: Batch, questions: list[BatchQuestion]) -> None:
        watch = Watch(batch=batch, questions=questions)
        session.watching[batch.tag] = watch
        task = asyncio.create_task(self._wait_for(session, watch))
        session.tasks.add(task)
        task.add_done_callback(session.tasks.discard)

    async def _wait_for(self, session: Session, watch: Watch) -> None:
        """Wait for a batch, settle it and hand its answers to those who wait for them."""
        tag = watch.batch.tag
        results: Mapping[str, Result]
        try:
            batch_id = watch.batch.id or await self._found(session, watch)
            if batch_id is None:
                results = {asked.key: not_submitted(asked, self._settings) for asked in watch.questions}
            else:
                ended = await session.endpoint.ended(watch.batch, batch_id, looked=watch.looked)
                if ended.status == "failed":
                    results = self._refused(session, watch, ended)
                else:
                    results = self._settle(session, watch, ended, await session.endpoint.lines(ended))
                self._batches.close(tag)
        except Exception as error:
            results = {asked.key: error for asked in watch.questions}
            if not results.keys() & session.waiting.keys():
                logger.warning("batch %s, which nobody waits for: %s", watch.batch.id or tag, error)
        finally:
            del session.watching[tag]
            watch.looked.set()
        session.hand_out(results, watch.questions)
        if session.pending:
            self._start_collecting(session)

    async def _found(self, session: Session, watch: Watch) -> str | None:
        """The id of a batch that may or may not have been submitted; None once it is known that it was not."""
        while (batch := self._batches.batch(watch.batch.tag)) is not None:
            if batch_id := batch.id or await session.endpoint.find(batch):
                self._batches.name(batch.tag, batch_id)
                return batch_id
            # A submission takes one time-out at most, and then a moment until the batch is listed.
            if time.time() > batch.sent_at + 2 * self._settings.timeout_seconds:
                self._batches.drop_unsent(batch)
            else:
                await asyncio.sleep(min(self._poll, self._settings.timeout_seconds))
        return None

    def _refused(self, session: Session, watch: Watch, ended: RemoteBatch) -> dict[str, Result]:
        error = refusal_of(ended, self._settings, self._key)
        if not is_too_large(ended) or len(watch.questions) == 1:
            return {asked.key: error for asked in watch.questions}
        session.most, session.one_at_a_time = max(1, len(watch.questions) // 2), True
        logger.info("%s Going on with %d questions at a time.", error, session.most)
        return {asked.key: Again(tries=asked.tries) for asked in watch.questions}

    def _settle(
        self, session: Session, watch: Watch, ended: RemoteBatch, lines: Mapping[str, Line]
    ) -> dict[str, Result]:
        """Keep the answers with their rows, and say what each question gets."""

        def completion_of(asked: BatchQuestion, answer: Answer) -> Completion:
            waiting = session.waiting.get(asked.key)
            # Where nobody waits, nobody can say whether the answer can be used: whoever asks for it later will.
            begun: Message = {"role": "assistant", "content": asked.beginning}
            return self._read(answer, waiting.request if waiting else Request(messages=(begun,)))

        read = read_ended(
            watch.questions,
            ended,
            lines,
            self._settings,
            experiment=self._experiment,
            key=self._key,
            completion_of=completion_of,
        )
        for start in range(0, len(read.settled), MOST_AT_ONCE):
            self._batches.settle(read.settled[start : start + MOST_AT_ONCE])
        return read.results

    async def _session(self) -> Session:
        loop = asyncio.get_running_loop()
        if loop not in self._sessions:
            opened = self._open(loop)
            (await anext(opened)).until_the_loop_ends = opened
        return self._sessions[loop]

    async def _open(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[Session]:
        """A loop that ends closes the generators that were begun in it, while connections can still be closed."""
        client = self._client()
        endpoint = BatchEndpoint(
            client,
            self._settings,
            key=self._key,
            headers=self._headers,
            poll_seconds=self._poll,
            backoff_seconds=self._backoff,
            patience_seconds=self._patience,
        )
        self._sessions[loop] = Session(endpoint=endpoint)
        try:
            yield self._sessions[loop]
        finally:
            del self._sessions[loop]
            await client.close()
