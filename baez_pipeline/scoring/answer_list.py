"""The list of answers that delphi's detection and fuzz ask for, read out of a model's text.

delphi takes the first bracket of an answer for the list (field guide, audit row 32), and the probabilities of all
tokens that hold a digit, wherever they stand.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from baez_pipeline.llm.delphi_import import Logprobs

_LIST = re.compile(r"\[\s*(?:(?:[01]|true|false)\s*,\s*)*(?:[01]|true|false)\s*,?\s*\]", re.IGNORECASE)
_ANSWER = re.compile("[01]|true|false", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class AnswerList:
    """The answers, and whether anything with a 0 or 1 in it follows them."""

    answers: list[bool]
    is_last: bool


def read_list(text: str, expected: int) -> AnswerList | None:
    """The last list of as many answers as were asked for; None if there is none."""
    for found in reversed(list(_LIST.finditer(text))):
        answers = [said.lower() in ("1", "true") for said in _ANSWER.findall(found.group())]
        if len(answers) == expected:
            return AnswerList(answers=answers, is_last=not re.search("[01]", text[found.end() :]))
    return None


def problem_of(text: str, expected: int) -> str | None:
    """Why the answers cannot be read, in words that the model is shown; None if they can."""
    if read_list(text, expected):
        return None
    return f"it holds no list of exactly {expected} numbers 0 or 1, one for each example in its order"


def list_schema(expected: int) -> Mapping[str, Any]:
    """JSON schema of an answer that holds the list under `answers`, for endpoints that can be held to one."""
    answers = {
        "type": "array",
        "items": {"type": "integer", "enum": [0, 1]},
        "minItems": expected,
        "maxItems": expected,
        "description": "one answer for each example, in their order",
    }
    return {
        "type": "object",
        "properties": {"answers": answers},
        "required": ["answers"],
        "additionalProperties": False,
    }


def probabilities(found: AnswerList, logprobs: Sequence[Logprobs] | None) -> list[float | None]:
    """P(1) / (P(0) + P(1)) of each answer by its token's alternatives, as delphi's `Classifier._parse_logprobs`.

    None for all where it cannot be told which token is which answer, and for one whose alternatives hold neither.
    """
    unknown: list[float | None] = [None] * len(found.answers)
    if not logprobs or not found.is_last:
        return unknown
    # A preamble may hold digits, too: the answers are the last ones.
    digits = [token for token in logprobs if re.search("[01]", token.token)][-len(found.answers) :]
    said = [re.findall("[01]", token.token) for token in digits]
    if said != [[str(int(answer))] for answer in found.answers]:
        return unknown
    return [_probability({other.token: other.logprob for other in token.top_logprobs}) for token in digits]


def _probability(alternatives: Mapping[str, float]) -> float | None:
    weights = {
        digit: sum(math.exp(value) for token, value in alternatives.items() if re.findall("[01]", token) == [digit])
        for digit in "01"
    }
    total = sum(weights.values())
    return weights["1"] / total if total > 0 else None
