"""Reading a label out of an answer."""

from dataclasses import dataclass

from baez_pipeline.tables import Outcome

MARKER = "[EXPLANATION]:"
"""What stands before the label. delphi's explainer asks for the same one, so that all methods are read alike."""

_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A label, or why there is none."""

    label: str | None
    outcome: Outcome
    detail: str | None = None


def read_label(text: str, *, maximum_words: int | None = None) -> Answer:
    """The line after the last marker, without quotes and full stop.

    The last one, because a model that thinks aloud may name the marker before it uses it; delphi takes the first and
    everything after it, so that the thinking becomes part of the label (scoring audit, row 27).

    Args:
        text: the whole answer.
        maximum_words: a longer label is cut, and the answer says so; None = no limit.
    """
    if not text.strip():
        return Answer(label=None, outcome=Outcome.EMPTY, detail="the answer is empty")
    _, marker, after = text.rpartition(MARKER)
    if not marker:
        return Answer(label=None, outcome=Outcome.UNPARSABLE, detail=f"no {MARKER} in the answer")
    line = next((line for line in after.splitlines() if _unwrapped(line)), "")
    label = _unwrapped(line)
    if not any(character.isalnum() for character in label):
        return Answer(label=None, outcome=Outcome.UNPARSABLE, detail=f"nothing after the last {MARKER}")
    words = label.split()
    if maximum_words is not None and len(words) > maximum_words:
        # A clause that would be cut in two goes altogether.
        cut = " ".join(words[:maximum_words]).rpartition(";")[0] or " ".join(words[:maximum_words])
        cut = cut.rstrip(",;: ")
        return Answer(label=cut, outcome=Outcome.OK, detail=f"cut to {maximum_words} of {len(words)} words")
    return Answer(label=label, outcome=Outcome.OK)


def problem_of(text: str) -> str | None:
    """Why no label can be read out of an answer, in words that the model is shown; None if one can."""
    answer = read_label(text)
    return None if answer.outcome is Outcome.OK else f"{answer.detail}; its last line must be {MARKER} and the label"


def _unwrapped(line: str) -> str:
    """The line without emphasis, full stop and the quotes around the whole of it; quotes within stay."""
    text = " ".join(line.replace("**", "").strip(" *_.").split())
    closing = _QUOTES.get(text[:1])
    if closing and len(text) > 1 and text.endswith(closing) and closing not in text[1:-1]:
        text = text[1:-1].strip(" .")
    return text
