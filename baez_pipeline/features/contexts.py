"""The texts of an experiment in which features are planted: the contexts that its donors' records hold."""

import functools
import itertools
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from baez_pipeline.errors import SourceError
from baez_pipeline.features.examples import SPECIAL_TOKENS, readable_rows
from baez_pipeline.features.source import FeatureSource


@dataclass(frozen=True)
class Found:
    """A match of a rule in a context."""

    token: int
    """Position of the token that holds the match's last character."""
    words: str
    """What was matched, in lower case."""
    end: int
    """One past the match's last character, in characters of the context."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Context:
    """One text window as a record holds it."""

    data_index: str
    document: str | None
    tokens: tuple[str, ...]
    token_ids: tuple[int, ...] | None

    @functools.cached_property
    def passages(self) -> tuple[tuple[str, int, tuple[int, ...]], ...]:
        """The text between special tokens: each piece, its first token, and where each of its tokens ends in it.

        A rule that is looked for in a piece finds no phrase that begins in one document and ends in another. Some
        tokenizers' tokens come with ▁ for a space.
        """
        found = []
        numbered = enumerate(self.tokens)
        for special, group in itertools.groupby(numbered, key=lambda place: place[1] in SPECIAL_TOKENS):
            if not special:
                places, pieces = zip(*group, strict=True)
                ends = tuple(itertools.accumulate(len(piece) for piece in pieces))
                found.append(("".join(pieces).replace("▁", " "), places[0], ends))
        return tuple(found)

    def find(self, rule: re.Pattern[str]) -> Iterator[Found]:
        """The rule's matches, in the order of the text."""
        before = 0
        for text, first, ends in self.passages:
            for match in rule.finditer(text):
                if match.end() > match.start():
                    token = first + bisect_right(ends, match.end() - 1)
                    yield Found(token=token, words=match.group().lower(), end=before + match.end())
            before += len(text)


class Contexts:
    """Distinct contexts by dataIndex, in the order of their names.

    A packed context is cut to the document of each feature's peak, so that one name can stand for several texts.
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        """The contexts of activation rows (ActivationRow columns), whoever is active in them."""
        self.variants: dict[str, list[Context]] = {}
        # A token of a vocabulary is one object however often it stands in the texts: a tenth of the memory.
        vocabulary: dict[str, str] = {}
        distinct = rows.select("dataIndex", "dataSource", "tokens", "tokenIds").unique(["dataIndex", "tokens"])
        for name, document, tokens, ids in distinct.sort("dataIndex", pl.col("tokens").list.join("")).iter_rows():
            self.variants.setdefault(name, []).append(
                Context(
                    data_index=name,
                    document=document,
                    tokens=tuple(vocabulary.setdefault(token, token) for token in tokens),
                    token_ids=tuple(ids) if ids is not None else None,
                )
            )

    @functools.cached_property
    def n_tokens(self) -> int:
        """Tokens of all contexts."""
        return sum(len(context.tokens) for variants in self.variants.values() for context in variants)


@functools.lru_cache(maxsize=1)
def contexts_of(source: FeatureSource, donors: tuple[int, ...]) -> Contexts:
    """The contexts of the donors' records; the last ones asked for stay in memory.

    Donors alone: sampled features come and go with `sample.features`, and what is planted should not move with them.
    Donors also lend the negatives, so that a rule can answer for every one of those.

    Raises:
        SourceError: a donor's record cannot be read, or is gone.
    """
    source.fetch_ahead(donors)
    return Contexts(pl.concat([readable_rows(_record(source, donor)) for donor in donors]))


def _record(source: FeatureSource, donor: int) -> pl.DataFrame:
    record = source.record(donor)
    if record is None:
        raise SourceError(
            f"Source {source.source_id} does not have feature {donor}, which the roster keeps as a donor: the source "
            "has changed since; run feature_sample again."
        )
    return record
