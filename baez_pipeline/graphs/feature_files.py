"""The records of a graph's features in a folder of Neuronpedia's feature files."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from baez_pipeline.errors import SourceError
from baez_pipeline.features.activation_row import PackedDocuments
from baez_pipeline.features.neuronpedia_record import record_of
from baez_pipeline.features.source import UnreadableRecord
from baez_pipeline.graphs.dictionary import HOW_TO_NAME, Dictionary, Named, is_name, named_in
from baez_pipeline.graphs.reading import FeatureId, Graph
from baez_pipeline.graphs.records import Records, each_record

_SOURCE = re.compile(r"[0-9]+-(?P<source_set>[A-Za-z0-9_.-]+)")
_MOST_NAMED = 5

NO_FILE = "There is no file"
"""How it is said that a feature has no record, which is usual."""


class FeatureFiles:
    """A folder of Neuronpedia's feature JSON: `<layer>-<source set>/<index>.json`, or `<layer>_<index>.json`."""

    def __init__(self, folder: Path, *, packed: PackedDocuments, asked: str | None = None) -> None:
        """The folder.

        Args:
            folder: with the files.
            packed: what becomes of contexts that hold several documents.
            asked: the dictionary that the graph's features are of, as the user says.

        Raises:
            SourceError: it is no folder.
        """
        if not folder.is_dir():
            raise SourceError(f"{folder} is no folder: expected feature files, <layer>-<source set>/<index>.json.")
        self._folder, self._packed, self._asked = folder, packed, asked

    def of(self, graph: Graph) -> Records:
        """The records of the graph's features that are there and of its dictionary.

        Raises:
            SourceError: neither the graph nor the folder tells which dictionary that is.
        """
        dictionary = self._dictionary(graph, named_in(graph, self._asked))
        return each_record(graph.features, lambda feature: self._record(dictionary, feature), dictionary)

    def _record(self, dictionary: Dictionary, feature: FeatureId) -> pl.DataFrame:
        source = dictionary.source(feature)
        paths = [self._folder / source / f"{feature.index}.json", self._flat(feature)]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise UnreadableRecord(f"{NO_FILE} {' or '.join(self._below(path) for path in paths)}.")
        body = _json(path)
        if body is None:
            raise UnreadableRecord(f"{self._below(path)} is not JSON.")
        found = body.get("layer") if isinstance(body, dict) else None
        if found != source:
            # Features of two dictionaries have equal numbers.
            raise UnreadableRecord(f"{self._below(path)} is of source {str(found)[:50]!r}; expected {source!r}.")
        return record_of(body, model=dictionary.model, source=source, index=feature.index, packed=self._packed).frame

    def _dictionary(self, graph: Graph, named: Named) -> Dictionary:
        """What the graph names, with what it leaves out from the folder, where that knows of one only."""
        if named.model is not None and named.source_set is not None:
            return named.completed(model=named.model, source_set=named.source_set, by=named.by)
        if named.source_set is None and any(feature.attention for feature in graph.features) and not self._asked:
            raise SourceError(
                f"{graph.place} has attention features, and does not name the source sets of its features: set "
                "neuronpedia_source_set and neuronpedia_lorsa_source_set in its metadata.feature_details."
            )
        found = {(_if_name(body.get("modelId")), _set_of(body.get("layer"))) for body in self._bodies(graph)}
        sets = {
            each
            for each in {source_set for _, source_set in found} | self._sets_of_folders()
            if each is not None and named.source_set in (None, each) and each != named.attention_set
        }
        models = {
            model
            for model, source_set in found
            if model is not None and named.model in (None, model) and source_set in sets
        }
        if len(sets) != 1 or len(models) != 1:
            known = sorted(f"{model}/{source_set}" for model, source_set in found) or sorted(sets)
            raise SourceError(
                f"{graph.place} does not name the dictionary of its features (metadata.scan is "
                f"{graph.metadata.scan[:100]!r}, source set {named.source_set or 'not given'}), and {self._folder} "
                f"holds {', '.join(known[:_MOST_NAMED]) or 'no record of them'}: {HOW_TO_NAME}."
            )
        return named.completed(model=models.pop(), source_set=sets.pop(), by="the records folder")

    def _sets_of_folders(self) -> set[str | None]:
        return {_set_of(path.name) for path in self._folder.iterdir() if path.is_dir()}

    def _bodies(self, graph: Graph) -> Iterator[dict[str, Any]]:
        """What is there of the graph's features, of whatever dictionary."""
        for feature in graph.features:
            folders = [path for path in self._folder.glob(f"{feature.layer}-*") if path.is_dir()]
            for path in (*(folder / f"{feature.index}.json" for folder in folders), self._flat(feature)):
                body = _json(path) if path.is_file() else None
                if isinstance(body, dict):
                    yield body

    def _flat(self, feature: FeatureId) -> Path:
        return self._folder / f"{feature.layer}_{feature.index}.json"

    def _below(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()


def _json(path: Path) -> Any:
    """What is in a file; None where it is not JSON."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _if_name(text: object) -> str | None:
    return text if isinstance(text, str) and is_name(text) else None


def _set_of(source: object) -> str | None:
    found = _SOURCE.fullmatch(source) if isinstance(source, str) else None
    return found["source_set"] if found else None
