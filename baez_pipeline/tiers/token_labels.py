"""Tier 1 labels: the tokens that a feature's peaks share, counted, at no cost.

A feature of its input is named by the words at its peaks, one of its output by the words that follow: `say "word"`, as
both attribution-graph communities word it (field guide, evaluation-and-tiers, 9).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from baez_pipeline.tiers.windows import Context, Passage, passage_of

MOST_WORDS = 3
"""Words that a label names."""
ENOUGH = 0.8
"""Share of the examples with one of a label's words at which no further word is named."""


@dataclass(frozen=True, kw_only=True)
class TokenLabel:
    """A label made of words."""

    label: str
    window: Literal["input", "output"]
    words: tuple[str, ...]
    """In lower case, the commonest first."""
    share: float
    """Of the examples that have a word there, those with one of these."""

    def fits(self, context: Context) -> bool | None:
        """Whether one of the words stands at the context's peak, or after it; None where no word does."""
        word = word_of(context, self.window)
        return None if word is None else word.lower() in self.words


def token_label(contexts: Sequence[Context], window: Literal["input", "output"]) -> TokenLabel | None:
    """The label of a feature by the words at its peaks, or after them.

    Words are the same whatever their case; the commonest come first, of equally common ones that with the stronger
    activations. At most three are named, no more than needed for 80 % of the examples, and, of several, none that
    stands in one example alone while another one stands in more.

    Args:
        contexts: a feature's examples.
        window: which of the feature's windows are alike.

    Returns:
        None if no example has a word there.
    """
    counts: defaultdict[str, int] = defaultdict(int)
    strength: defaultdict[str, float] = defaultdict(float)
    written: dict[str, str] = {}
    for context in contexts:
        word = word_of(context, window)
        if word is not None:
            counts[word.lower()] += 1
            strength[word.lower()] += context.activation
            written.setdefault(word.lower(), word)
    if not counts:
        return None
    total = sum(counts.values())
    ranked = sorted(counts, key=lambda word: (-counts[word], -strength[word], word))
    chosen: list[str] = []
    for word in ranked[:MOST_WORDS]:
        covered = sum(counts[each] for each in chosen) / total
        if chosen and (covered >= ENOUGH or counts[word] < 2 <= counts[ranked[0]]):
            break
        chosen.append(word)
    quoted = [f'"{written[word]}"' for word in chosen]
    return TokenLabel(
        label=f"say {' or '.join(quoted)}" if window == "output" else ", ".join(quoted),
        window=window,
        words=tuple(chosen),
        share=sum(counts[word] for word in chosen) / total,
    )


def word_of(context: Context, window: Literal["input", "output"]) -> str | None:
    """The whole word at a context's peak, or the one after it; None where there is none."""
    passage = passage_of(context.tokens, context.peak)
    if passage is None:
        return None
    start, end = _word_at(passage, passage.place)
    if window == "output":
        # The rest of the peak's own word is what comes next: it is the word that such a feature says.
        place = passage.place + 1
        while place < len(passage.tokens) and not passage.tokens[place].strip():
            place += 1
        if place >= len(passage.tokens):
            return None
        start, end = (place, end) if place < end else _word_at(passage, place)
    return "".join(passage.tokens[start:end]).strip() or None


def _word_at(passage: Passage, place: int) -> tuple[int, int]:
    """The half-open range of tokens of the word at a place."""
    tokens, start, end = passage.tokens, place, place + 1
    while start > 0 and _goes_on(tokens[start - 1], tokens[start]):
        start -= 1
    while end < len(tokens) and _goes_on(tokens[end - 1], tokens[end]):
        end += 1
    return start, end


def _goes_on(token: str, following: str) -> bool:
    return bool(token and following) and token[-1].isalnum() and following[0].isalnum()
