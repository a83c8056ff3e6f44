"""Features with their labels as bodies of Neuronpedia's upload (POST /api/feature/upload-batch).

The `neuronpedia` package writes the bodies; nothing is sent. Neuronpedia accepts one only from the owner of the source
set, and only if it knows every `methodName` as an explanation type and every `modelName` as an explanation model.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import polars as pl

from baez_pipeline.exports.descriptions import Description, descriptions


@contextmanager
def _dotenv_switched_off() -> Iterator[None]:
    before = os.environ.get("PYTHON_DOTENV_DISABLED")
    os.environ["PYTHON_DOTENV_DISABLED"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHON_DOTENV_DISABLED"]
        else:
            os.environ["PYTHON_DOTENV_DISABLED"] = before


# On import the package would read any .env file that it finds into this process's environment.
with _dotenv_switched_off():
    from neuronpedia.np_activation import Activation
    from neuronpedia.np_explanation import Explanation
    from neuronpedia.np_feature import Feature, Logit
    from neuronpedia.requests.feature_request import MAX_FEATURES_PER_BATCH, FeatureRequest

MAX_TEXT_LENGTH = 512
"""Of an explanation, in UTF-16 code units, as JavaScript counts (Neuronpedia's upload-batch route)."""
NO_BIN = -1
"""Neuronpedia's value of binMin, binMax and binContains on rows that were not drawn from a bin."""


@dataclass(frozen=True, kw_only=True)
class UploadBatch:
    """One body, and the labels that it lacks."""

    body: bytes
    """JSON as it would be sent."""
    n_features: int
    left_out: Counter[str]
    """Reason -> labels of these features that are not in it."""


class _PayloadRequest(FeatureRequest):  # type: ignore[misc]
    """Gives back the body of a request instead of sending it."""

    def __init__(self) -> None:
        # Any text will do: without one the package looks for the user's key.
        super().__init__(api_key="nothing is sent")

    def send_request(self, uri: str = "", method: str = "POST", **kwargs: Any) -> Any:
        return kwargs["json"]


def upload_batches(labels: pl.DataFrame, records: pl.DataFrame) -> list[UploadBatch]:
    """All features with their activations and labels, at most 128 to a body and one source to a body.

    A feature is uploaded even if it has no label. A label over 512 characters is left out and counted, never cut.

    Args:
        labels: Labels of any methods.
        records: FeatureRecords.

    Returns:
        Bodies by model, source and index; features in a body by index, their labels by method.
    """
    ordered = records.with_columns(pl.col("index").cast(pl.Int64)).sort("modelId", "layer", "index")
    return [
        _batch(model, source, batch, labels)
        for (model, source), of_source in ordered.partition_by("modelId", "layer", as_dict=True).items()
        for batch in of_source.iter_slices(MAX_FEATURES_PER_BATCH)
    ]


def _batch(model: str, source: str, records: pl.DataFrame, labels: pl.DataFrame) -> UploadBatch:
    told_of: dict[str, list[Description]] = {key: [] for key in records["feature"]}
    told, left_out = descriptions(labels.filter(pl.col("feature").is_in(list(told_of))))
    for description in told:
        if _utf16_length(description.text) > MAX_TEXT_LENGTH:
            left_out[f"label over {MAX_TEXT_LENGTH} characters"] += 1
        else:
            told_of[description.feature].append(description)
    features = [_feature(record, told_of[record["feature"]]) for record in records.iter_rows(named=True)]
    payload = _PayloadRequest().upload_batch(model, source, features)
    # No NaN, which JSON has no word for, comes through the schema of records.
    body = json.dumps(payload, allow_nan=False).encode("ascii")
    return UploadBatch(body=body, n_features=len(features), left_out=left_out)


def _feature(record: Mapping[str, Any], told: Sequence[Description]) -> Feature:
    place = {"modelId": record["modelId"], "source": record["layer"], "index": record["index"]}
    return Feature(
        **place,
        density=record["frac_nonzero"],
        top_logits=_logits(record["pos_str"], record["pos_values"]),
        bottom_logits=_logits(record["neg_str"], record["neg_values"]),
        explanations=[
            Explanation(
                **place,
                text=description.text,
                method=description.method,
                explainer_model=description.model,
            )
            for description in told
        ],
        activations=[
            Activation(**place, tokens=row["tokens"], values=row["values"], **_quantile(row))
            for row in record["activations"]
        ],
    )


def _logits(tokens: Sequence[str] | None, values: Sequence[float] | None) -> list[Logit] | None:
    if tokens is None or values is None:
        return None
    return [Logit(token, value) for token, value in zip(tokens, values, strict=True)]


def _quantile(row: Mapping[str, Any]) -> dict[str, float]:
    """The bin of an activation row; nothing for a row without one, or with a share that Neuronpedia would refuse."""
    quantile = {"quantileMax": row["binMax"], "quantileMin": row["binMin"], "quantileFraction": row["binContains"]}
    if any(value is None or value == NO_BIN for value in quantile.values()) or not 0 <= row["binContains"] <= 1:
        return {}
    return quantile


def _utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
