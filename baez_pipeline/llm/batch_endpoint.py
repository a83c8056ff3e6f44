"""The requests of OpenAI's Batch API: upload, submit, find again, wait, download.

Goes in: one method per request, each with its own way to fail. Stays out: questions, money, the database
(batch_chat.py).
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import openai
from openai.types import Batch as RemoteBatch

from baez_pipeline.answers.batches import Batch
from baez_pipeline.errors import AccessError, ServiceError
from baez_pipeline.experiment import HttpModel
from baez_pipeline.llm.batch_lines import CHAT, WINDOW, Line, read_lines
from baez_pipeline.llm.trouble import OddAnswerError, Trouble, trouble_of

logger = logging.getLogger(__name__)

TAG = "baez_batch"
"""The field of a batch's metadata that holds our name for it."""
ENDED = ("completed", "failed", "expired", "cancelled")
LONGEST_BACKOFF = 60.0
CLOCKS_APART = 24 * 3600.0
"""Seconds that an endpoint's clock may be behind ours before a batch is not found by its tag."""

Result = TypeVar("Result")


class BatchEndpoint:
    """An endpoint with a Batch API, for one event loop."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        settings: HttpModel,
        *,
        key: str | None,
        headers: dict[str, Any],
        poll_seconds: float,
        backoff_seconds: float,
        patience_seconds: float,
    ) -> None:
        """Nothing is sent yet.

        Args:
            client: without retries of its own.
            settings: model, endpoint, limits.
            key: which must not be repeated in a message.
            headers: of every request.
            poll_seconds: between two looks at a batch.
            backoff_seconds: first wait after a failed try; doubled with each, up to a minute.
            patience_seconds: for which an endpoint that has a batch may be out of reach.
        """
        self._client = client
        self._settings = settings
        self._key = key
        self._headers = headers
        self._poll = poll_seconds
        self._backoff = backoff_seconds
        self._patience = patience_seconds

    async def upload(self, content: bytes) -> str:
        """The id of a file of questions.

        Raises:
            AccessError: the endpoint refuses the key, or has no Batch API.
            ServiceError: it refuses the file, or cannot be reached.
        """

        async def call() -> str:
            file = await self._client.files.create(
                file=("questions.jsonl", content), purpose="batch", extra_headers=self._headers
            )
            if not isinstance(getattr(file, "id", None), str):
                raise OddAnswerError(f"found no file id: {str(file)[:100]!r}")
            return file.id

        return await self._repeat(
            call,
            self._often_enough,
            "No batch was submitted; run again to ask.",
            not_found=f"{self._settings.base_url} has no Batch API (404 for /files): set mode to requests, or check "
            "base_url in the experiment file.",
        )

    async def submit(self, file_id: str, tag: str) -> str | None:
        """The id of the batch that answers a file; None if the endpoint may or may not have it.

        Raises:
            AccessError: the endpoint refuses key, credit or model.
            ServiceError: it refuses the batch, or cannot be reached.
        """

        async def call() -> str | None:
            try:
                async with asyncio.timeout(self._settings.timeout_seconds):
                    batch = await self._client.batches.create(
                        input_file_id=file_id,
                        endpoint=CHAT,
                        completion_window=WINDOW,
                        metadata={TAG: tag},
                        extra_headers=self._headers,
                    )
                return _checked(batch).id
            except Exception as error:
                refused = isinstance(error, openai.APIStatusError) and error.status_code < 500
                if refused or trouble_of(error, self._settings, self._key).unreachable:
                    raise
                logger.info("the submission of a batch was not confirmed (%s): looking for it", type(error).__name__)
                return None

        return await self._repeat(call, self._often_enough, "The batch was not submitted; run again to ask.")

    async def find(self, batch: Batch) -> str | None:
        """The id of a batch by its tag; None if the endpoint does not list it.

        Raises:
            AccessError: the endpoint refuses the key.
            ServiceError: it cannot be reached.
        """

        async def call() -> str | None:
            # Newest first, page by page.
            async for found in self._client.batches.list(limit=100, extra_headers=self._headers):
                if (found.metadata or {}).get(TAG) == batch.tag:
                    return found.id
                if found.created_at < batch.sent_at - CLOCKS_APART:
                    return None
            return None

        return await self._repeat(call, self._long_enough, "A new run looks for the batch again.")

    async def ended(self, batch: Batch, batch_id: str, *, looked: asyncio.Event) -> RemoteBatch:
        """Wait until a batch has ended, well or badly.

        Args:
            batch: the batch.
            batch_id: its id.
            looked: set as soon as it is known that it goes on.

        Raises:
            AccessError: the endpoint refuses the key, or does not know the batch.
            ServiceError: it cannot be reached for too long. The batch goes on.
        """
        counts = None

        async def call() -> RemoteBatch:
            async with asyncio.timeout(self._settings.timeout_seconds):
                return _checked(await self._client.batches.retrieve(batch_id, extra_headers=self._headers))

        while True:
            found = await self._repeat_with_batch(call, batch_id)
            if found.request_counts is not None and found.request_counts != counts:
                counts = found.request_counts
                minutes = (time.time() - batch.sent_at) / 60
                logger.info(
                    "batch %s: %d of %d answered, %d failed, %.0f min",
                    *(batch_id, counts.completed, counts.total, counts.failed, minutes),
                )
            if found.status in ENDED:
                return found
            looked.set()
            await asyncio.sleep(self._poll)

    async def lines(self, ended: RemoteBatch) -> dict[str, Line]:
        """All answers and errors of a batch by custom_id.

        Raises:
            AccessError: the endpoint refuses the key, or does not have the files any more.
            ServiceError: it cannot be reached for too long.
        """
        lines: dict[str, Line] = {}
        for file_id in filter(None, (ended.output_file_id, ended.error_file_id)):

            async def call(file_id: str = file_id) -> bytes:
                return (await self._client.files.content(file_id, extra_headers=self._headers)).content

            lines = read_lines(await self._repeat_with_batch(call, ended.id)) | lines
        return lines

    async def _repeat_with_batch(self, call: Callable[[], Awaitable[Result]], batch_id: str) -> Result:
        return await self._repeat(
            call,
            self._long_enough,
            f"Batch {batch_id} goes on by itself, and a new run takes up its answers.",
            not_found=f"{self._settings.base_url} does not know batch {batch_id}, which was submitted there, or has "
            "not kept its files. Use the key that it was submitted with, or set mode to requests to ask anew.",
        )

    async def _repeat(
        self,
        call: Callable[[], Awaitable[Result]],
        enough: Callable[[int, float], bool],
        hint: str,
        *,
        not_found: str | None = None,
    ) -> Result:
        """Call again, after longer and longer waits, until it succeeds or was tried enough (tries, seconds)."""
        loop = asyncio.get_running_loop()
        tries, failing_since = 0, None
        while True:
            tries += 1
            try:
                return await call()
            except Exception as error:
                failure = error
            # Not while it is handled: what a traceback then shows before ours may repeat the key.
            if not_found and isinstance(failure, openai.NotFoundError):
                raise AccessError(not_found)
            trouble = trouble_of(failure, self._settings, self._key)
            failing_since = loop.time() if failing_since is None else failing_since
            if not trouble.again or enough(tries, loop.time() - failing_since):
                raise ServiceError(
                    f"The Batch API of {self._settings.base_url} failed {tries} times, at last with: {trouble.detail}. "
                    f"{hint}"
                )
            await self._wait(trouble, tries)

    async def _wait(self, trouble: Trouble, tries: int) -> None:
        backoff = min(LONGEST_BACKOFF, self._backoff * 2 ** min(tries - 1, 16)) * random.uniform(0.75, 1.25)
        wait = backoff if trouble.wait is None else trouble.wait
        logger.info("%s; again in %.1f s", trouble.detail, wait)
        await asyncio.sleep(wait)

    def _often_enough(self, tries: int, _: float) -> bool:
        return tries >= self._settings.tries

    def _long_enough(self, _: int, seconds: float) -> bool:
        return seconds >= self._patience


def _checked(batch: object) -> RemoteBatch:
    if not isinstance(batch, RemoteBatch) or not isinstance(getattr(batch, "id", None), str):
        raise OddAnswerError(f"found no batch: {str(batch)[:100]!r}")
    return batch
