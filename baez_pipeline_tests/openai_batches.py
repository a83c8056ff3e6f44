"""A stand-in for OpenAI's Batch API over the answers of FakeOpenAI, and what goes wrong with it.

Goes in: files, batches, their ends and faults. Stays out: completions (openai_server.py), which each line is sent to
over HTTP, so that their faults are faults of lines.

    fake = FakeBatches(openai=FakeOpenAI(), faults=[expires(answered=3)])
    with served(fake.app) as address:
        ...  # base_url=f"{address}/v1"
    assert len(fake.batches) == 2
"""

import asyncio
import itertools
import json
import math
import time
from dataclasses import dataclass, field
from email import message_from_bytes
from typing import Any, Literal

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from baez_pipeline_tests.openai_faults import Exchange
from baez_pipeline_tests.openai_server import FakeOpenAI

NOT_RUN = {"expired": "batch_expired", "cancelled": "batch_cancelled"}


@dataclass(frozen=True, kw_only=True)
class BatchFault:
    """How a batch ends."""

    status: Literal["failed", "expired", "cancelled", "completed"]
    errors: tuple[dict[str, Any], ...] = ()
    answered: int | None = None
    """Lines that are run; None: all."""
    left_out: int = 0
    """Lines that are run, and are in no file."""


def refused(code: str, message: str, line: int | None = None) -> BatchFault:
    """It does not pass validation."""
    return BatchFault(status="failed", errors=({"code": code, "message": message, "line": line, "param": None},))


def expires(*, answered: int) -> BatchFault:
    """24 h are over before all lines were run."""
    return BatchFault(status="expired", answered=answered)


def is_cancelled(*, answered: int) -> BatchFault:
    """Somebody cancels it."""
    return BatchFault(status="cancelled", answered=answered)


def leaves_out(lines: int) -> BatchFault:
    """Its files do not hold all answers."""
    return BatchFault(status="completed", left_out=lines)


@dataclass(kw_only=True)
class _Batch:
    number: int
    lines: list[dict[str, Any]]
    metadata: dict[str, str]
    status: str = "validating"
    output: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    going_on: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def run(self) -> int:
        return len(self.output) + len(self.errors)


