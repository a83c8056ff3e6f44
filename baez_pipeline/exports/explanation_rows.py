"""Labels as rows of Neuronpedia's explanation export (`explanations/batch-N.jsonl.gz`), one JSON object per line.

The columns are those of `neuronpedia_utils/db_models/explanation.py` in Neuronpedia's repository. `layer` is the source
id and `index` is text, as they have it. `typeName` is the method's name, which Neuronpedia must know as an explanation
type. `authorId`, `triggeredById` and `embedding` are null: only Neuronpedia can fill them in.
"""

import gzip
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl

from baez_pipeline.exports.descriptions import Description
from baez_pipeline.store import hash_of

METRICS = ("accuracy", "auroc", "gap")


def explanation_rows(
    told: Iterable[Description],
    scores: pl.DataFrame,
    records: pl.DataFrame,
    *,
    experiment: str,
    created_at: datetime,
) -> list[dict[str, Any]]:
    """One row per description, in their order.

    Args:
        told: what to export.
        scores: FeatureScores; those of a label go into its `notes`.
        records: FeatureRecords with every feature of `told`.
        experiment: the experiment's name; with feature and method it makes the row's id, so a second export has the
            same ids.
        created_at: with a time zone.
    """
    record_of = {row["feature"]: row for row in records.select("feature", "modelId", "layer", "index").to_dicts()}
    scores_of = _scores_by_label(scores)
    moment = created_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return [
        {
            "id": hash_of({"experiment": experiment, "feature": description.feature, "method": description.method}),
            "modelId": record_of[description.feature]["modelId"],
            "layer": record_of[description.feature]["layer"],
            "index": record_of[description.feature]["index"],
            "description": description.text,
            "authorId": None,
            "embedding": None,
            "triggeredById": None,
            "typeName": description.method,
            "explanationModelName": description.model,
            "notes": _notes(experiment, scores_of.get((description.feature, description.method), {})),
            "createdAt": moment,
        }
        for description in told
    ]


def as_jsonl_gz(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as gzipped JSON lines; the same rows give the same bytes.

    Characters outside ASCII are escaped: some readers take U+2028 or U+0085 in a label for the end of a line.
    """
    lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    return gzip.compress(lines.encode("ascii"), mtime=0)


def _scores_by_label(scores: pl.DataFrame) -> dict[tuple[str, str], dict[str, dict[str, float | int]]]:
    scores_of: dict[tuple[str, str], dict[str, dict[str, float | int]]] = {}
    for row in scores.sort("benchmark").iter_rows(named=True):
        values = {metric: round(row[metric], 4) for metric in METRICS if row[metric] is not None}
        counts = {"n_answered": row["n_answered"], "n_failed": row["n_failed"]}
        scores_of.setdefault((row["feature"], row["method"]), {})[row["benchmark"]] = values | counts
    return scores_of


def _notes(experiment: str, scores: Mapping[str, Mapping[str, float | int]]) -> str:
    return json.dumps({"experiment": experiment, "scores": scores}, allow_nan=False)
