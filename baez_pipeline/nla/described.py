"""What goes to Neuronpedia's NLA services as text, and what their answers say: shared by the engines that ask them.

Goes in: the text up to a peak, the comparison of tokens, reading one result. Stays out: asking (the engines) and
waiting (baez_pipeline/neuronpedia.py).

The services read the activation themselves, of text that they tokenise again. Whether they explained the token that
was meant shows in the token that they return, and in nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from baez_pipeline.errors import SidecarError
from baez_pipeline.neuronpedia import CallFailed
from baez_pipeline.nla.engine import Explanation, Peak
from baez_pipeline.nla.paragraphs import CLOSING_TAG, explanation_body
from baez_pipeline.tables import Outcome

BOS = frozenset({"<bos>", "<s>", "<|begin_of_text|>", "<|endoftext|>"})
LARGEST_NUMBER = 3e38
"""Norms are stored as 32-bit floats."""
MOST_IDS = 2**31
"""More than any tokenizer has."""
LONGEST_QUOTE = 40


def shown(token: str) -> str:
    """A token as Neuronpedia shows it: sentencepiece and byte-level tokenizers write a space as ▁ and Ġ."""
    token = token.replace("▁", " ")
    return " " + token[1:] if token.startswith("Ġ") else token


@dataclass(frozen=True, kw_only=True)
class TextToPeak:
    """A context as text that ends with the peak token."""

    text: str
    token: str
    """The peak token as it is shown."""
    position: int
    """Of the peak in the text, by the source's count of its tokens."""
    has_bos: bool
    """The source counts a BOS at the beginning."""
    repeats: bool
    """The token before the peak is the same one."""
    note: str | None
    """What was left out."""

    @classmethod
    def of(cls, peak: Peak, *, most_characters: int) -> "TextToPeak":
        """The tokens up to and including the peak, joined.

        A text that is too long for the service is cut from the left at a token. Characters are counted as the
        service's JavaScript does, in UTF-16 units.
        """
        tokens = [shown(token) for token in peak.tokens[: peak.position + 1]]
        left_out = _tokens_over(tokens, most_characters)
        kept = tokens[left_out:]
        note = f"the service takes {most_characters:,} characters: the first {left_out} tokens were left out"
        return cls(
            text="".join(kept),
            token=kept[-1],
            position=len(kept) - 1,
            # A source may show its BOS as nothing.
            has_bos=kept[0] in BOS or not kept[0],
            repeats=kept[-2:-1] == kept[-1:],
            note=note if left_out else None,
        )

    @property
    def shifts(self) -> tuple[int, ...]:
        """How much further on a service may count the peak than the source.

        One, where it puts a BOS before the text; one less, where the source counts a BOS that the service neither
        reads nor adds. Any other difference means that it tokenises the text in another way.
        """
        return (0, 1, -1) if self.has_bos and self.position else (0, 1)


def same_token(found: object, expected: str) -> bool:
    """Whether a returned token is the expected one, which is as shown."""
    return isinstance(found, str) and shown(found) == expected


def quoted(said: object) -> str:
    """Something that a service said, for a sentence: short, and without characters that would not be seen."""
    return repr(said)[:LONGEST_QUOTE]


def result_at(answer: dict[str, Any], position: int) -> dict[str, Any] | None:
    """The result for a position; None if the service left it out, as it does when its generation fails."""
    return next((result for result in results_of(answer) if result.get("position") == position), None)


def results_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Those results that can be read."""
    results = answer.get("results")
    return [result for result in results if isinstance(result, dict)] if isinstance(results, list) else []


def describes(result: dict[str, Any] | None) -> bool:
    """Whether a result holds a description, so that it need not be asked for again."""
    return result is not None and explanation_of(result).outcome is Outcome.OK


def unverified(result: dict[str, Any], context: TextToPeak) -> Explanation:
    """One result as an explanation of whatever token the service explained, asked for the source's position.

    Its token is the one that the service names, empty where it names none; the note says so where it is not the peak's.
    """
    found, token_id = result.get("token"), result.get("token_id")
    # JSON can hold half a character (a lone surrogate), which no table can.
    token = found.encode("utf-8", "replace").decode("utf-8") if isinstance(found, str) else ""
    note = None
    if not same_token(found, context.token):
        note = f"the service explained {quoted(found)}, the peak token is {context.token!r}"
    said = explanation_of(result, position=context.position, note="; ".join(filter(None, (context.note, note))) or None)
    if said.outcome is not Outcome.OK:
        return said
    return replace(said, token=token, token_id=token_id if _is_id(token_id) else None)


def explanation_of(result: dict[str, Any], *, position: int | None = None, note: str | None = None) -> Explanation:
    """One result as an explanation.

    Args:
        result: with `description`, and `l2_norm`, `mse`, `cosine_similarity` where the service has them.
        position: at which the service counted the token.
        note: for the row's detail.
    """
    description = result.get("description")
    if not isinstance(description, str):
        return failure(Outcome.UNPARSABLE, f"the result has no description: {quoted(result)}")
    # JSON can hold half a character (a lone surrogate), which no table can.
    description = description.encode("utf-8", "replace").decode("utf-8")
    body = explanation_body(description)
    text = body if body is not None else description.replace(CLOSING_TAG, "").strip()
    if not text:
        return failure(Outcome.EMPTY, "the service described nothing")
    unclosed = "the explanation tag was not closed" if body and CLOSING_TAG not in description else None
    return Explanation(
        text=text,
        detail="; ".join(filter(None, (note, unclosed))) or None,
        norm=_finite(result.get("l2_norm")),
        mse=_finite(result.get("mse")),
        cosine=_finite(result.get("cosine_similarity")),
        position_asked=position,
    )


def failure(outcome: Outcome, detail: str) -> Explanation:
    """No explanation, and why."""
    return Explanation(text="", outcome=outcome, detail=detail)


def failed_call(failed: CallFailed) -> Explanation:
    """No explanation, because the call for it failed."""
    return failure(failed.outcome, failed.detail)


def check_layer(found: object, *, layer: int, nla: str) -> None:
    """Stop if the service reads another layer than the experiment.

    Raises:
        SidecarError: it does.
    """
    if found != layer:
        raise SidecarError(
            f"{nla} reads layer {quoted(found)}, the experiment reads layer {layer} (nla.layer): choose an NLA of "
            f"layer {layer}, or set nla.layer and source to the NLA's layer."
        )


def _tokens_over(tokens: Sequence[str], most_characters: int) -> int:
    """How many tokens must go from the left; the last one stays."""
    characters = 0
    for count, token in enumerate(reversed(tokens)):
        characters += len(token.encode("utf-16-le")) // 2
        if characters > most_characters and count:
            return len(tokens) - count
    return 0


def _is_id(number: object) -> TypeGuard[int]:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < MOST_IDS


def _finite(number: object) -> float | None:
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    # NaN compares as false with everything.
    return float(number) if abs(number) < LARGEST_NUMBER else None
