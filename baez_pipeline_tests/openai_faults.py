"""What can go wrong between a client and an endpoint, one fault per function.

Goes in: faults of OpenAI, OpenRouter and the network. Stays out: the server (openai_server.py).
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from baez_pipeline_tests.openai_answers import Body


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens of one answer."""

    tokens_in: int
    cached: int
    tokens_out: int


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request with the completion that it would get."""

    request: Request
    completion: dict[str, Any]

    def error(self, status: int, message: str, code: str | int | None = None, **headers: str) -> Response:
        """An error in OpenAI's shape. Like some endpoints, it repeats the key that it was sent."""
        message = f"{message} Authorization was: {self.request.headers.get('authorization')}"
        error = {"message": message, "type": "error", "param": None, "code": code}
        return JSONResponse({"error": error}, status_code=status, headers=headers)

    def usage(self) -> Usage:
        """What the completion is billed by."""
        billed = self.completion["usage"]
        cached = billed["prompt_tokens_details"]["cached_tokens"]
        return Usage(tokens_in=billed["prompt_tokens"], cached=cached, tokens_out=billed["completion_tokens"])


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong.

    `answered`: the completion arrives and is billed. `lost`: it is billed and does not arrive. `turned away`: no bill.
    """

    respond: Callable[[Exchange], Awaitable[Response]]
    bill: Literal["answered", "lost", "turned away"]


Faults = Callable[[int, Body], Fault | None]
"""Number of the request, from 1, and its body -> what goes wrong with it."""


def in_turn(*faults: Fault | None) -> Faults:
    """One fault per request, in the order in which they arrive; later requests are answered well."""
    return lambda number, _: faults[number - 1] if number <= len(faults) else None


def always(fault: Fault) -> Faults:
    """The same for every request."""
    return lambda *_: fault


def turned_away(
    status: int,
    message: str = "Not now.",
    code: str | None = None,
    *,
    retry_after: float | None = None,
    as_date: bool = False,
) -> Fault:
    """An error status; `retry_after` in seconds, or as the HTTP date, of whole seconds, that is so far away."""

    async def respond(exchange: Exchange) -> Response:
        if retry_after is None:
            return exchange.error(status, message, code)
        wait = formatdate(time.time() + retry_after, usegmt=True) if as_date else f"{retry_after:g}"
        return exchange.error(status, message, code, **{"Retry-After": wait})

    return Fault(respond=respond, bill="turned away")


def error_with_200(status: int = 502) -> Fault:
    """OpenRouter's way to report that the provider behind it failed."""

    async def respond(exchange: Exchange) -> Response:
        error = json.loads(exchange.error(status, "Provider returned error.", status).body)
        return JSONResponse(error)

    return Fault(respond=respond, bill="turned away")


def hangs() -> Fault:
    """No answer until the client gives up."""

    async def respond(exchange: Exchange) -> Response:
        while not await exchange.request.is_disconnected():
            await asyncio.sleep(0.01)
        return Response()

    return Fault(respond=respond, bill="lost")


def drips() -> Fault:
    """White space without end instead of an answer, so that no time-out between two bytes is ever reached."""

    async def pieces(exchange: Exchange) -> AsyncIterator[str]:
        while not await exchange.request.is_disconnected():
            yield "\n"
            await asyncio.sleep(0.02)

    async def respond(exchange: Exchange) -> Response:
        return StreamingResponse(pieces(exchange), media_type="application/json")

    return Fault(respond=respond, bill="lost")


def cut() -> Fault:
    """The connection ends in the middle of the body."""

    async def half(text: str) -> AsyncIterator[str]:
        yield text[: len(text) // 2]
        # The server closes the connection of a response that is shorter than it was said to be.
        raise ConnectionAbortedError

    async def respond(exchange: Exchange) -> Response:
        text = json.dumps(exchange.completion)
        headers = {"Content-Length": str(len(text.encode()))}
        return StreamingResponse(half(text), media_type="application/json", headers=headers)

    return Fault(respond=respond, bill="lost")


def truncated_json() -> Fault:
    """A whole response with status 200 whose body is half a JSON document."""

    async def respond(exchange: Exchange) -> Response:
        text = json.dumps(exchange.completion)
        return Response(text[: len(text) // 2], media_type="application/json")

    return Fault(respond=respond, bill="lost")


def instead(body: str, *, status: int = 200, media_type: str = "application/json") -> Fault:
    """Any other response."""

    async def respond(_: Exchange) -> Response:
        return Response(body, status_code=status, media_type=media_type)

    return Fault(respond=respond, bill="lost")


def says(content: str | None, *, refusal: str | None = None, finish_reason: str = "stop") -> Fault:
    """A completion with this content in place of the right one."""

    async def respond(exchange: Exchange) -> Response:
        choice = {"index": 0, "finish_reason": finish_reason, "logprobs": None}
        message = {"role": "assistant", "content": content, "refusal": refusal}
        return JSONResponse({**exchange.completion, "choices": [choice | {"message": message}]})

    return Fault(respond=respond, bill="answered")


def altered(**fields: Any) -> Fault:
    """A completion with these fields in place of the right ones; nobody can read its bill."""

    async def respond(exchange: Exchange) -> Response:
        return JSONResponse({**exchange.completion, **fields})

    return Fault(respond=respond, bill="lost")


REFUSED = says(None, refusal="I will not answer that.")
FILTERED = says("", finish_reason="content_filter")
EMPTY = says("")
TOO_LONG = says("One thing is in all of", finish_reason="length")
