"""What a source of features can be asked, whatever lies behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import polars as pl

from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import (
    LocalSaeSource,
    NeuronpediaApiSource,
    NeuronpediaExportSource,
    optional_key,
)

if TYPE_CHECKING:
    from baez_pipeline.answers import Answers


class UnreadableRecord(SourceError):
    """The record of one feature that cannot be had or used. Others may be: a draw of this one is rejected."""


class FeatureSource(Protocol):
    """Features of one SAE on one model."""

    def __hash__(self) -> int:
        """One object is one source, so that what is worked out from its records can be kept by it."""
        ...

    @property
    def identity(self) -> str:
        """Source and revision, for fingerprints: it changes when any row may have changed."""
        ...

    @property
    def source_id(self) -> str:
        """Neuronpedia's source id: the layer, a dash, the family of SAEs."""
        ...

    @property
    def model_id(self) -> str:
        """Neuronpedia's id of the subject model."""
        ...

    @property
    def width(self) -> int:
        """Number of features, dead ones included; indices run from 0 to width - 1."""
        ...

    def fetch_ahead(self, indices: Sequence[int]) -> None:
        """Told which features will be asked for soon, so that a slow source can get them together.

        Raises:
            ServiceError: the service behind the source cannot be reached.
            SourceError: the source's files are damaged.
        """
        ...

    def record(self, index: int) -> pl.DataFrame | None:
        """One row of FeatureRecords, or None if the source does not have this feature.

        An activation row that cannot be read (tokens and values that differ in number, say) is an empty one.

        Raises:
            UnreadableRecord: this feature's record cannot be had or used.
            SourceError: the index is outside 0..width - 1, or the source's files are damaged.
        """
        ...

    def is_silent(self, index: int, data_index: str) -> bool | None:
        """Whether the feature is silent in the whole context `data_index`; None if the source cannot tell."""
        ...


def feature_key(source_id: str, index: int) -> str:
    """The partition key of a feature: safe in paths and in the Dagster UI (no comma, slash or bracket)."""
    return f"{source_id}_{index:06d}"


def index_of_key(key: str) -> int:
    """The index in a partition key.

    Raises:
        SourceError: it is not one of ours.
    """
    digits = key.rpartition("_")[2]
    if not digits.isdecimal():
        raise SourceError(f"{key!r} is not a feature: expected <source id>_<index>, such as 20-topk-res-2k_000123.")
    return int(digits)


def check_index(index: int, *, width: int, source_id: str) -> None:
    """Raise a SourceError unless the source has such an index."""
    if not 0 <= index < width:
        raise SourceError(f"Feature {index} is out of range: source {source_id} has features 0 to {width - 1}.")


def open_source(
    settings: LocalSaeSource | NeuronpediaApiSource | NeuronpediaExportSource, answers: Callable[[], Answers]
) -> FeatureSource:
    """The source that an experiment file describes.

    Args:
        settings: the experiment file's table `source`.
        answers: opens the database in which what was read over a network, or found in a large export, is kept.

    Raises:
        SourceError: its files are missing or damaged.
        ServiceError: its address is none.
        AnswersError: the database cannot be opened.
    """
    if isinstance(settings, LocalSaeSource) and settings.layers:
        from baez_pipeline.features.sae_layers import SaeLayers

        return SaeLayers.open(settings.path, settings.layers)
    if isinstance(settings, LocalSaeSource):
        from baez_pipeline.features.local_sae import LocalSae

        return LocalSae.open(settings.path)
    if isinstance(settings, NeuronpediaExportSource):
        from baez_pipeline.features.neuronpedia_export import NeuronpediaExport

        return NeuronpediaExport.open(settings, answers())
    from baez_pipeline.features.neuronpedia_api import NeuronpediaApi
    from baez_pipeline.neuronpedia import Neuronpedia

    key = optional_key(settings.key_variable)
    return NeuronpediaApi(Neuronpedia(settings.base_url, answers(), key=key), settings)
