"""What the stand-in for an OpenAI-compatible endpoint answers, so that a whole run on it is plausible.

Goes in: answers from prompts, tokens from texts. Stays out: the protocol and its faults (openai_server.py).

A label is the word that the prompt's last message speaks of most; a judge finds a label where an example contains one
of its words. Good labels get better scores than shuffled ones, then, and no two features need the same answer.
"""

import json
import math
import re
from collections import Counter
from typing import Any

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

Body = dict[str, Any]
"""A request as it was sent."""

CORRECTION = "That answer cannot be used"
"""How HttpChat opens the message with which it asks again."""
CONFIDENCE = 0.9
"""The probability of each answered 0 or 1."""

_TOKEN = re.compile(r"\s?\d|\s?[^\W\d]+|\s?[^\w\s]|\s")
_EXAMPLE = re.compile(r"^Example \d+: ?(.*)$", re.MULTILINE)
_LABEL = re.compile(r"^Latent explanation: (.*)$", re.MULTILINE)
_WORD = re.compile(r"[^\W\d_]{3,}")
_MARKED = re.compile(r"<<(.*?)>>", re.DOTALL)
_NOT_EVIDENCE = re.compile(r"^Activations: .*$|<[^<>]*>", re.MULTILINE)
_OTHER = {"0": "1", "1": "0", " 0": " 1", " 1": " 0"}
_NO_THEME = ENGLISH_STOP_WORDS | {
    *("encyclopedic", "prose", "wording", "recurs", "near", "position", "final", "token", "like", "follow", "example"),
}
"""Words of the language, and of every explanation."""


def answer(body: Body) -> str:
    """The answer to any prompt of the pipeline, by the prompt alone."""
    messages = body["messages"]
    said = [message["content"] for message in messages if message["role"] == "user"]
    # A question that is asked again ends with what was wrong with the last answer.
    asked = next(text for text in reversed(said) if not text.startswith(CORRECTION))
    if label := _LABEL.match(asked):
        return _judgement(label[1], _EXAMPLE.findall(asked), schema="response_format" in body)
    if any("[EXPLANATION]:" in message["content"] for message in messages if message["role"] == "system"):
        return f"One thing is in all of them.\n[EXPLANATION]: {_theme(asked)}"
    return "I have read it."


def tokens(text: str) -> list[str]:
    """A text cut into words, digits and signs, each with the space before it. Together they are the text."""
    return _TOKEN.findall(text)


def tokens_of_prompt(body: Body) -> int:
    """Tokens of all messages and of a JSON schema, with three for the frame of each message, as OpenAI counts them."""
    schema = json.dumps(body["response_format"]) if "response_format" in body else ""
    return sum(len(tokens(message["content"])) + 3 for message in body["messages"]) + len(tokens(schema))


def log_probabilities(text: str, alternatives: int) -> dict[str, Any]:
    """A text's tokens with their alternatives, in the shape of OpenAI's `choices[].logprobs`."""
    return {"content": [_weighed(token, alternatives) for token in tokens(text)], "refusal": None}


def _weighed(token: str, alternatives: int) -> dict[str, Any]:
    weighed = [(token, CONFIDENCE), (_OTHER.get(token, "..."), 1 - CONFIDENCE)]
    shown = [
        {"token": other, "logprob": math.log(probability), "bytes": list(other.encode())}
        for other, probability in weighed
    ]
    return {**shown[0], "top_logprobs": shown[:alternatives]}


def _judgement(label: str, examples: list[str], *, schema: bool) -> str:
    words = [word.lower() for word in _WORD.findall(label) if word.lower() not in _NO_THEME] or [label.lower()]
    unmarked = [example.replace("<<", "").replace(">>", "").lower() for example in examples]
    answers = [int(any(word in example for word in words)) for example in unmarked]
    return json.dumps({"answers": answers}) if schema else str(answers)


def _theme(asked: str) -> str:
    """The most frequent word that says anything; where words are marked, of those."""
    evidence = " ".join(_MARKED.findall(asked)) or _NOT_EVIDENCE.sub(" ", asked)
    words = [word.lower() for word in _WORD.findall(evidence) if word.lower() not in _NO_THEME]
    return Counter(words).most_common(1)[0][0] if words else "signs"
