"""Features of several layers as one source: those that `embedded/layers_write.py` lays into a folder.

A feature's index is its place in the folder's `features.parquet`, since two layers may both have a feature 108; its
record names its layer and its number there. The folder keeps each window's text once, and of an example only the tokens
with an activation.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from baez_pipeline.embedded import DATA
from baez_pipeline.errors import SourceError
from baez_pipeline.features.built_folder import file_hashes, is_active, read_activity, read_table, tables_hash
from baez_pipeline.features.source import check_index, feature_key
from baez_pipeline.tables import FeatureRecords

LAYERS_DATA = DATA / "layers"
"""The folder that the package ships."""
_NO_RECORD = FeatureRecords.create_empty()

_COMMAND = "baez embedded build --layers"


class SaeLayers:
    """The features of some of a folder's layers."""

    def __init__(self, folder: Path, features: pl.DataFrame, hashes: dict[str, str]) -> None:
        """Nothing is read yet but the features.

        Args:
            folder: of the files.
            features: rows of `features.parquet` with their `place` there, of the chosen layers.
            hashes: name of each file -> its SHA-256.
        """
        self._folder = folder
        self._features = features
        self._hashes = hashes
        self._blocks = [str(block) for block in features["block"].unique().sort()]

    @classmethod
    @functools.cache
    def open(cls, folder: Path | None, layers: tuple[int, ...]) -> Self:
        """The source in a folder, read once per process.

        Args:
            folder: the shipped one when None.
            layers: numbers of the blocks whose features it has.

        Raises:
            SourceError: a file is missing or damaged, or the folder lacks one of the layers.
        """
        folder = folder or LAYERS_DATA
        every = read_table(folder / "features.parquet", command=_COMMAND)
        if missing := {"modelId", "layer", "index"} - set(every.columns):
            raise SourceError(f"{folder / 'features.parquet'} lacks the columns {', '.join(sorted(missing))}.")
        hashes = file_hashes(folder)
        block = pl.col("layer").str.split("-").list.first().cast(pl.Int64, strict=False)
        every = every.with_row_index("place").with_columns(block=block)
        known = every["block"].unique().drop_nulls().sort().to_list()
        if absent := [str(layer) for layer in layers if layer not in known]:
            raise SourceError(
                f"{folder} has no features of layer {', '.join(absent)}: it has those of "
                f"{', '.join(str(layer) for layer in known)}. Change source.layers in the experiment file."
            )
        return cls(folder, every.filter(pl.col("block").is_in(layers)), hashes)

    @property
    def identity(self) -> str:
        """The layers and the hash of the files, so that a rebuilt folder is another source."""
        return f"{self.source_id} of {', '.join(self._blocks)} {tables_hash(self._hashes)}"

    @property
    def source_id(self) -> str:
        """`layers`, a dash, the family of SAEs: no layer's own id, since keys hold places."""
        return f"layers-{str(self._features['layer'][0]).partition('-')[2]}"

    @property
    def model_id(self) -> str:
        """The subject model, as the features name it."""
        return str(self._features["modelId"][0])

    @property
    def width(self) -> int:
        """Number of features of all chosen layers."""
        return self._features.height

    @property
    def layers(self) -> pl.DataFrame:
        """feature (its key), layer (the block's number): one row per feature, in the order of their indices."""
        keys = [feature_key(self.source_id, index) for index in range(self.width)]
        return self._features.select(pl.Series("feature", keys, dtype=pl.String), layer="block")

    def fetch_ahead(self, indices: Sequence[int]) -> None:
        """Nothing: all rows lie in memory."""

    def record(self, index: int) -> pl.DataFrame:
        """One row of FeatureRecords."""
        check_index(index, width=self.width, source_id=self.source_id)
        feature = self._features.row(index, named=True)
        examples = self._examples.get((feature["place"],))
        rows = [] if examples is None else [self._activation_row(feature, row) for row in examples.to_dicts()]
        rows.sort(key=lambda row: (-row["maxValue"], row["dataIndex"]))
        record = {name: feature.get(name) for name in _NO_RECORD.columns} | {
            "feature": feature_key(self.source_id, index),
            "activations": rows,
        }
        return FeatureRecords.validate(pl.DataFrame([record], schema=_NO_RECORD.schema))

    def _activation_row(self, feature: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
        window = self._windows[example["dataIndex"]]
        values = np.zeros(len(window["tokens"]), dtype=np.float32)
        values[example["positions"]] = example["values"]
        peak = int(values.argmax())
        return window | {
            "id": f"{feature['layer']}-{feature['index']}-{example['dataIndex']}",
            "values": values.tolist(),
            "maxValue": float(values[peak]),
            "maxValueTokenIndex": peak,
            "minValue": float(values.min()),
            "binMin": example["binMin"],
            "binMax": example["binMax"],
            "binContains": example["binContains"],
            # Windows are chosen by their peak.
            "qualifyingTokenIndex": peak,
        }

    def is_silent(self, index: int, data_index: str) -> bool | None:
        """Whether the feature is silent in the whole context; None for a context whose activity is not kept."""
        check_index(index, width=self.width, source_id=self.source_id)
        active = self._activity.get(data_index)
        if active is None:
            return None
        return not is_active(active, int(self._features["place"][index]))

    @functools.cached_property
    def _examples(self) -> dict[tuple[object, ...], pl.DataFrame]:
        examples = read_table(self._folder / "examples.parquet", command=_COMMAND)
        return examples.partition_by("place", as_dict=True, include_key=False)

    @functools.cached_property
    def _windows(self) -> dict[str, dict[str, Any]]:
        windows = read_table(self._folder / "windows.parquet", command=_COMMAND)
        return {row["dataIndex"]: row for row in windows.iter_rows(named=True)}

    @functools.cached_property
    def _activity(self) -> dict[str, bytes]:
        return read_activity(self._folder, command=_COMMAND)