@dataclass(kw_only=True)
class FakeBatches:
    """The routes of files and batches. Everything can be read and changed while it is served."""

    openai: FakeOpenAI
    faults: list[BatchFault | None] = field(default_factory=list)
    """Of one batch after the other; later ones end well."""
    looks: int = 2
    """At a batch until it has ended; part of its lines is run at each."""
    stands_still: bool = False
    """No batch goes on."""
    submissions: list[Literal["made", "made, not confirmed", "not made", "error, but made"]] = field(
        default_factory=list
    )
    """What becomes of one submission after the other; later ones are made."""
    statuses: list[int] = field(default_factory=list)
    """HTTP errors of one look at a batch, or at a file's content, after the other; later ones go well."""
    batches: list[_Batch] = field(default_factory=list)
    files: list[bytes] = field(default_factory=list)
    looked: int = 0
    """How often a client has looked at a batch, well or badly."""

    @property
    def app(self) -> Starlette:
        """For `served`; answers single requests, too."""
        return Starlette(
            routes=[
                Route("/v1/files", self._upload, methods=["POST"]),
                Route("/v1/files/{file}/content", self._content),
                Route("/v1/batches", self._submit, methods=["POST"]),
                Route("/v1/batches", self._list),
                Route("/v1/batches/{batch}", self._look),
                *self.openai.app.routes,
            ]
        )

    @property
    def questions(self) -> int:
        """In all batches."""
        return sum(len(batch.lines) for batch in self.batches)

    async def _upload(self, request: Request) -> Response:
        if shut_out := self._shut_out(request):
            return shut_out
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        parts = {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
            for part in message_from_bytes(head + await request.body()).get_payload()
        }
        assert parts["purpose"] == b"batch"
        self.files.append(parts["file"])
        return JSONResponse(
            {
                "id": f"file-{len(self.files)}",
                "object": "file",
                "bytes": len(parts["file"]),
                "created_at": int(time.time()),
                "filename": "questions.jsonl",
                "purpose": "batch",
                "status": "processed",
            }
        )

    async def _submit(self, request: Request) -> Response:
        asked = await request.json()
        assert (asked["endpoint"], asked["completion_window"]) == ("/v1/chat/completions", "24h")
        fate = self.submissions.pop(0) if self.submissions else "made"
        if fate != "not made":
            uploaded = self.files[int(asked["input_file_id"].removeprefix("file-")) - 1]
            lines = [json.loads(line) for line in uploaded.splitlines()]
            assert len({line["custom_id"] for line in lines}) == len(lines)
            assert all((line["method"], line["url"]) == ("POST", "/v1/chat/completions") for line in lines)
            self.batches.append(_Batch(number=len(self.batches) + 1, lines=lines, metadata=asked.get("metadata", {})))
        if fate == "made":
            return JSONResponse(self._shown(self.batches[-1]))
        if fate == "error, but made":
            return Exchange(request=request, completion={}).error(500, "Not now.")
        while not await request.is_disconnected():
            await asyncio.sleep(0.01)
        return Response()

    async def _list(self, request: Request) -> Response:
        newest_first = [self._shown(batch) for batch in reversed(self.batches)]
        after = request.query_params.get("after")
        if after:
            newest_first = list(itertools.dropwhile(lambda batch: batch["id"] != after, newest_first))[1:]
        # Two to a page, whatever is asked for: whoever looks for one has to turn pages.
        return JSONResponse({"object": "list", "data": newest_first[:2], "has_more": len(newest_first) > 2})

    async def _look(self, request: Request) -> Response:
        self.looked += 1
        if failed := self._shut_out(request) or self._fails(request):
            return failed
        number = int(request.path_params["batch"].removeprefix("batch_"))
        if number > len(self.batches):
            return Exchange(request=request, completion={}).error(404, "No such batch.")
        batch = self.batches[number - 1]
        shown = self._shown(batch)
        async with batch.going_on:
            if not self.stands_still and batch.status in ("validating", "in_progress"):
                await self._go_on(batch, request)
        return JSONResponse(shown)

    async def _go_on(self, batch: _Batch, request: Request) -> None:
        batch.status = "in_progress"
        fault = self._fault(batch)
        if fault and fault.status == "failed":
            batch.status = "failed"
            return
        to_run = len(batch.lines) if fault is None or fault.answered is None else fault.answered
        until = min(to_run, batch.run + math.ceil(len(batch.lines) / self.looks))
        for line in batch.lines[batch.run : until]:
            await self._run(batch, line, request)
        if batch.run >= to_run:
            self._end(batch, fault)

    async def _run(self, batch: _Batch, line: dict[str, Any], request: Request) -> None:
        headers = {name: value for name, value in request.headers.items() if name == "authorization"}
        transport = httpx.ASGITransport(app=self.openai.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://itself") as client:
            response = await client.post(line["url"], json=line["body"], headers=headers)
        answer = {"status_code": response.status_code, "request_id": "r", "body": response.json()}
        text = json.dumps({"id": "r", "custom_id": line["custom_id"], "response": answer, "error": None})
        (batch.output if response.status_code == 200 else batch.errors).append(text)

    def _end(self, batch: _Batch, fault: BatchFault | None) -> None:
        batch.status = fault.status if fault else "completed"
        for line in batch.lines[batch.run :]:
            error = {"code": NOT_RUN[batch.status], "message": "It was not executed."}
            ended = {"id": "r", "custom_id": line["custom_id"], "response": None, "error": error}
            batch.errors.append(json.dumps(ended))
        del batch.output[: fault.left_out if fault else 0]
        # Not in the order of the questions, which nobody has promised.
        batch.output.reverse()

    async def _content(self, request: Request) -> Response:
        if failed := self._shut_out(request) or self._fails(request):
            return failed
        kind, _, number = request.path_params["file"].partition("-")
        batch = self.batches[int(number) - 1]
        return Response("\n".join(batch.output if kind == "output" else batch.errors) + "\n")

    def _shown(self, batch: _Batch) -> dict[str, Any]:
        ended = batch.status in ("completed", "expired", "cancelled")
        fault = self._fault(batch)
        failed = len(batch.errors)
        return {
            "id": f"batch_{batch.number}",
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "errors": {"object": "list", "data": fault.errors} if fault and batch.status == "failed" else None,
            "input_file_id": f"file-{batch.number}",
            "completion_window": "24h",
            "status": batch.status,
            "output_file_id": f"output-{batch.number}" if ended and batch.output else None,
            "error_file_id": f"errors-{batch.number}" if ended and batch.errors else None,
            "created_at": int(time.time()),
            "request_counts": {"total": len(batch.lines), "completed": len(batch.output), "failed": failed},
            "metadata": batch.metadata,
        }

    def _fault(self, batch: _Batch) -> BatchFault | None:
        return self.faults[batch.number - 1] if batch.number <= len(self.faults) else None

    def _fails(self, request: Request) -> Response | None:
        if not self.statuses:
            return None
        return Exchange(request=request, completion={}).error(self.statuses.pop(0), "Not now.")

    def _shut_out(self, request: Request) -> Response | None:
        if self.openai.key is None or request.headers.get("authorization") == f"Bearer {self.openai.key}":
            return None
        return Exchange(request=request, completion={}).error(401, "Incorrect API key provided.", "invalid_api_key")
