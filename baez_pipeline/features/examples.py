"""Reading a record's activation rows: what counts as an example, where its peak is, and which window is shown."""

from collections.abc import Sequence
from typing import Literal

import polars as pl

# Tokens at which another document begins in a packed context. Gemma's vocabulary has <s> as the HTML tag that it is.
DOCUMENT_STARTS = frozenset(["<bos>", "<|begin_of_text|>", "<|endoftext|>"])
# Special tokens of the model families that Neuronpedia has and of SmolLM2: never text that a judge should see.
SPECIAL_TOKENS = DOCUMENT_STARTS | frozenset(
    [
        "<eos>",
        "<pad>",
        "<start_of_turn>",
        "<end_of_turn>",
        "<|end_of_text|>",
        "<|im_start|>",
        "<|im_end|>",
    ]
)
# A text of so many tokens that lies inside another one is the same document, cut elsewhere. Fewer may be anybody's.
_SHORTEST_COPY = 10

Peak = Literal["qualifying_token", "maximum"]
"""Which token of an example is its peak."""


class TextsSeen:
    """Texts, of which one may be a copy of another: equal, or one inside the other, special tokens and spacing aside.

    Fewer than ten tokens inside another text are no copy of it.
    """

    def __init__(self) -> None:
        self._long_texts: list[str] = []
        self._texts: set[str] = set()

    def hold_a_copy(self, tokens: Sequence[str]) -> bool:
        """Whether the text is a copy of one that was added."""
        text, length = _plain(tokens)
        if text in self._texts:
            return True
        return length >= _SHORTEST_COPY and any(text in other or other in text for other in self._long_texts)

    def add(self, tokens: Sequence[str]) -> None:
        """From now on other texts are compared with this one, too."""
        text, length = _plain(tokens)
        self._texts.add(text)
        if length >= _SHORTEST_COPY:
            self._long_texts.append(text)


def distinct_examples(record: pl.DataFrame) -> pl.DataFrame:
    """The record's usable examples, strongest first (ActivationRow columns).

    Usable: a positive peak within the tokens, as many values as tokens. Of equal texts, of texts that lie inside each
    other, and of several rows from one context the strongest stays: Neuronpedia's records hold duplicates (field
    guide, 7.1), and packed contexts that share a document become duplicates once they are cut. What is shown to label
    writers and what to judges would otherwise be the same text.

    Which examples there are does not depend on what is taken for their peak. Ties are broken by dataIndex.
    """
    rows = readable_rows(record)
    if rows.is_empty():
        return rows
    ranked = (
        rows.filter(pl.col("maxValue") > 0)
        .with_columns(_at_qualifying=_qualifying_value().fill_null(0))
        .sort(["maxValue", "_at_qualifying", "dataIndex"], descending=[True, True, False])
        .drop("_at_qualifying")
        .unique("dataIndex", keep="first", maintain_order=True)
    )
    return ranked.filter(pl.Series(_first_of_copies(ranked["tokens"].to_list()), dtype=pl.Boolean))


def silent_contexts(record: pl.DataFrame, examples: pl.DataFrame) -> pl.DataFrame:
    """Contexts in which the source found the feature silent: rows of zeros (ActivationRow columns).

    Distinct as examples are, and none of them a text or a context of an example.

    Args:
        record: one row of FeatureRecords.
        examples: its `distinct_examples`.
    """
    zeros = (
        readable_rows(record)
        .filter(pl.col("maxValue") == 0, pl.col("minValue") == 0)
        .filter(~pl.col("dataIndex").is_in(examples["dataIndex"].implode()))
        .sort("dataIndex")
        .unique("dataIndex", keep="first", maintain_order=True)
    )
    if zeros.is_empty():
        return zeros
    first = _first_of_copies([*examples["tokens"].to_list(), *zeros["tokens"].to_list()])[examples.height :]
    has_text = [bool(text_places(tokens)) for tokens in zeros["tokens"].to_list()]
    return zeros.filter(pl.Series(first, dtype=pl.Boolean) & pl.Series(has_text, dtype=pl.Boolean))


def readable_rows(record: pl.DataFrame) -> pl.DataFrame:
    """The record's activation rows (ActivationRow columns), active or not, but for those that contradict themselves."""
    rows = _rows(record)
    return rows.filter(_readable()) if not rows.is_empty() else rows


def unreadable_rows(record: pl.DataFrame) -> int:
    """Number of activation rows that contradict themselves: with fewer values than tokens, say."""
    return int(_rows(record).select((~_readable()).sum()).item())


def with_peaks(examples: pl.DataFrame, peak: Peak) -> pl.DataFrame:
    """The examples with `peak_position` and `peak_activation`, the highest peak first.

    Rows that Neuronpedia draws from a bin of activations qualify by one token, which need not be the largest of the
    row: their `maxValue` would put a weak example among the strongest. Ties are broken by dataIndex.
    """
    qualifying = _qualifying_value() if peak == "qualifying_token" else pl.lit(None, pl.Float32)
    return examples.with_columns(
        peak_position=pl.when(qualifying.is_not_null()).then("qualifyingTokenIndex").otherwise("maxValueTokenIndex"),
        peak_activation=qualifying.fill_null(pl.col("maxValue")),
    ).sort(["peak_activation", "dataIndex"], descending=[True, False])


def shown_window(tokens: list[str], peak: int, length: int | Literal["whole"]) -> tuple[int, int]:
    """The half-open range of tokens that is shown around a peak.

    Three quarters of the window lie before the peak and the peak itself follows them, as in delphi's windows. At a
    text's end the window moves, so that it keeps its length wherever the text has enough tokens. Leading special
    tokens are not shown.
    """
    first = next((i for i, token in enumerate(tokens[: peak + 1]) if token not in SPECIAL_TOKENS), peak)
    if length == "whole":
        return first, len(tokens)
    start = max(first, peak - (length * 3) // 4)
    end = min(len(tokens), start + length)
    return max(first, end - length), end


def text_places(tokens: Sequence[str]) -> list[int]:
    """Positions of the tokens that are no special ones."""
    return [place for place, token in enumerate(tokens) if token not in SPECIAL_TOKENS]


def document_of(data_source: str | None) -> str | None:
    """A row's document, where its `dataSource` names one: as "data set: document".

    Neuronpedia's rows name the data set at most, which all texts of a source share: that is no document.
    """
    return data_source if data_source is not None and ": " in data_source else None


def _rows(record: pl.DataFrame) -> pl.DataFrame:
    return record.select("activations").explode("activations").drop_nulls().unnest("activations")


def _readable() -> pl.Expr:
    length = pl.col("tokens").list.len()
    return (length > 0) & (length == pl.col("values").list.len()) & (pl.col("maxValueTokenIndex") < length)


def _qualifying_value() -> pl.Expr:
    """The value at the qualifying token; null where there is none that is active."""
    index = pl.col("qualifyingTokenIndex")
    value = pl.col("values").list.get(pl.when(index >= 0).then(index), null_on_oob=True)
    return pl.when(value > 0).then(value)


def _first_of_copies(texts: list[list[str]]) -> list[bool]:
    """For each text whether no earlier one is a copy of it."""
    seen, first = TextsSeen(), []
    for tokens in texts:
        is_first = not seen.hold_a_copy(tokens)
        first.append(is_first)
        if is_first:
            seen.add(tokens)
    return first


def _plain(tokens: Sequence[str]) -> tuple[str, int]:
    """The text and its number of tokens, without special tokens and with one blank where there is white space."""
    shown = [token for token in tokens if token not in SPECIAL_TOKENS]
    return " ".join("".join(shown).split()), len(shown)
