"""An SAE whose features and examples lie in a local folder: the embedded one, or a user's own of the same layout.

Layout (as `embedded/build.py` writes it, row schemas as in Neuronpedia's exports): `features.parquet`,
`activations-*.parquet`, `window_activity.parquet`, `provenance.json`. The activation rows are held in memory
(a few hundred MB for 2,048 features of 30 examples); sources of hundreds of thousands of features are read elsewhere.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import dataframely as dy
import polars as pl

from baez_pipeline.embedded import DATA
from baez_pipeline.errors import SourceError, TableError
from baez_pipeline.features.built_folder import file_hashes, is_active, read_activity, read_table, tables_hash
from baez_pipeline.features.source import check_index, feature_key
from baez_pipeline.store.checking import validated
from baez_pipeline.tables import ActivationRow, FeatureRecords

_COMMAND = "baez embedded build"


class LocalSae:
    """Features of the SAE in a folder."""

    def __init__(self, folder: Path, features: pl.DataFrame, hashes: dict[str, str]) -> None:
        self._folder = folder
        self._features = features
        self._hashes = hashes
        self._source_id = str(features["layer"][0])

    @classmethod
    @functools.cache
    def open(cls, folder: Path | None = None) -> Self:
        """The source in a folder, read once per process; the embedded SAE when None.

        Raises:
            SourceError: a file is missing or damaged, or its columns are others.
        """
        folder = folder or DATA
        if not _activation_files(folder):
            raise SourceError(
                f"No activations-*.parquet in {folder}: expected a folder as `baez embedded build` writes it."
            )
        try:
            features = read_table(folder / "features.parquet", command=_COMMAND).sort(pl.col("index").cast(pl.Int64))
        except pl.exceptions.PolarsError as error:
            raise SourceError(
                f"{folder / 'features.parquet'} needs a column index of whole numbers: {error}"
            ) from error
        if missing := {"modelId", "layer", "index"} - set(features.columns):
            raise SourceError(f"{folder / 'features.parquet'} lacks the columns {', '.join(sorted(missing))}.")
        if not features.height or features["index"].cast(pl.Int64).to_list() != list(range(features.height)):
            raise SourceError(
                f"{folder / 'features.parquet'} must have one row for each index from 0 on, without gaps."
            )
        return cls(folder, _as_records(features, folder / "features.parquet"), file_hashes(folder))

    @property
    def identity(self) -> str:
        """Source id and the hash of the activation files, so that a rebuilt folder is another source."""
        return f"{self._source_id} {tables_hash(self._hashes)}"

    @property
    def source_id(self) -> str:
        """Neuronpedia's source id."""
        return self._source_id

    @property
    def model_id(self) -> str:
        """The subject model, as the features name it."""
        return str(self._features["modelId"][0])

    @property
    def width(self) -> int:
        """Number of features, dead ones included."""
        return self._features.height

    def fetch_ahead(self, indices: Sequence[int]) -> None:
        """Nothing: all rows lie in memory."""

    def record(self, index: int) -> pl.DataFrame | None:
        """One row of FeatureRecords; the activations of a dead feature are an empty list."""
        check_index(index, width=self.width, source_id=self._source_id)
        row = self._features.slice(index, 1)
        rows = self._rows.get((str(index),))
        if rows is None:
            return row
        strongest_first = rows.sort(["maxValue", "dataIndex"], descending=[True, False])
        return row.with_columns(activations=pl.Series(strongest_first.to_struct().implode()))

    def is_silent(self, index: int, data_index: str) -> bool | None:
        """Whether the feature is silent in the whole context; None for a context whose activity is not kept."""
        check_index(index, width=self.width, source_id=self._source_id)
        active = self._activity.get(data_index)
        if active is None:
            return None
        return not is_active(active, index)

    @functools.cached_property
    def _rows(self) -> dict[tuple[object, ...], pl.DataFrame]:
        # Checked here for all of them, since a record by itself takes 20 ms to check.
        parts = [_read_activations(part) for part in _activation_files(self._folder)]
        return pl.concat(parts).partition_by("index", as_dict=True, include_key=False)

    @functools.cached_property
    def _activity(self) -> dict[str, bytes]:
        return read_activity(self._folder, command=_COMMAND)


def _as_records(features: pl.DataFrame, path: Path) -> pl.DataFrame:
    """FeatureRecords without activation rows."""
    keys = [feature_key(features["layer"][0], index) for index in range(features.height)]
    none = pl.lit([], dtype=FeatureRecords.create_empty().schema["activations"])
    return _checked(features.with_columns(feature=pl.Series(keys), activations=none), FeatureRecords, path)


def _read_activations(path: Path) -> pl.DataFrame:
    rows = read_table(path, command=_COMMAND)
    if "index" not in rows.columns:
        raise SourceError(f"{path} lacks the column index: expected a file as `{_COMMAND}` writes it.")
    return _checked(rows.drop("index"), ActivationRow, path).with_columns(index=rows["index"].cast(pl.String))


def _checked(rows: pl.DataFrame, schema: type[dy.Schema], path: Path) -> pl.DataFrame:
    try:
        return validated(rows, schema=schema, what=str(path))
    except TableError as error:
        raise SourceError(f"{error}: restore the file, or build the folder anew.") from error


def _activation_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("activations-*.parquet"))
