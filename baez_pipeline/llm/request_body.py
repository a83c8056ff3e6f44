"""A question as OpenAI's interface has it."""

from collections.abc import Mapping, Sequence
from typing import Any

from baez_pipeline.experiment import HttpJudge, HttpModel
from baez_pipeline.llm.chat import Message, Request

ALTERNATIVES = 5
"""Log-probabilities per token: delphi's number, and the most that some endpoints give."""


def request_body(settings: HttpModel, messages: Sequence[Message], request: Request) -> dict[str, Any]:
    """The body of a request to /chat/completions: what is sent, and so what an answer depends on.

    No seed is sent: endpoints that do not know the field refuse it, and a kept answer is repeatable without one.
    """
    body: dict[str, Any] = {"model": settings.model, "messages": list(messages)}
    body[settings.max_tokens_field] = request.max_tokens
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.stop:
        body["stop"] = list(request.stop)
    if isinstance(settings, HttpJudge) and settings.logprobs and request.logprobs:
        body |= {"logprobs": True, "top_logprobs": ALTERNATIVES}
    if sent := sent_schema(settings, request):
        schema = {"name": "answer", "strict": True, "schema": dict(sent)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body | settings.extra


def sent_schema(settings: HttpModel, request: Request) -> Mapping[str, Any] | None:
    """The request's JSON schema, if the endpoint is to be sent one."""
    return request.schema if isinstance(settings, HttpJudge) and settings.answers == "json_schema" else None
