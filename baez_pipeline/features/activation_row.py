"""From a row of Neuronpedia's activations (API or export) to an ActivationRow.

Here the traps of the raw rows end: numbers that are none, texts of unequal length, contexts that hold several
documents. The values decide; a peak that the row names is only checked against them.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from baez_pipeline.features.examples import DOCUMENT_STARTS

PackedDocuments = Literal["cut", "keep"]
ROW_FIELDS = (
    *("id", "dataIndex", "dataSource", "tokens", "tokenIds", "values", "maxValue", "maxValueTokenIndex"),
    *("binMin", "binMax", "binContains", "qualifyingTokenIndex"),
)
"""What is read of a raw row."""
_LARGEST = float(np.finfo(np.float32).max)


def activation_row(raw: object, *, name: str, packed: PackedDocuments) -> dict[str, Any]:
    """The row, self-consistent: `maxValue` is the largest of `values`, `maxValueTokenIndex` where it is first.

    Args:
        raw: a row as its source gives it.
        name: stands in for a context's id where the row has none.
        packed: `cut` = of a context that holds several documents, the one of the peak is left: of the token that put
            the row in its activation bin, else of the largest value. A silent context is cut to its longest document.

    Returns:
        A dictionary of ActivationRow's columns. A row that cannot be read has no tokens: it is kept to be counted.
    """
    row = raw if isinstance(raw, Mapping) else {}
    shown_name = row.get("dataIndex") if row.get("dataIndex") not in (None, "") else row.get("id")
    made: dict[str, Any] = {
        "dataIndex": text_of(str(name if shown_name in (None, "") else shown_name)),
        "dataSource": text_of(row["dataSource"]) if isinstance(row.get("dataSource"), str) else None,
        "binMin": number_of(row.get("binMin")),
        "binMax": number_of(row.get("binMax")),
        "binContains": number_of(row.get("binContains")),
    }
    tokens, values = _tokens(row.get("tokens")), numbers_of(row.get("values"))
    if tokens is None or values is None or not _agree(row, tokens, values):
        empty: dict[str, Any] = {"tokens": [], "tokenIds": None, "values": [], "maxValue": 0.0, "maxValueTokenIndex": 0}
        return made | empty | {"minValue": 0.0, "qualifyingTokenIndex": None}
    qualifying = _qualifying(row.get("qualifyingTokenIndex"), values)
    ids = _ids(row.get("tokenIds"), len(tokens))
    start, end = 0, len(tokens)
    if packed == "cut":
        start, end = _document(tokens, values, qualifying)
        tokens, values, ids = tokens[start:end], values[start:end], ids[start:end] if ids else None
    return made | {
        "tokens": tokens,
        "tokenIds": ids,
        "values": values.tolist(),
        "maxValue": float(values.max()),
        "maxValueTokenIndex": int(values.argmax()),
        "minValue": float(values.min()),
        "qualifyingTokenIndex": qualifying - start if qualifying is not None else None,
    }


def text_of(text: str) -> str:
    """The text as it can be stored: half of a surrogate pair, which JSON allows, becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def number_of(value: object) -> float | None:
    """The number, or None if it is none that a Float32 can hold."""
    # JSON has integers of a thousand digits, and Python takes true for a number.
    if type(value) not in (int, float) or not -_LARGEST <= value <= _LARGEST:  # type: ignore[operator]
        return None
    return float(value)  # type: ignore[arg-type]


def numbers_of(values: object) -> NDArray[np.float32] | None:
    """The list as Float32; None unless it is a list of finite numbers."""
    if not isinstance(values, list):
        return None
    numbers = [number_of(value) for value in values]
    return None if None in numbers else np.asarray(numbers, dtype=np.float32)


def _tokens(tokens: object) -> list[str] | None:
    if not isinstance(tokens, list) or not tokens or not all(isinstance(token, str) for token in tokens):
        return None
    return [text_of(token) for token in tokens]


def _agree(row: Mapping[str, Any], tokens: list[str], values: NDArray[np.float32]) -> bool:
    if len(tokens) != len(values):
        return False
    peak, largest = row.get("maxValueTokenIndex"), row.get("maxValue")
    if peak is not None and not (type(peak) is int and 0 <= peak < len(tokens)):
        return False
    if largest is None:
        return True
    found = number_of(largest)
    return found is not None and (found > 0) == bool(values.max() > 0)


def _qualifying(index: object, values: NDArray[np.float32]) -> int | None:
    """The token that put the row in its bin; None where it is not given, or was not active."""
    if type(index) is int and 0 <= index < len(values) and values[index] > 0:
        return index
    return None


def _ids(ids: object, length: int) -> list[int] | None:
    if isinstance(ids, list) and len(ids) == length and all(type(i) is int and 0 <= i < 2**63 for i in ids):
        return ids
    return None


def _document(tokens: list[str], values: NDArray[np.float32], qualifying: int | None) -> tuple[int, int]:
    starts = [i for i, token in enumerate(tokens) if token in DOCUMENT_STARTS]
    edges = sorted({0, *starts, len(tokens)})
    documents = list(pairwise(edges))
    if values.any():
        peak = qualifying if qualifying is not None else int(values.argmax())
        return next((start, end) for start, end in documents if start <= peak < end)
    return max(documents, key=lambda document: document[1] - document[0])
