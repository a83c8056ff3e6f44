"""What went wrong with one try of a request to an endpoint, and what is to be done about it.

Goes in: reading exceptions and error bodies. Stays out: waiting and asking again, which http_chat does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import openai

from baez_pipeline.errors import AccessError
from baez_pipeline.experiment import HttpModel
from baez_pipeline.retry_after import retry_after_seconds
from baez_pipeline.tables import Outcome

LONGEST_DETAIL = 300


class OddAnswerError(Exception):
    """A response with status 200 that is no chat completion."""

    def __init__(self, detail: str, *, status: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        """What the body says the status really is: OpenRouter reports a provider's failure so."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Why a try brought no answer."""

    outcome: Outcome
    detail: str
    again: bool
    """Worth another try."""
    wait: float | None = None
    """Seconds that the endpoint asks for."""
    for_all: bool = False
    """Every request has to wait, not this one alone: the endpoint's limit is reached."""
    lost: bool = False
    """The endpoint may have made an answer, and billed it, that did not get here."""
    unreachable: bool = False


def trouble_of(error: Exception, settings: HttpModel, key: str | None) -> Trouble:
    """What an exception of the openai package, or of reading its response, means.

    Raises:
        AccessError: what no further request can mend: key refused, no credit, unknown model.
        Exception: the error itself, where it is none of an endpoint's.
    """
    if isinstance(error, openai.APITimeoutError | TimeoutError):
        return Trouble(
            outcome=Outcome.TIMED_OUT,
            detail=f"no answer within {settings.timeout_seconds:g} s",
            again=True,
            lost=not isinstance(error.__cause__, httpx2.ConnectTimeout | httpx2.PoolTimeout),
            unreachable=isinstance(error.__cause__, httpx2.ConnectTimeout),
        )
    if isinstance(error, openai.APIConnectionError):
        unreachable = isinstance(error.__cause__, httpx2.ConnectError)
        reason = str(error.__cause__ or error) or type(error.__cause__ or error).__name__
        return Trouble(
            outcome=Outcome.ERROR,
            detail=_safe(f"the connection broke: {reason}", key),
            again=True,
            lost=not unreachable,
            unreachable=unreachable,
        )
    if isinstance(error, openai.APIStatusError):
        return _of_status(error.status_code, _message(error.body, error), error.response.headers, settings, key)
    if isinstance(error, OddAnswerError) and error.status is not None:
        return _of_status(error.status, str(error), {}, settings, key)
    if isinstance(error, OddAnswerError | ValueError | RecursionError):
        return Trouble(outcome=Outcome.ERROR, detail=_safe(f"no chat completion: {error}", key), again=True, lost=True)
    raise error


def _of_status(status: int, message: str, headers: Mapping[str, str], settings: HttpModel, key: str | None) -> Trouble:
    said = _safe(f"{status} from {settings.base_url} for {settings.model}: {message}", key)
    if status == 403 and "flagged" in message.lower():
        return Trouble(outcome=Outcome.REFUSED, detail=said, again=False)
    if status in (401, 403):
        variable = settings.key_variable or "no key_variable is set for it"
        raise AccessError(f"{said}. The endpoint does not accept the key ({variable}).")
    if status == 402 or "insufficient_quota" in message:
        raise AccessError(f"{said}. There is no credit left: add some and run again, only the rest is asked.")
    if status == 404 or (status == 400 and "model" in message.lower() and "not a valid model" in message.lower()):
        raise AccessError(f"{said}. Check model and base_url in the experiment file.")
    if status == 429:
        return Trouble(
            outcome=Outcome.ERROR,
            detail=said,
            again=True,
            wait=retry_after_seconds(headers.get("retry-after", "")),
            for_all=True,
        )
    if status in (408, 409) or status >= 500:
        return Trouble(
            outcome=Outcome.ERROR, detail=said, again=True, wait=retry_after_seconds(headers.get("retry-after", ""))
        )
    return Trouble(outcome=Outcome.ERROR, detail=said, again=False)


def _message(body: object, error: Exception) -> str:
    """The sentence of an error body, with OpenAI's code for it: {"error": {"message", "code"}} or anything."""
    if isinstance(body, dict):
        inner: Any = body.get("error", body)
        if isinstance(inner, dict):
            code, message = inner.get("code"), inner.get("message", "")
            return f"{message} ({code})" if code and not isinstance(code, int) else str(message or inner)
        return str(inner)
    return str(error)


def _safe(text: str, key: str | None) -> str:
    """One line without the key, which some endpoints repeat in their errors."""
    one_line = " ".join(text.split())
    return (one_line.replace(key, "***") if key else one_line)[:LONGEST_DETAIL]
