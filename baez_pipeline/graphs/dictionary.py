"""Which dictionaries a graph's features are of: Neuronpedia's ids of the model and of the source sets.

A graph of Neuronpedia names them. One that circuit-tracer wrote names its transcoders instead: `metadata.scan` is then
`mntss/clt-gemma-2-2b-2.5M@main`, or `custom-<hash>` for a list of them (its utils/hf_utils.py, create_graph_files.py).
Equal numbers would join the features of any two dictionaries, so what is not named is asked for, never guessed.
"""

import re
from dataclasses import dataclass

from baez_pipeline.errors import SourceError
from baez_pipeline.features.source import feature_key
from baez_pipeline.graphs.reading import FeatureId, Graph

HOW_TO_NAME = "say which one it is (--features-of MODEL/SOURCE_SET; in Dagster, features_of)"
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_CUSTOM = "custom-"
_SOURCE_URL = re.compile(r"neuronpedia\.org/(?P<model>[A-Za-z0-9_.-]+)/(?P<source_set>[A-Za-z0-9_.-]+)")


@dataclass(frozen=True, kw_only=True)
class Named:
    """What is said of a graph's dictionaries, so far."""

    model: str | None
    source_set: str | None
    attention_set: str | None
    """Of attention features, where they have one of their own."""
    by: str

    def completed(self, *, model: str, source_set: str, by: str) -> "Dictionary":
        """With what was not said taken from elsewhere.

        Args:
            model: from there.
            source_set: from there.
            by: what says these two.
        """
        whole = self.model is not None and self.source_set is not None
        source_set = self.source_set or source_set
        return Dictionary(
            model=self.model or model,
            source_set=source_set,
            attention_set=self.attention_set or source_set,
            named_by=self.by if whole else by,
        )


@dataclass(frozen=True, kw_only=True)
class Dictionary:
    """What the features of a graph are numbers of."""

    model: str
    source_set: str
    attention_set: str
    named_by: str
    """What says so: the graph file, the experiment's source, the records folder, or the user."""

    def source(self, feature: FeatureId) -> str:
        """Neuronpedia's id of a feature's source."""
        return f"{feature.layer}-{self.attention_set if feature.attention else self.source_set}"

    def key(self, feature: FeatureId) -> str:
        """The feature's key."""
        return feature_key(self.source(feature), feature.index)


def named_in(graph: Graph, asked: str | None = None) -> Named:
    """What a graph's file says of its dictionaries, or what the user says instead.

    Args:
        graph: the graph.
        asked: `<model>/<source set>`, which comes before what the file says.

    Raises:
        SourceError: what is asked for is not of that form.
    """
    details = graph.metadata.feature_details
    attention_set = _name(details.neuronpedia_lorsa_source_set)
    if asked is not None:
        of_model, _, source_set = asked.partition("/")
        if not (_NAME.fullmatch(of_model) and _NAME.fullmatch(source_set)):
            raise SourceError(
                f"{asked!r} is no dictionary: expected Neuronpedia's ids as <model>/<source set>, such as "
                "gemma-2-2b/clt-hp."
            )
        return Named(model=of_model, source_set=source_set, attention_set=attention_set, by="the user")
    # Graphs of 2025 name the source set in the addresses of what they were made from only.
    urls = [url for url in graph.metadata.info.source_urls if isinstance(url, str)]
    addresses = {found.groups() for url in urls if (found := _SOURCE_URL.search(url))}
    model = _model(graph.metadata.scan)
    fitting = [address for address in addresses if model in (None, address[0])]
    address = fitting[0] if len(fitting) == 1 else (None, None)
    return Named(
        model=model or address[0],
        source_set=_name(details.neuronpedia_source_set) or address[1],
        attention_set=attention_set,
        by="the graph file",
    )


def is_name(text: object) -> bool:
    """Whether it has the characters of Neuronpedia's ids."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def _model(scan: str) -> str | None:
    return None if scan.startswith(_CUSTOM) else _name(scan)


def _name(text: str | None) -> str | None:
    return text if is_name(text) else None
