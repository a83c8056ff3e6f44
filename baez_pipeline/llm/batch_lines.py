"""The lines of a batch's files: questions as they are uploaded, answers and errors as they come back.

Goes in: the format of OpenAI's Batch API, JSON Lines with a `custom_id` each. Stays out: requests (batch_endpoint.py).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from openai.types.chat import ChatCompletion

from baez_pipeline.answers.batches import new_id
from baez_pipeline.experiment import HttpModel
from baez_pipeline.llm.chat import Message, Request
from baez_pipeline.llm.reading import Answer, read_response
from baez_pipeline.llm.request_body import request_body
from baez_pipeline.llm.trouble import OddAnswerError, Trouble, trouble_of
from baez_pipeline.tables import Outcome

MOST_REQUESTS = 50_000
"""Of one file (OpenAI's API reference, Create batch)."""
MOST_BYTES = 200_000_000
"""Of one file (same place)."""
CHAT: Literal["/v1/chat/completions"] = "/v1/chat/completions"
WINDOW: Literal["24h"] = "24h"

Line = dict[str, Any]


def body_of_line(settings: HttpModel, messages: Sequence[Message], request: Request) -> bytes:
    """A question's body as JSON."""
    return json.dumps(request_body(settings, messages, request)).encode()


def line_of(custom_id: str, body: bytes) -> bytes:
    """A question's line."""
    head = json.dumps({"custom_id": custom_id, "method": "POST", "url": CHAT})
    return head[:-1].encode() + b', "body": ' + body + b"}\n"


def size_of_line(body: bytes) -> int:
    """Bytes of a question's line, whose custom_id is one of ours."""
    return len(body) + _FRAME


def first_file(sizes: Sequence[int], *, most: int) -> int:
    """How many of the questions, at least one, go into the next file. `sizes` in bytes, each a line's."""
    total = 0
    for number, size in enumerate(sizes[:most]):
        total += size
        if total > MOST_BYTES and number:
            return number
    return min(len(sizes), most)


_FRAME = len(line_of(new_id(), b""))


def read_lines(content: bytes) -> dict[str, Line]:
    """A file's lines by their custom_id, the first of each; what is no such line is left out."""
    found: dict[str, Line] = {}
    # Not splitlines: JSON may hold other line ends unescaped.
    for text in content.split(b"\n"):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and isinstance(line.get("custom_id"), str):
            found.setdefault(line["custom_id"], line)
    return found


def was_not_run(line: Mapping[str, Any] | None) -> bool:
    """Whether the batch came to its end before this question's turn; such a question is not billed."""
    return line is None or _code(line.get("error")) in ("batch_expired", "batch_cancelled")


def read_line(line: Mapping[str, Any], settings: HttpModel, key: str | None) -> Answer | Trouble:
    """The answer on a line, or why there is none.

    Raises:
        AccessError: the endpoint refused key, credit or model.
    """
    response = line.get("response")
    try:
        if line.get("error") or not isinstance(response, dict):
            raise OddAnswerError(_sentence(line.get("error")))
        status, body = response.get("status_code"), response.get("body")
        if status != 200:
            error = body.get("error", body) if isinstance(body, dict) else body
            raise OddAnswerError(_sentence(error), status=status if isinstance(status, int) else None)
        if not isinstance(body, dict):
            raise OddAnswerError(f"found {str(body)[:100]!r}")
        return read_response(ChatCompletion.construct(**body))
    except OddAnswerError as error:
        failure = error
    # Not while it is handled: what a traceback then shows before ours may repeat the key.
    trouble = trouble_of(failure, settings, key)
    timed_out = _code(line.get("error")) == "request_timeout"
    return replace(trouble, outcome=Outcome.TIMED_OUT) if timed_out else trouble


def _code(error: object) -> object:
    return error.get("code") if isinstance(error, dict) else None


def _sentence(error: object) -> str:
    if not isinstance(error, dict):
        return str(error)
    code = f" ({error['code']})" if error.get("code") else ""
    return f"{error.get('message') or error}{code}"
