"""Ids of contexts that a source gives as text tokens.

Neuronpedia's records have no ids. Joining their tokens and tokenising the text again gives other tokens (field guide,
trap 2); each token by itself is looked up instead.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from baez_pipeline.nla.described import BOS, shown

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_HALF_A_CHARACTER = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, kw_only=True)
class Context:
    """A context as ids, with the model's BOS at the beginning where it has one."""

    ids: list[int]
    position: int
    """Of the token that is meant."""


class Vocabulary:
    """A tokenizer's tokens by the text that they are shown as."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Look at every token once (about a second for 262,144)."""
        self._bos: int | None = tokenizer.bos_token_id
        ids = list(range(len(tokenizer)))
        pieces, texts = tokenizer.convert_ids_to_tokens(ids), tokenizer.batch_decode([[token] for token in ids])
        self._by_text: dict[str, int] = {}
        # A character that has a token of its own is not written as a byte.
        for token in sorted(ids, key=lambda token: bool(_BYTE.fullmatch(str(pieces[token])))):
            if _HALF_A_CHARACTER not in texts[token]:
                self._by_text.setdefault(texts[token], token)

    def context(self, tokens: Sequence[str], position: int) -> Context | str:
        """The ids up to a position; or, in a sentence, why the tokens are not of this tokenizer."""
        given = [shown(token) for token in tokens[: position + 1]]
        has_bos = given[0] in BOS or not given[0]
        ids = [] if self._bos is None else [self._bos]
        for place, text in enumerate(given):
            if has_bos and not place:
                continue
            token = self._by_text.get(text)
            if token is None:
                return f"the token {text[:40]!r} at position {place} is none of the subject model's tokenizer"
            ids.append(token)
        if not ids or (has_bos and position == 0 and self._bos is None):
            return "the context is a BOS, and the subject model has none"
        return Context(ids=ids, position=len(ids) - 1)
