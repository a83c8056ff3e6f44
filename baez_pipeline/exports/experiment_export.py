"""All formats of an experiment at once."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from baez_pipeline.errors import TableError
from baez_pipeline.exports.descriptions import descriptions
from baez_pipeline.exports.explanation_rows import as_jsonl_gz, explanation_rows
from baez_pipeline.exports.files import replace_files
from baez_pipeline.exports.flat_table import as_csv, as_parquet, flat_table
from baez_pipeline.exports.upload_payload import upload_batches
from baez_pipeline.features.roster import PLANTED
from baez_pipeline.scoring.feature_scores import Failures, feature_scores

EXPLANATIONS = "explanations.jsonl.gz"
PARQUET, CSV = "labels_and_scores.parquet", "labels_and_scores.csv"
LEDGER = "ledger.parquet"
_UPLOAD_NAME = re.compile(r"upload-batch-\d+\.json")


@dataclass(frozen=True, kw_only=True)
class Exported:
    """One file of an export."""

    path: Path
    n_rows: int
    """Explanations, features (upload) or labels (table) in it."""
    left_out: Mapping[str, int]
    """Reason -> number of labels that are not in it. The table has all of the source's features."""


def export_experiment(
    labels: pl.DataFrame,
    judged: pl.DataFrame,
    records: pl.DataFrame,
    folder: Path,
    *,
    experiment: str,
    created_at: datetime,
    failures: Failures = "excluded",
    ledger: pl.DataFrame | None = None,
) -> list[Exported]:
    """Write labels and scores in every format; a second export overwrites the first.

    Planted features, and labels that were judged as controls, are the experiment's own: no file has them, as nobody
    should take them for the source's features and their labels.

    The files: `explanations.jsonl.gz` (explanation_rows), `upload-batch-<n>.json` from 0 (upload_payload),
    `labels_and_scores.parquet` and `.csv` (flat_table), and `ledger.parquet` where there is a ledger. Everything is
    made before anything is written, and each file is replaced at once. Upload batches of an earlier export that are
    not of this one are deleted.

    Args:
        labels: Labels of all methods; one whose outcome is not ok is in the table alone.
        judged: JudgedExamples of all benchmarks.
        records: FeatureRecords of the features.
        folder: where the files go; made if it is not there.
        experiment: the experiment's name.
        created_at: the rows' time of creation, with a time zone.
        failures: what becomes of failed judgements in scores, as the experiment file says.
        ledger: Ledger of the experiment; None where nobody was paid.

    Raises:
        TableError: a label has no record, or the folder cannot be written to.
    """
    n_labels = labels.height
    labels, records, judged = (table.filter(_is_real()) for table in (labels, records, judged))
    planted = Counter({"label of a planted feature": n_labels - labels.height} if n_labels > labels.height else {})
    _require_records(labels, records)
    scores = feature_scores(judged.filter(shuffle=0), failures=failures)
    told, left_out = descriptions(labels)
    rows = explanation_rows(told, scores, records, experiment=experiment, created_at=created_at)
    table = flat_table(labels, scores, records)
    uploads = {f"upload-batch-{number}.json": batch for number, batch in enumerate(upload_batches(labels, records))}

    contents = {EXPLANATIONS: as_jsonl_gz(rows), PARQUET: as_parquet(table), CSV: as_csv(table)}
    if ledger is not None:
        contents[LEDGER] = as_parquet(ledger)
    contents |= {name: batch.body for name, batch in uploads.items()}
    replace_files(folder, contents, stale=_earlier_uploads(folder) - uploads.keys())
    return [
        Exported(path=folder / EXPLANATIONS, n_rows=len(rows), left_out=left_out + planted),
        Exported(path=folder / PARQUET, n_rows=table.height, left_out=planted),
        Exported(path=folder / CSV, n_rows=table.height, left_out=planted),
        *([Exported(path=folder / LEDGER, n_rows=ledger.height, left_out={})] if ledger is not None else []),
        *(
            Exported(path=folder / name, n_rows=batch.n_features, left_out=batch.left_out)
            for name, batch in uploads.items()
        ),
    ]


def _is_real() -> pl.Expr:
    return ~pl.col("feature").str.starts_with(PLANTED)


def _require_records(labels: pl.DataFrame, records: pl.DataFrame) -> None:
    unknown = labels.join(records, on="feature", how="anti")["feature"].unique().sort().to_list()
    if unknown:
        raise TableError(
            f"{len(unknown)} labelled features have no row in feature_records ({', '.join(unknown[:3])}): an export "
            "needs their model, source and index. Run the chain again (baez run), then export."
        )


def _earlier_uploads(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("upload-batch-*.json") if _UPLOAD_NAME.fullmatch(path.name)}
