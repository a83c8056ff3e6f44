"""Features of a Neuronpedia source, asked for one by one over its API.

The package `neuronpedia` (1.2) does not cover reading: its Feature drops the logits, the contexts' ids and the
qualifying tokens. Its SAEFeature keeps the whole JSON, but wants a key where the service wants none, knows one address,
has no time-out, prints every request, and raises on a 429 without saying how long to wait.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import polars as pl

from baez_pipeline.experiment import NeuronpediaApiSource
from baez_pipeline.features.neuronpedia_record import Records
from baez_pipeline.features.source import UnreadableRecord, check_index
from baez_pipeline.neuronpedia import CallFailed, Neuronpedia


class NeuronpediaApi:
    """Features of one source, by `GET /feature/{model}/{source}/{index}`; every response is kept, 404s too."""

    def __init__(self, neuronpedia: Neuronpedia, settings: NeuronpediaApiSource) -> None:
        self._neuronpedia = neuronpedia
        self._settings = settings
        self._fetched: set[int] = set()
        self._records = Records(
            self._body, model=settings.model, source=settings.source, packed=settings.packed_documents
        )

    @property
    def identity(self) -> str:
        """Model, source and what becomes of packed contexts. The service names no revision of its rows."""
        settings = self._settings
        return f"Neuronpedia API, {settings.model} {settings.source}, packed documents: {settings.packed_documents}"

    @property
    def source_id(self) -> str:
        """Neuronpedia's source id."""
        return self._settings.source

    @property
    def model_id(self) -> str:
        """Neuronpedia's id of the subject model."""
        return self._settings.model

    @property
    def width(self) -> int:
        """Number of features, as the experiment file says: the service does not."""
        return self._settings.width

    def fetch_ahead(self, indices: Sequence[int]) -> None:
        """Ask for several features at once.

        Raises:
            ServiceError: Neuronpedia cannot be reached, or does not accept the key.
        """
        self._neuronpedia.prefetch(self._path(index) for index in indices if index not in self._fetched)
        self._fetched.update(indices)

    def record(self, index: int) -> pl.DataFrame | None:
        """One row of FeatureRecords; None where Neuronpedia says 404.

        Raises:
            UnreadableRecord: the call failed, or its answer is of another feature.
            ServiceError: Neuronpedia cannot be reached, or does not accept the key.
            SourceError: the index is out of range.
        """
        check_index(index, width=self.width, source_id=self.source_id)
        return self._records.frame(index)

    def is_silent(self, index: int, data_index: str) -> bool | None:
        """Whether the feature is silent in a context of its own record; None for any other context."""
        check_index(index, width=self.width, source_id=self.source_id)
        return self._records.is_silent(index, data_index)

    def _path(self, index: int) -> str:
        return f"/feature/{quote(self._settings.model, safe='')}/{quote(self._settings.source, safe='')}/{index}"

    def _body(self, index: int) -> dict[str, Any] | None:
        try:
            return self._neuronpedia.get(self._path(index))
        except CallFailed as failure:
            raise UnreadableRecord(
                f"Feature {index} of {self._settings.model} {self._settings.source} cannot be read from Neuronpedia: "
                f"{failure.detail}."
            ) from failure
