"""A stand-in for Neuronpedia's two NLA services: their protocols over real HTTP, what they count, and their faults.

Goes in: POST /api/nla/explain as the public site has it, POST /explain and /describe as the server that one runs
oneself. Shapes, limits and error bodies follow the services' own source.

    fake = FakeNla(bos="always", faults=in_turn(turned_away(429, retry_after=1)))
    with served(Starlette(routes=fake.routes())) as address:
        ...  # base_url=f"{address}/api", or address for the server that one runs oneself
    assert fake.requests == 2
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from baez_pipeline_tests.neuronpedia_server import BOS, THEMES

MOST_CHARACTERS = 16_384
REQUESTS_PER_HOUR = 120
_PIECES = re.compile(r"<bos>|<eos>|<start_of_turn>|<end_of_turn>|\n| ?\w+| ?[^\w\s]|\s")


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request with the answer that it would get."""

    request: Request
    answer: dict[str, Any]


Fault = Callable[[Exchange], Awaitable[Response]]
Faults = Callable[[int], Fault | None]
"""Number of the request, from 1 -> what goes wrong with it."""


def in_turn(*faults: Fault | None) -> Faults:
    """One fault per request, in the order in which they arrive; later requests are answered well."""
    return lambda number: faults[number - 1] if number <= len(faults) else None


def always(fault: Fault) -> Faults:
    """The same for every request."""
    return lambda _: fault


def turned_away(status: int, error: str = "Not now.", *, retry_after: int | None = None) -> Fault:
    """An error status, with the header Retry-After in seconds or without. It repeats the key that it was sent."""

    async def respond(exchange: Exchange) -> Response:
        sent = exchange.request.headers
        key = sent.get("x-secret-key") or sent.get("x-api-key") or ""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        return JSONResponse({"error": f"{error} {key}".strip()}, status_code=status, headers=headers)

    return respond


def hangs() -> Fault:
    """No answer until the client gives up."""

    async def respond(exchange: Exchange) -> Response:
        while not await exchange.request.is_disconnected():
            await asyncio.sleep(0.01)
        return Response()

    return respond


