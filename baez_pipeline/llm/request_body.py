"""A question as OpenAI's interface has it."""

from collections.abc import Sequence
from typing import Any

from baez_pipeline.experiment import HttpJudge, HttpModel
from baez_pipeline.llm.chat import Message, Request

ALTERNATIVES = 5
"""Log-probabilities per token: delphi's number, and the most that some endpoints give."""


def request_body(settings: HttpModel, messages: Sequence[Message], request: Request) -> dict[str, Any]:
    """Arguments of `chat.completions.create`: what is sent, and so what an answer depends on.

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
    if isinstance(settings, HttpJudge) and settings.answers == "json_schema" and request.schema:
        schema = {"name": "answer", "strict": True, "schema": dict(request.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if settings.extra:
        body["extra_body"] = dict(settings.extra)
    return body
