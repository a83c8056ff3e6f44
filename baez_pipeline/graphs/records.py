"""The records of a graph's features: from Neuronpedia, from its bulk exports, or from a folder of feature files.

A graph's features are of many layers, each a source of its own at Neuronpedia; the experiment's source names one of
them, and says by that where the others are. A record that cannot be had is said so of its feature, not an error: most
graphs have features without a dashboard.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from baez_pipeline.answers import Answers
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import (
    LocalSaeSource,
    NeuronpediaApiSource,
    NeuronpediaExportSource,
    Source,
)
from baez_pipeline.features.activation_row import PackedDocuments
from baez_pipeline.features.neuronpedia_record import record_of
from baez_pipeline.features.source import UnreadableRecord, open_source
from baez_pipeline.graphs.reading import FeatureId, Graph


@dataclass(frozen=True, kw_only=True)
class Records:
    """What could be had of a graph's features."""

    found: Mapping[FeatureId, pl.DataFrame]
    """One row of FeatureRecords each."""
    missing: Mapping[FeatureId, str]
    """Why there is none, in a sentence."""


class RecordSource(Protocol):
    """Where the records of the features of a graph come from."""

    def of(self, graph: Graph) -> Records:
        """The records of all features of a graph.

        Raises:
            SourceError: the source is not that of the graph's features, or there is none.
            ServiceError: the service behind it cannot be reached.
        """
        ...


def open_records(source: Source, folder: Path | None, answers: Callable[[], Answers]) -> RecordSource:
    """Where an experiment has the records from.

    Args:
        source: the experiment's.
        folder: a folder of feature files, which comes before the source; None = the source.
        answers: opens the database in which what was read over a network is kept.

    Raises:
        SourceError: the folder is none, or the experiment's features are of no graph.
    """
    if folder is not None:
        packed = "cut" if isinstance(source, LocalSaeSource) else source.packed_documents
        return FeatureFiles(folder, packed=packed)
    if isinstance(source, LocalSaeSource):
        raise SourceError(
            "The experiment's features are of a local SAE, which no graph file names: give the folder of the features' "
            "files (--records FOLDER), or an experiment whose source is a Neuronpedia one (--experiment)."
        )
    return LayerSources(source, answers)


class FeatureFiles:
    """A folder of Neuronpedia's feature JSON: `<layer>-<source set>/<index>.json`, or `<layer>_<index>.json`."""

    def __init__(self, folder: Path, *, packed: PackedDocuments) -> None:
        """The folder.

        Args:
            folder: holds the files.
            packed: what becomes of contexts that hold several documents.

        Raises:
            SourceError: there is no such folder.
        """
        if not folder.is_dir():
            raise SourceError(f"{folder} is no folder; expected one with files <layer>-<source set>/<index>.json.")
        self._folder, self._packed = folder, packed

    def of(self, graph: Graph) -> Records:
        """The records of the graph's features that have a file; a file of another feature counts as none."""
        return _each(graph, lambda feature: self._record(graph, feature))

    def _record(self, graph: Graph, feature: FeatureId) -> pl.DataFrame:
        paths = self._paths(graph, feature)
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise UnreadableRecord(f"There is no file {' or '.join(_below(self._folder, path) for path in paths)}.")
        try:
            body = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise UnreadableRecord(f"{_below(self._folder, path)} is not JSON.") from error
        source = body.get("layer") if isinstance(body, dict) else None
        if not isinstance(source, str) or source.partition("-")[0] != str(feature.layer):
            raise UnreadableRecord(
                f"{_below(self._folder, path)} is of layer {str(source)[:50]!r}; expected {feature.layer}-<source set>."
            )
        return record_of(body, model=graph.metadata.scan, source=source, index=feature.index, packed=self._packed).frame

    def _paths(self, graph: Graph, feature: FeatureId) -> list[Path]:
        source_set = graph.source_set(attention=feature.attention)
        if source_set:
            folders = [self._folder / f"{feature.layer}-{source_set}"]
        else:
            folders = sorted(path for path in self._folder.glob(f"{feature.layer}-*") if path.is_dir())
        return [
            *(folder / f"{feature.index}.json" for folder in folders),
            self._folder / f"{feature.layer}_{feature.index}.json",
        ]


