"""Reading a record's activation rows: what counts as an example, and which window of it is shown."""

import polars as pl

# Special tokens of the model families that Neuronpedia has and of SmolLM2: never text that a judge should see.
SPECIAL_TOKENS = frozenset(
    [
        "<bos>",
        "<eos>",
        "<pad>",
        "<|endoftext|>",
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|im_start|>",
        "<|im_end|>",
    ]
)


def distinct_examples(record: pl.DataFrame) -> pl.DataFrame:
    """The record's usable examples, strongest first (ActivationRow columns).

    Usable: a positive peak, with as many values as tokens. Of equal texts the strongest stays, since Neuronpedia's
    records hold duplicates (field guide, 7.1). Ties are broken by dataIndex, so that the order is one.
    """
    if record.is_empty():
        return pl.DataFrame()
    return (
        record.select("activations")
        .explode("activations")
        .drop_nulls()
        .unnest("activations")
        .filter(pl.col("maxValue") > 0, pl.col("tokens").list.len() == pl.col("values").list.len())
        .sort(["maxValue", "dataIndex"], descending=[True, False])
        .with_columns(text=pl.col("tokens").list.join(""))
        .unique("text", keep="first", maintain_order=True)
        .drop("text")
    )


def shown_window(tokens: list[str], peak: int, length: int) -> tuple[int, int]:
    """The half-open range of tokens that is shown around a peak.

    Three quarters of the window lie before the peak and the peak itself follows them, as in delphi's windows. At a
    text's end the window moves, so that it keeps its length wherever the text has enough tokens. Leading special
    tokens are not shown.
    """
    first = next((i for i, token in enumerate(tokens[: peak + 1]) if token not in SPECIAL_TOKENS), peak)
    start = max(first, peak - (length * 3) // 4)
    end = min(len(tokens), start + length)
    return max(first, end - length), end
