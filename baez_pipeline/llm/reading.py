"""Reading a chat completion as endpoints send it.

The package `openai` hands on whatever an endpoint sent, of whatever types. What is read of it is checked here.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from openai.types.chat import ChatCompletion
from pydantic import BaseModel, Field, ValidationError, WrapValidator

from baez_pipeline.llm.chat import TokenChoice
from baez_pipeline.llm.trouble import OddAnswerError
from baez_pipeline.tables import Outcome


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One response. `text` is empty unless the outcome is ok."""

    text: str
    outcome: Outcome
    detail: str | None
    tokens_in: int | None
    tokens_cached: int | None
    tokens_out: int | None
    choices: tuple[TokenChoice, ...]
    was_cut: bool
    """It ended because it was as long as it may be."""


def _none_if_odd(value: Any, read: Any) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


_Odd = WrapValidator(_none_if_odd)
"""An answer is an answer whatever its endpoint says beside it."""
_Count = Annotated[Annotated[int, Field(ge=0, lt=2**53)] | None, _Odd]


class _Details(BaseModel):
    cached_tokens: _Count = None


class _Usage(BaseModel):
    prompt_tokens: _Count = None
    completion_tokens: _Count = None
    prompt_tokens_details: Annotated[_Details | None, _Odd] = None


class _Alternative(BaseModel):
    token: str
    logprob: float


class _Token(BaseModel):
    token: str
    top_logprobs: list[_Alternative] | None = None


class _Tokens(BaseModel):
    content: list[_Token] | None = None


class _Message(BaseModel):
    content: str | None = None
    refusal: Annotated[str | None, _Odd] = None


class _Choice(BaseModel):
    message: _Message
    error: Any = None
    """OpenRouter's, where a provider failed in the middle of an answer."""
    finish_reason: Annotated[str | None, _Odd] = None
    logprobs: Annotated[_Tokens | None, _Odd] = None


class _Response(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: Annotated[_Usage | None, _Odd] = None


def read_response(response: object) -> Answer:
    """Text, tokens and alternatives of a response, and whether the model refused.

    Raises:
        OddAnswerError: it is no chat completion; endpoints answer so with status 200 when a provider behind them fails.
    """
    if not isinstance(response, ChatCompletion):
        raise OddAnswerError(f"found {type(response).__name__}: {str(response)[:100]!r}")
    if error := (response.model_extra or {}).get("error"):
        status = error.get("code") if isinstance(error, dict) else None
        raise OddAnswerError(_sentence(error), status=status if isinstance(status, int) else None)
    try:
        read = _Response.model_validate(response.model_dump(warnings=False))
    except ValidationError as odd:
        first = odd.errors(include_input=False, include_url=False)[0]
        raise OddAnswerError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    choice, usage = read.choices[0], read.usage or _Usage()
    if choice.error or choice.finish_reason == "error":
        raise OddAnswerError(f"the answer broke off: {_sentence(choice.error)}")
    # Half of a surrogate pair cannot be written to any table.
    text = (choice.message.content or "").encode(errors="replace").decode()
    refusal = choice.message.refusal
    outcome, detail = Outcome.OK, None
    if refusal or choice.finish_reason == "content_filter":
        outcome, detail = Outcome.REFUSED, f"the model refused: {(refusal or text)[:200]!r}"
    elif not text.strip():
        outcome, detail = Outcome.EMPTY, f"the answer is empty (finish reason {choice.finish_reason})"
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else None
    return Answer(
        text=text if outcome is Outcome.OK else "",
        outcome=outcome,
        detail=detail,
        tokens_in=usage.prompt_tokens,
        # Cached tokens are part of the prompt's, or the price would be below nothing.
        tokens_cached=None if cached is None else min(cached, usage.prompt_tokens or 0),
        tokens_out=usage.completion_tokens,
        choices=_choices(choice.logprobs),
        was_cut=choice.finish_reason == "length",
    )


def _choices(logprobs: _Tokens | None) -> tuple[TokenChoice, ...]:
    return tuple(
        TokenChoice(token=token.token, alternatives={other.token: other.logprob for other in token.top_logprobs or []})
        for token in (logprobs.content if logprobs else None) or []
    )


def _sentence(error: object) -> str:
    return str(error.get("message") or error) if isinstance(error, dict) else str(error)
