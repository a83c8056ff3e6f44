"""What an explanation got right of its position, judged from the explanation's text alone."""

import json
import re
from collections.abc import Sequence

from baez_pipeline.small_nla.passages import GENRES
from baez_pipeline.small_nla.targets import FINAL_TOKEN, FUNCTION_WORDS
from baez_pipeline.small_nla.topic_words import content_words

_FINAL = re.compile(FINAL_TOKEN + r' ("(?:[^"\\]|\\.)*")')
_FORM_WORDS = frozenset(
    word for genre in (*GENRES, "Encyclopedic prose no particular subject") for word in genre.lower().split()
)
"""Words of the first paragraph that speak of the kind of text."""


def named_token(explanation: str) -> str | None:
    """The final token that the explanation names, without spaces around it; None if it names none."""
    match = _FINAL.search(explanation)
    if match is None:
        return None
    try:
        return str(json.loads(match[1], strict=False)).strip()
    except ValueError:
        return match[1][1:-1].strip()


def topic_words_named(explanation: str) -> set[str]:
    """Content words of the first paragraph."""
    first = explanation.split("\n\n")[0]
    return {word for _, word in content_words(first) if word not in _FORM_WORDS}


def text_measures(
    explanations: Sequence[str],
    *,
    tokens: Sequence[str],
    contexts: Sequence[str],
    topic_words: Sequence[Sequence[str]],
) -> dict[str, float]:
    """Measures of explanations against their positions, as shares.

    Args:
        explanations: without tags.
        tokens: the true final tokens.
        contexts: the texts up to and with them.
        topic_words: what the rule would have named.

    Returns:
        final_token (named exactly, spaces around it aside), topic_words_in_text (of the topic words named, those in
        the text so far), topic_words_found (of the rule's words, those named), form (three paragraphs, the last of
        which opens with the final token).
    """
    named, in_text, wanted, found, exact, form = 0, 0, 0, 0, 0, 0
    for explanation, token, context, topic in zip(explanations, tokens, contexts, topic_words, strict=True):
        exact += named_token(explanation) == token.strip()
        words = topic_words_named(explanation)
        present = {word for _, word in content_words(context)}
        named += len(words)
        in_text += len(words & present)
        truth = {word for phrase in topic for _, word in content_words(phrase)} - FUNCTION_WORDS
        wanted += len(truth)
        found += len(truth & words)
        parts = explanation.split("\n\n")
        form += len(parts) == 3 and parts[2].startswith(FINAL_TOKEN)
    count = max(1, len(explanations))
    return {
        "final_token": round(exact / count, 4),
        "topic_words_in_text": round(in_text / max(1, named), 4),
        "topic_words_found": round(found / max(1, wanted), 4),
        "form": round(form / count, 4),
    }
