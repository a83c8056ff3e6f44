"""A stand-in for an OpenAI-compatible endpoint: the protocol over real HTTP, and what it counts.

Goes in: request and response shapes of OpenAI and OpenRouter. Stays out: what is answered (openai_answers.py), what
goes wrong (openai_faults.py).

    fake = FakeOpenAI(key="sk-1", faults=in_turn(turned_away(429, retry_after=0.3)))
    with served(fake.app) as address:
        ...  # base_url=f"{address}/v1"
    assert fake.requests == 2
"""

import asyncio
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from baez_pipeline_tests.openai_answers import Body, answer, log_probabilities, tokens, tokens_of_prompt
from baez_pipeline_tests.openai_faults import Exchange, Faults, Usage


@dataclass(kw_only=True)
class FakeOpenAI:
    """POST /v1/chat/completions and GET /v1/models. Everything can be read and changed while it is served."""

    key: str | None = None
    """The only one that is accepted; None: none is asked for."""
    models: tuple[str, ...] = ("fake-1",)
    dialect: Literal["openai", "openrouter"] = "openai"
    answer: Callable[[Body], str] = answer
    faults: Faults = field(default=lambda *_: None)
    delay_seconds: float = 0.0
    bodies: list[Body] = field(default_factory=list)
    """Of every request for a completion, in the order of arrival; without keys."""
    with_key: list[bool] = field(default_factory=list)
    """Whether each of them had an Authorization header."""
    arrived: list[float] = field(default_factory=list)
    """When each of them came, seconds on `time.time`'s clock."""
    answered: list[Usage] = field(default_factory=list)
    """Of answers that were sent whole, with their usage."""
    lost: list[Usage] = field(default_factory=list)
    """Of answers that are billed but whose usage never arrived."""
    most_in_flight: int = 0
    _in_flight: int = 0
    _system_messages: set[str] = field(default_factory=set)

    @property
    def app(self) -> Starlette:
        """For `served`."""
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._completions, methods=["POST"]),
                Route("/v1/models", self._models),
            ]
        )

    @property
    def requests(self) -> int:
        """How many asked for a completion, well or badly."""
        return len(self.bodies)

    def usd(self, *, per_million_in: float, per_million_out: float, per_million_cached: float | None = None) -> float:
        """The bill, lost answers included."""
        cached_price = per_million_in if per_million_cached is None else per_million_cached
        return (
            sum(
                (usage.tokens_in - usage.cached) * per_million_in
                + usage.cached * cached_price
                + usage.tokens_out * per_million_out
                for usage in self.answered + self.lost
            )
            / 1_000_000
        )

    async def _models(self, request: Request) -> Response:
        known = [{"id": name, "object": "model", "created": 0, "owned_by": "nobody"} for name in self.models]
        return self._shut_out(request) or JSONResponse({"object": "list", "data": known})

    async def _completions(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(copy.deepcopy(body))
        self.with_key.append("authorization" in request.headers)
        self.arrived.append(time.time())
        number = len(self.bodies)
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            return self._shut_out(request, body["model"]) or await self._respond(number, body, request)
        finally:
            self._in_flight -= 1

    def _shut_out(self, request: Request, model: str | None = None) -> Response | None:
        exchange = Exchange(request=request, completion={})
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            return exchange.error(401, "Incorrect API key provided.", "invalid_api_key")
        if model is None or model in self.models:
            return None
        if self.dialect == "openrouter":
            return exchange.error(400, f"{model} is not a valid model ID", 400)
        return exchange.error(404, f"The model `{model}` does not exist.", "model_not_found")

    async def _respond(self, number: int, body: Body, request: Request) -> Response:
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        exchange = Exchange(request=request, completion=self._completion(number, body))
        fault = self.faults(number, body)
        bill = fault.bill if fault else "answered"
        if bill == "answered" and await request.is_disconnected():
            bill = "lost"
        if bill != "turned away":
            (self.answered if bill == "answered" else self.lost).append(exchange.usage())
        return await fault.respond(exchange) if fault else JSONResponse(exchange.completion)

    def _completion(self, number: int, body: Body) -> dict[str, Any]:
        said = tokens(self.answer(body))
        limit = body.get("max_tokens", body.get("max_completion_tokens"))
        content = "".join(said[:limit])
        system = "".join(message["content"] for message in body["messages"] if message["role"] == "system")
        cached = len(tokens(system)) if system in self._system_messages else 0
        self._system_messages.add(system)
        tokens_in, tokens_out = tokens_of_prompt(body), len(said[:limit])
        logprobs = log_probabilities(content, body.get("top_logprobs", 0)) if body.get("logprobs") else None
        return {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": content, "refusal": None},
                    "finish_reason": "stop" if tokens_out == len(said) else "length",
                    "logprobs": logprobs,
                }
            ],
            "usage": {
                "prompt_tokens": tokens_in,
                "completion_tokens": tokens_out,
                "total_tokens": tokens_in + tokens_out,
                "prompt_tokens_details": {"cached_tokens": cached},
            },
        }
