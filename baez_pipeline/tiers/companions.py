"""Scores that need no embedder: how much the tokens at a feature's peaks, or after them, agree."""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from baez_pipeline.tiers.windows import Context, passage_of


class Agreement(NamedTuple):
    """Of one token for each example."""

    token: str | None
    """The commonest, as it was first seen; of equally common ones the first."""
    agreement: float | None
    """Share of examples that have it; None without examples."""
    entropy: float | None
    """Of the tokens, over its largest possible, log n; None under two examples."""
    logit_overlap: float | None
    """Share of examples whose token is among the top logits; None where these are not known."""


def peak_tokens(contexts: Sequence[Context]) -> list[str]:
    """The token at each example's peak; special ones are left out."""
    passages = (passage_of(context.tokens, context.peak) for context in contexts)
    return [passage.tokens[passage.place] for passage in passages if passage]


def next_tokens(contexts: Sequence[Context]) -> list[str]:
    """The token after each example's peak; nothing of an example whose peak is the last of its document."""
    passages = (passage_of(context.tokens, context.peak) for context in contexts)
    found = (passage.tokens[passage.place + 1 : passage.place + 2] for passage in passages if passage)
    return [token for tokens in found for token in tokens]


def agreement(tokens: Sequence[str], top_logits: Collection[str] | None) -> Agreement:
    """How much tokens agree, blanks around them and capitals aside.

    Args:
        tokens: one for each example.
        top_logits: the tokens that the feature makes likelier; None = not known.
    """
    words = [_word(token) for token in tokens]
    counts = Counter(words)
    if not counts:
        return Agreement(None, None, None, None)
    commonest, times = counts.most_common(1)[0]
    shares = [count / len(words) for count in counts.values()]
    entropy = -sum(share * math.log(share) for share in shares) / math.log(len(words)) if len(words) > 1 else None
    raised = {_word(token) for token in top_logits} if top_logits else None
    return Agreement(
        token=tokens[words.index(commonest)],
        agreement=times / len(words),
        # -0.0, and sums a hair over 1.
        entropy=None if entropy is None else min(1.0, abs(entropy)),
        logit_overlap=None if raised is None else sum(word in raised for word in words) / len(words),
    )


def _word(token: str) -> str:
    # A token of white space alone is a token like others.
    return token.replace("▁", " ").replace("Ġ", " ").strip().casefold() or token