class LayerSources:
    """The sources of all layers, as Neuronpedia has them side by side: `<layer>-<source set>`."""

    def __init__(self, source: NeuronpediaApiSource | NeuronpediaExportSource, answers: Callable[[], Answers]) -> None:
        """The sources beside the experiment's.

        Args:
            source: the experiment's, of any layer.
            answers: opens the database in which what was read is kept.
        """
        self._source, self._answers = source, answers

    def of(self, graph: Graph) -> Records:
        """The records of the graph's features, layer by layer; each layer's are asked for together."""
        self._refuse_others(graph)
        by_layer: dict[tuple[int, bool], list[FeatureId]] = {}
        for feature in graph.features:
            by_layer.setdefault((feature.layer, feature.attention), []).append(feature)
        parts, errors = [], []
        for features in by_layer.values():
            try:
                parts.append(self._of_layer(graph, features))
            except SourceError as error:
                # An export may lie here for some layers alone.
                errors.append(error)
                parts.append(Records(found={}, missing=dict.fromkeys(features, str(error))))
        if errors and len(errors) == len(by_layer):
            raise errors[0]
        return Records(
            found={feature: record for part in parts for feature, record in part.found.items()},
            missing={feature: reason for part in parts for feature, reason in part.missing.items()},
        )

    def _of_layer(self, graph: Graph, features: list[FeatureId]) -> Records:
        layer = features[0].layer
        settings = self._settings(graph, layer, attention=features[0].attention, highest=features[-1].index)
        source = open_source(settings, self._answers)
        inside = [feature.index for feature in features if feature.index < source.width]
        source.fetch_ahead(inside)

        def record(feature: FeatureId) -> pl.DataFrame:
            found = source.record(feature.index) if feature.index < source.width else None
            if found is None:
                raise UnreadableRecord(f"Source {source.source_id} does not have feature {feature.index}.")
            return found

        return _each(graph, record, features)

    def _settings(
        self, graph: Graph, layer: int, *, attention: bool, highest: int
    ) -> NeuronpediaApiSource | NeuronpediaExportSource:
        _, own_set, parent = self._named()
        source = f"{layer}-{graph.source_set(attention=attention) or own_set}"
        if isinstance(self._source, NeuronpediaApiSource):
            return self._source.model_copy(update={"source": source, "width": max(self._source.width, highest + 1)})
        return self._source.model_copy(update={"url": f"{parent}/{source}"})

    def _refuse_others(self, graph: Graph) -> None:
        """Raise a SourceError unless the experiment's source is of the graph's model and dictionary."""
        model, own_set, _ = self._named()
        source_set = graph.source_set() or own_set
        if (model, own_set) != (graph.metadata.scan, source_set):
            raise SourceError(
                f"{graph.place} has features of {graph.metadata.scan}, source set {source_set}, but the experiment's "
                f"source is of {model}, source set {own_set}: choose an experiment whose source is "
                f"<layer>-{source_set} of {graph.metadata.scan}, of any layer, or give the records as files "
                "(--records FOLDER)."
            )

    def _named(self) -> tuple[str, str, str]:
        """Model and source set of the experiment's source, and the folder or URL in which its layers lie."""
        if isinstance(self._source, NeuronpediaApiSource):
            return self._source.model, self._source.source.partition("-")[2], ""
        parent, _, last = self._source.url.rstrip("/").rpartition("/")
        return parent.rpartition("/")[2], last.partition("-")[2], parent


def _each(
    graph: Graph, record: Callable[[FeatureId], pl.DataFrame], features: list[FeatureId] | None = None
) -> Records:
    found: dict[FeatureId, pl.DataFrame] = {}
    missing: dict[FeatureId, str] = {}
    for feature in graph.features if features is None else features:
        try:
            found[feature] = record(feature)
        except UnreadableRecord as error:
            missing[feature] = str(error)
    return Records(found=found, missing=missing)


def _below(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
