"""Where an explanation ends: at its closing tag, at an end-of-text id, or at its length.

The tag may be tokenised in several ways, alone or with what stands around it, so the text is looked at, not the ids:
the last few tokens, and only where the newest one can end the tag.
"""

from collections.abc import Collection, Sequence
from typing import Literal

from transformers import PreTrainedTokenizerBase

Stop = Literal["closing tag", "eos", "length"]


class Stopping:
    """Finds the end of a row's tokens."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, closing: str, eos_ids: Collection[int], max_new_tokens: int
    ) -> None:
        self._tokenizer = tokenizer
        self._closing = closing
        self._eos_ids = frozenset(eos_ids)
        self._max_new_tokens = max_new_tokens
        self._ends_tag: dict[int, bool] = {}

    def end(self, ids: Sequence[int], seen: int) -> tuple[int, Stop] | None:
        """How many ids belong to the row, and why no more; None when it goes on.

        Args:
            ids: the row's new tokens.
            seen: how many of them an earlier call has looked at.
        """
        for place in range(seen, len(ids)):
            if ids[place] in self._eos_ids:
                return place, "eos"
            if self._may_end_tag(ids[place]) and self._closing in self._tail(ids[: place + 1]):
                return place + 1, "closing tag"
        return (self._max_new_tokens, "length") if len(ids) >= self._max_new_tokens else None

    def _may_end_tag(self, token: int) -> bool:
        known = self._ends_tag.get(token)
        if known is None:
            known = self._ends_tag[token] = self._closing[-1] in self._decoded([token])
        return known

    def _tail(self, ids: Sequence[int]) -> str:
        # A token of the tag has at least one of its characters.
        return self._decoded(ids[-len(self._closing) :])

    def _decoded(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
