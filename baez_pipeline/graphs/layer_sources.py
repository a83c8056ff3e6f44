"""The records of a graph's features at Neuronpedia, or in its bulk exports.

A graph's features are of many layers, each a source of its own; the experiment's source names one of them, and says by
that where the others are.
"""

from collections.abc import Callable

import polars as pl

from baez_pipeline.answers import Answers
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import NeuronpediaApiSource, NeuronpediaExportSource
from baez_pipeline.features.source import UnreadableRecord, open_source
from baez_pipeline.graphs.dictionary import HOW_TO_NAME, Dictionary, named_in
from baez_pipeline.graphs.reading import FeatureId, Graph
from baez_pipeline.graphs.records import Records, each_record


class LayerSources:
    """The sources of all layers, as Neuronpedia has them side by side: `<layer>-<source set>`."""

    def __init__(
        self,
        source: NeuronpediaApiSource | NeuronpediaExportSource,
        answers: Callable[[], Answers],
        *,
        asked: str | None = None,
    ) -> None:
        """The sources beside the experiment's.

        Args:
            source: the experiment's, of any layer.
            answers: opens the database in which what was read is kept.
            asked: the dictionary that the graph's features are of, as the user says.
        """
        self._source, self._answers, self._asked = source, answers, asked

    def of(self, graph: Graph) -> Records:
        """The records of the graph's features, layer by layer; each layer's are asked for together.

        Raises:
            SourceError: the graph names another dictionary than the experiment's source, or no layer is there.
            ServiceError: the service cannot be reached.
        """
        dictionary = self._dictionary(graph)
        by_layer: dict[tuple[int, bool], list[FeatureId]] = {}
        for feature in graph.features:
            by_layer.setdefault((feature.layer, feature.attention), []).append(feature)
        parts, errors = [], []
        for features in by_layer.values():
            try:
                parts.append(self._of_layer(dictionary, features))
            except SourceError as error:
                # An export may lie here for some layers alone.
                errors.append(error)
                missing = dict.fromkeys(features, str(error))
                parts.append(Records(found={}, missing=missing, dictionary=dictionary))
        if errors and len(errors) == len(by_layer):
            raise errors[0]
        return Records(
            found={feature: record for part in parts for feature, record in part.found.items()},
            missing={feature: reason for part in parts for feature, reason in part.missing.items()},
            dictionary=dictionary,
        )

    def _of_layer(self, dictionary: Dictionary, features: list[FeatureId]) -> Records:
        settings = self._settings(dictionary.source(features[0]), highest=features[-1].index)
        source = open_source(settings, self._answers)
        inside = [feature.index for feature in features if feature.index < source.width]
        source.fetch_ahead(inside)

        def record(feature: FeatureId) -> pl.DataFrame:
            found = source.record(feature.index) if feature.index < source.width else None
            if found is None:
                raise UnreadableRecord(f"Source {source.source_id} does not have feature {feature.index}.")
            return found

        return each_record(features, record, dictionary)

    def _settings(self, source: str, *, highest: int) -> NeuronpediaApiSource | NeuronpediaExportSource:
        if isinstance(self._source, NeuronpediaApiSource):
            return self._source.model_copy(update={"source": source, "width": max(self._source.width, highest + 1)})
        *_, parent = self._own()
        return self._source.model_copy(update={"url": f"{parent}/{source}"})

    def _dictionary(self, graph: Graph) -> Dictionary:
        """The graph's; a SourceError unless the experiment's source is of it."""
        model, source_set, _ = self._own()
        named = named_in(graph, self._asked)
        found = named.completed(model=model, source_set=source_set, by="the experiment's source")
        if (found.model, found.source_set) == (model, source_set):
            return found
        raise SourceError(
            f"{graph.place} has features of {found.model}, source set {found.source_set}, as {found.named_by} has it, "
            f"but the experiment's source is of {model}, source set {source_set}: choose an experiment whose source is "
            f"<layer>-{found.source_set} of {found.model}, of any layer, or give the records as files (--records "
            f"FOLDER); or, if that is not their dictionary, {HOW_TO_NAME}."
        )

    def _own(self) -> tuple[str, str, str]:
        """Model and source set of the experiment's source, and the folder or URL in which its layers lie."""
        if isinstance(self._source, NeuronpediaApiSource):
            return self._source.model, self._source.source.partition("-")[2], ""
        parent, _, last = self._source.url.rstrip("/").rpartition("/")
        return parent.rpartition("/")[2], last.partition("-")[2], parent
