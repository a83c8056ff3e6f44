"""From Neuronpedia's JSON of a feature (API response, or the same put together from an export) to FeatureRecords."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from baez_pipeline.features.activation_row import PackedDocuments, activation_row, number_of, numbers_of, text_of
from baez_pipeline.features.source import UnreadableRecord, feature_key
from baez_pipeline.tables import FeatureRecords

# A record of a few dozen contexts takes about 100 kB: enough for the donors of a feature.
_PARSED_RECORDS = 128
RECORD_FIELDS = (
    *("modelId", "layer", "index", "sourceSetName", "hookName", "maxActApprox", "frac_nonzero"),
    *("pos_str", "pos_values", "neg_str", "neg_values"),
)
"""What is read of a feature's JSON beside its activations."""
_SCHEMA = FeatureRecords.create_empty().schema


@dataclass(frozen=True, kw_only=True)
class Record:
    """A feature's record, and in which contexts its source says that it is active."""

    frame: pl.DataFrame
    """One row of FeatureRecords."""
    active: Mapping[str, bool]
    """By the dataIndex of the record's rows."""


class Records:
    """The records of one source, parsed as they are asked for; the last ones stay in memory."""

    def __init__(
        self, body_of: Callable[[int], dict[str, Any] | None], *, model: str, source: str, packed: PackedDocuments
    ) -> None:
        """Records of a source.

        Args:
            body_of: gives a feature's JSON, or None if the source does not have the feature.
            model: what the JSON must name as modelId.
            source: what it must name as layer.
            packed: what becomes of contexts that hold several documents.
        """

        @functools.lru_cache(_PARSED_RECORDS)
        def parsed(index: int) -> Record | None:
            body = body_of(index)
            return record_of(body, model=model, source=source, index=index, packed=packed) if body is not None else None

        self._parsed = parsed

    def frame(self, index: int) -> pl.DataFrame | None:
        """One row of FeatureRecords, or None if the source does not have the feature.

        Raises:
            UnreadableRecord: the JSON is of another feature, or has no list of activations.
        """
        record = self._parsed(index)
        return record.frame if record is not None else None

    def is_silent(self, index: int, data_index: str) -> bool | None:
        """Whether the feature is silent in a context, by its own record: None unless it holds that context."""
        record = self._parsed(index)
        active = record.active.get(data_index) if record is not None else None
        return None if active is None else not active


def record_of(body: Mapping[str, Any], *, model: str, source: str, index: int, packed: PackedDocuments) -> Record:
    """The record in a feature's JSON.

    Raises:
        UnreadableRecord: it is of another feature, or has no list of activations.
    """
    raw_rows = body.get("activations")
    if not isinstance(raw_rows, list):
        raise UnreadableRecord(
            f"The record of feature {index} of {model} {source} is not a JSON object with a list of activations."
        )
    asked, found = (model, source, str(index)), tuple(str(body.get(name)) for name in ("modelId", "layer", "index"))
    if found != asked:
        raise UnreadableRecord(
            f"The record of feature {index} of {model} {source} names another one: {text_of(' '.join(found))[:200]}."
        )
    rows = [activation_row(raw, name=f"{index}-row-{place}", packed=packed) for place, raw in enumerate(raw_rows)]
    rows.sort(key=lambda row: (-row["maxValue"], row["dataIndex"]))
    active: dict[str, bool] = {}
    for row in rows:
        if row["tokens"]:
            active[row["dataIndex"]] = active.get(row["dataIndex"], False) or any(row["values"])
    made = {
        "feature": feature_key(source, index),
        "modelId": model,
        "layer": source,
        "index": str(index),
        "sourceSetName": _text(body.get("sourceSetName")),
        "hookName": _text(body.get("hookName")),
        "maxActApprox": number_of(body.get("maxActApprox")),
        "frac_nonzero": number_of(body.get("frac_nonzero")),
        **_logits(body, "pos"),
        **_logits(body, "neg"),
        "activations": rows,
    }
    return Record(frame=FeatureRecords.validate(pl.DataFrame([made], schema=_SCHEMA, orient="row")), active=active)


def _text(value: object) -> str | None:
    return text_of(value) if isinstance(value, str) else None


def _logits(body: Mapping[str, Any], sign: str) -> dict[str, Any]:
    tokens, values = body.get(f"{sign}_str"), numbers_of(body.get(f"{sign}_values"))
    if not isinstance(tokens, list) or values is None or len(tokens) != len(values):
        return {f"{sign}_str": None, f"{sign}_values": None}
    return {f"{sign}_str": [text_of(str(token)) for token in tokens], f"{sign}_values": values.tolist()}
