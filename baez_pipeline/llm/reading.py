"""Reading a chat completion as endpoints send it."""

from dataclasses import dataclass
from typing import Any

from openai.types.chat import ChatCompletion

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
    if not response.choices or response.choices[0].message is None:
        raise OddAnswerError("a response without choices")
    choice = response.choices[0]
    text = choice.message.content or ""
    outcome, detail = Outcome.OK, None
    if choice.message.refusal or choice.finish_reason == "content_filter":
        outcome, detail = Outcome.REFUSED, f"the model refused: {(choice.message.refusal or text)[:200]!r}"
    elif not text.strip():
        outcome, detail = Outcome.EMPTY, f"the answer is empty (finish reason {choice.finish_reason})"
    usage = response.usage
    details = usage.prompt_tokens_details if usage else None
    return Answer(
        text=text if outcome is Outcome.OK else "",
        outcome=outcome,
        detail=detail,
        tokens_in=usage.prompt_tokens if usage else None,
        tokens_cached=details.cached_tokens if details else None,
        tokens_out=usage.completion_tokens if usage else None,
        choices=_choices(choice.logprobs),
        was_cut=choice.finish_reason == "length",
    )


def _choices(logprobs: Any) -> tuple[TokenChoice, ...]:
    content = logprobs.content if logprobs and logprobs.content else []
    return tuple(
        TokenChoice(token=token.token, alternatives={other.token: other.logprob for other in token.top_logprobs or []})
        for token in content
    )


def _sentence(error: object) -> str:
    return str(error.get("message") or error) if isinstance(error, dict) else str(error)