def cut() -> Fault:
    """The connection ends in the middle of the body."""

    async def half(text: str) -> AsyncIterator[str]:
        yield text[: len(text) // 2]
        # The server closes the connection of a response that is shorter than it was said to be.
        raise ConnectionAbortedError

    async def respond(exchange: Exchange) -> Response:
        text = json.dumps(exchange.answer)
        headers = {"Content-Length": str(len(text.encode()))}
        return StreamingResponse(half(text), media_type="application/json", headers=headers)

    return respond


def with_fields(**changed: Any) -> Fault:
    """A right answer with other values in each result, such as description="" or mse=nan; None takes a field out."""

    async def respond(exchange: Exchange) -> Response:
        results = [{**result, **changed} for result in exchange.answer["results"]]
        results = [{name: value for name, value in result.items() if value is not None} for result in results]
        return _json({**exchange.answer, "results": results})

    return respond


def with_answer(**changed: Any) -> Fault:
    """A right answer with other values beside or in place of its results, such as results=[] or layer_index=0."""

    async def respond(exchange: Exchange) -> Response:
        return _json({**exchange.answer, **changed})

    return respond


def pieces(text: str) -> list[str]:
    """Words with their leading space, punctuation and newlines alone, special tokens whole."""
    return _PIECES.findall(text)


def splitting(*words: str) -> Callable[[str], list[str]]:
    """A tokenizer of another mind: these pieces are two."""

    halves = {word: [word[: len(word) // 2], word[len(word) // 2 :]] for word in words}
    return lambda text: [half for piece in pieces(text) for half in halves.get(piece, [piece])]


def joining(*words: str) -> Callable[[str], list[str]]:
    """A tokenizer of another mind: each of these pieces is one with the piece before it."""

    def tokenise(text: str) -> list[str]:
        found: list[str] = []
        for piece in pieces(text):
            if piece in words and found:
                found[-1] += piece
            else:
                found.append(piece)
        return found

    return tokenise


@dataclass(kw_only=True)
class FakeNla:
    """Both services over one NLA. The public one never shows why its GPU server refused, as the real one."""

    layer: int = 41
    bos: Literal["always", "unless it begins so", "never"] = "unless it begins so"
    tokenise: Callable[[str], list[str]] = pieces
    secret: str | None = None
    d_model: int = 4
    left_this_hour: int | None = None
    """Requests that the public service still allows; None = it does not count."""
    faults: Faults = lambda _: None
    on_request: Callable[[], None] = lambda: None
    requests: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def routes(self) -> list[Route]:
        """Of both services, to be served alone or beside others."""
        return [
            Route("/api/nla/explain", self._public, methods=["POST"]),
            Route("/explain", self._explain, methods=["POST"]),
            Route("/describe", self._describe, methods=["POST"]),
        ]

    async def _public(self, request: Request) -> Response:
        body = await self._arrived(request)
        headers = {}
        if self.left_this_hour is not None:
            if self.left_this_hour == 0:
                return _limited()
            self.left_this_hour -= 1
            headers["x-limit-remaining"] = str(self.left_this_hour)
        if len(body["text"].encode("utf-16-le")) // 2 > MOST_CHARACTERS:
            return _error(f"text must be {MOST_CHARACTERS} characters or less", 400)
        if not body["positions"] or not all(isinstance(p, int) and p >= 0 for p in body["positions"]):
            return _error("positions must contain non-negative integers", 400)
        tokens = self._tokens(body["text"])
        if max(body["positions"]) >= len(tokens):
            return _error("NLA server error: 400", 400)
        answer = {**self._explained(tokens, body["positions"]), "prompt_length": len(tokens), "cacheId": "cm1"}
        response = await self._respond(request, answer)
        response.headers.update(headers)
        return response

    async def _explain(self, request: Request) -> Response:
        body = await self._arrived(request)
        if refused := self._refused(request):
            return refused
        tokens = self._tokens(body["text"])
        for position in body["positions"]:
            if not -len(tokens) <= position < len(tokens):
                said = f"Position {position} out of range (0..{len(tokens) - 1})"
                return JSONResponse({"detail": said}, status_code=400)
        return await self._respond(request, self._explained(tokens, [p % len(tokens) for p in body["positions"]]))

    async def _describe(self, request: Request) -> Response:
        body = await self._arrived(request)
        if refused := self._refused(request):
            return refused
        vectors = body["activations"]
        for vector in vectors:
            if len(vector) != self.d_model:
                said = f"Vector length {len(vector)} != d_model {self.d_model}"
                return JSONResponse({"detail": said}, status_code=400)
        results = [
            {"description": prose(list(THEMES)[vector.index(max(vector)) % len(THEMES)], "the"), **_SCORES}
            for vector in vectors
        ]
        return await self._respond(request, {"results": results})

    async def _arrived(self, request: Request) -> dict[str, Any]:
        self.requests += 1
        self.on_request()
        self.bodies.append(await request.json())
        self.headers.append(dict(request.headers))
        return self.bodies[-1]

    def _refused(self, request: Request) -> Response | None:
        sent = request.headers.get("x-secret-key")
        if self.secret is None or sent == self.secret:
            return None
        said = "X-SECRET-KEY header required" if sent is None else f"Invalid secret key {sent}"
        return JSONResponse({"detail": said}, status_code=401 if sent is None else 403)

    def _tokens(self, text: str) -> list[str]:
        tokens = self.tokenise(text)
        adds = self.bos == "always" or (self.bos == "unless it begins so" and not text.startswith(BOS))
        return [BOS, *tokens] if adds else tokens

    def _explained(self, tokens: list[str], positions: Sequence[int]) -> dict[str, Any]:
        results = [
            {
                "token": tokens[position],
                "token_id": sum(map(ord, tokens[position])),
                "position": position,
                "l2_norm": 50_000.0 + position,
                "description": prose("".join(tokens[: position + 1]), tokens[position]),
                **_SCORES,
            }
            for position in positions
        ]
        return {"layer_index": self.layer, "results": results}

    async def _respond(self, request: Request, answer: dict[str, Any]) -> Response:
        fault = self.faults(self.requests)
        return await fault(Exchange(request=request, answer=answer)) if fault else _json(answer)


class Stand:
    """One server for many tests, each of which puts its own service there."""

    fake: FakeNla

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Starlette(routes=self.fake.routes())(scope, receive, send)


_SCORES = {"mse": 0.011, "cosine_similarity": 0.9945}


def prose(text: str, token: str) -> str:
    """Three paragraphs about the last document of a text, in the manner of the released verbalizers."""
    words = re.findall(r"[^\W\d_]{4,}", text.rpartition(BOS)[2].lower()) or ["nothing"]
    vocabulary = {word: theme for theme, listed in THEMES.items() for word in [theme, *listed.split()]}
    themes = Counter(vocabulary[word] for word in words if word in vocabulary).most_common(1)
    theme = themes[0][0] if themes else words[-1]
    named = [word for word in dict.fromkeys(words) if vocabulary.get(word) == theme] or [words[0]]
    wording = " ".join(text.replace(BOS, " ").split()[-6:])
    return "\n\n".join(
        [
            f"Descriptive prose format: a factual passage about {theme}, with {' and '.join(named[:3])}, calmly told.",
            f'The wording "{wording}" signals a sentence about {theme}, whose details are about to be given.',
            f'Final token "{token.strip()}" continues a phrase about {theme}, strongly expecting a noun or a clause '
            f'such as "{named[-1]}" or "and the {named[0]}".',
        ]
    )


def _json(answer: dict[str, Any]) -> Response:
    """With NaN where there is one, which is no JSON; some servers of Python write it."""
    return Response(json.dumps(answer), media_type="application/json")


def _error(said: str, status: int) -> Response:
    return JSONResponse({"error": said}, status_code=status)


def _limited() -> Response:
    body = {
        "endpoint": "/api/nla/explain",
        "limitPerWindow": REQUESTS_PER_HOUR,
        "requestWindow": "60 m",
        "remainingRequests": 0,
        "error": "Rate limit exceeded for this endpoint.",
    }
    return JSONResponse(body, status_code=429)
