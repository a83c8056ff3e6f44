"""Reading an attribution graph, as circuit-tracer writes it and Neuronpedia takes it.

What is read is checked here once: an error names the file, the node, what was found and what was expected. Whatever
else a file holds is kept as it is, and written back unread (facts of the format: field guide, nla-and-neuronpedia.md,
section 10).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from baez_pipeline.errors import BaezError
from baez_pipeline.features.activation_row import text_of

Kind = Literal["feature", "attention feature", "error", "embedding", "logit", "other"]
KINDS: Mapping[str, Kind] = {
    "cross layer transcoder": "feature",
    "unexplored node": "feature",
    "lorsa": "attention feature",
    "mlp reconstruction error": "error",
    "lorsa error": "error",
    "embedding": "embedding",
    "logit": "logit",
}
"""By `feature_type`. node_id alone does not tell: `0_3_2` is feature 3 of layer 0, or the error of layer 3."""

_FEATURE_ID = re.compile(r"([0-9]{1,4})_([0-9]{1,9})_([0-9]{1,6})")
# Its graphs carry Cantor numbers without saying so (Neuronpedia's graph/utils.ts).
_CANTOR_WITHOUT_VERSION = "gemma-3-27b-it"
_MOST_SHOWN = 120


class GraphError(BaezError):
    """A graph file that cannot be read, or whose parts contradict each other."""


@dataclass(frozen=True, order=True)
class FeatureId:
    """A feature of a graph, wherever in the prompt it is active."""

    layer: int
    index: int
    attention: bool = False
    """Of the attention layers' dictionary (lorsa), which has a source set of its own."""


class _Part(BaseModel):
    """A part of the file. Keys that are not read here stay in the file's body."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class FeatureDetails(_Part):
    """Where the features' dashboards are."""

    neuronpedia_source_set: str | None = None
    neuronpedia_lorsa_source_set: str | None = None


class Info(_Part):
    """Who made the graph, and of what."""

    source_urls: list[JsonValue] = []


class Metadata(_Part):
    """What the graph is of."""

    slug: str = Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}$")
    """Names the files that are written; Neuronpedia allows the same characters."""
    scan: str
    """Neuronpedia's id of the model, or circuit-tracer's name of the transcoders."""
    prompt_tokens: list[str]
    prompt: str
    schema_version: int | None = None
    node_threshold: float | None = None
    feature_details: FeatureDetails = FeatureDetails()
    info: Info = Info()


class Node(_Part):
    """One node. `kind` says which of its fields mean something."""

    node_id: str
    feature: int | None
    layer: str | int
    ctx_idx: Annotated[int, Field(ge=0)]
    feature_type: str
    jsNodeId: str
    clerp: str
    influence: float | None = None
    activation: float | None = None
    token_prob: float | None = None
    is_target_logit: bool = False

    @property
    def kind(self) -> Kind:
        """What it is; "other" for a type that neither interface knows."""
        return KINDS.get(self.feature_type, "other")

    @property
    def is_feature(self) -> bool:
        """Whether it can be labelled."""
        return self.kind in ("feature", "attention feature")

    @property
    def feature_id(self) -> FeatureId:
        """Layer and index, by the node's id; of features only, whose ids `read_graph` has checked."""
        layer, index, _ = self.node_id.split("_")
        return FeatureId(int(layer), int(index), self.kind == "attention feature")

    @property
    def override_key(self) -> str:
        """What Neuronpedia knows the node by in a subgraph's `clerps`: with the raw `feature`, not the index."""
        return f"{self.layer}_{self.feature}_{self.ctx_idx}"


class Link(_Part):
    """One direct effect."""

    source: str
    target: str
    weight: float


class View(_Part):
    """The saved view, `qParams`. circuit-tracer's server saves lists as text, which comes in here as lists."""

    pinned: tuple[str, ...] = ()
    supernodes: tuple[tuple[str, ...], ...] = ()
    """Label first, then node ids."""
    clerps: tuple[tuple[str, str], ...] = ()
    """Labels by `str(feature)`, as circuit-tracer keeps a user's own."""


class _File(_Part):
    metadata: Metadata
    qParams: dict[str, JsonValue]
    nodes: list[Node]
    links: list[Link]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A graph as it was read."""

    place: str
    """The file, for messages."""
    body: Mapping[str, Any]
    """The whole file as it was, with what is not read here. Its texts may hold halves of surrogate pairs."""
    metadata: Metadata
    view: View
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    """Between nodes of the graph; the interfaces drop others, too."""

    @property
    def features(self) -> list[FeatureId]:
        """Each feature once, by layer and index."""
        return sorted({node.feature_id for node in self.nodes if node.is_feature})


def cantor(layer: int, index: int) -> int:
    """The one number for both that graphs of schema version 1 have as `feature` (Cantor's pairing function)."""
    return (layer + index) * (layer + index + 1) // 2 + index


def read_graph(path: Path) -> Graph:
    """The graph in a file.

    Raises:
        GraphError: it cannot be read, or is no attribution graph.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GraphError(f"{path} cannot be read: {error.strerror or error}.") from error
    return parse_graph(content, place=str(path))


def parse_graph(content: bytes, *, place: str) -> Graph:
    """The graph in a file's content.

    Args:
        content: JSON.
        place: the file, for messages.

    Raises:
        GraphError: it is no attribution graph.
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise GraphError(f"{place} is not JSON: {str(error)[:_MOST_SHOWN]}.") from error
    try:
        file = _File.model_validate(_with_whole_characters(body))
    except ValidationError as error:
        raise GraphError(f"{place} is no attribution graph: {_sentence(error, body)}.") from error
    except RecursionError as error:
        raise GraphError(f"{place} is no attribution graph: its lists are too deep.") from error
    _check_ids(file, place)
    if not any(node.is_feature for node in file.nodes):
        raise GraphError(f"{place} has {len(file.nodes)} nodes and no feature among them: there is nothing to label.")
    known = {node.node_id for node in file.nodes}
    return Graph(
        place=place,
        body=body,
        metadata=file.metadata,
        view=_view(file.qParams, place),
        nodes=tuple(file.nodes),
        links=tuple(link for link in file.links if link.source in known and link.target in known),
    )


def _with_whole_characters(value: Any) -> Any:
    """The value with halves of surrogate pairs, which JSON allows and no table can hold, as U+FFFD."""
    if isinstance(value, str):
        return text_of(value)
    if isinstance(value, list):
        return [_with_whole_characters(each) for each in value]
    if isinstance(value, dict):
        return {key: _with_whole_characters(each) for key, each in value.items()}
    return value


def _check_ids(file: _File, place: str) -> None:
    seen: set[str] = set()
    by_cantor = file.metadata.schema_version == 1 or file.metadata.scan == _CANTOR_WITHOUT_VERSION
    for node in file.nodes:
        where = f"{place}, node {node.node_id[:_MOST_SHOWN]!r}"
        if node.node_id in seen:
            raise GraphError(f"{where} is there twice; expected one node of each id.")
        seen.add(node.node_id)
        if node.ctx_idx >= len(file.metadata.prompt_tokens):
            raise GraphError(
                f"{where}: ctx_idx is {node.ctx_idx}; expected less than the {len(file.metadata.prompt_tokens)} tokens "
                "of the prompt."
            )
        if not node.is_feature:
            continue
        parts = _FEATURE_ID.fullmatch(node.node_id)
        if not parts or [int(parts[1]), int(parts[3])] != [_number(node.layer), node.ctx_idx]:
            raise GraphError(
                f"{where}: expected the id of a feature, <layer>_<index>_<position>, with layer {node.layer} and "
                f"position {node.ctx_idx}."
            )
        expected = cantor(int(parts[1]), int(parts[2]))
        if by_cantor and node.feature not in (None, expected):
            raise GraphError(
                f"{where}: feature is {node.feature}; expected {expected}, the Cantor number of layer {parts[1]} and "
                f"index {parts[2]} (metadata.schema_version is 1)."
            )


def _number(layer: str | int) -> int | None:
    return int(layer) if str(layer).isdecimal() else None


def _view(raw: Mapping[str, Any], place: str) -> View:
    pinned = raw.get("pinnedIds") or []
    if isinstance(pinned, str):
        pinned = pinned.split(",")
    try:
        groups, clerps = (_listed(raw.get(name)) for name in ("supernodes", "clerps"))
        return View.model_validate({"pinned": pinned, "supernodes": groups, "clerps": clerps})
    except ValueError as error:
        raise GraphError(
            f"{place}: qParams cannot be read; expected pinnedIds as a list of node ids, supernodes as lists of a "
            "label and node ids, and clerps as pairs of texts."
        ) from error


def _listed(value: Any) -> Sequence[Any]:
    return json.loads(value) if isinstance(value, str) and value else value or []


def _sentence(error: ValidationError, body: Any) -> str:
    problem = error.errors(include_url=False)[0]
    location = list(problem["loc"])
    name = ".".join(map(str, location)) or "the file"
    if len(location) > 1 and location[0] == "nodes" and isinstance(location[1], int):
        node = body["nodes"][location[1]]
        if isinstance(node, dict) and isinstance(node.get("node_id"), str):
            name = f"node {node['node_id'][:_MOST_SHOWN]!r}, {'.'.join(map(str, location[2:]))}"
    if problem["type"] == "missing":
        return f"{name} is missing"
    return f"{name} is {json.dumps(problem['input'], default=str)[:_MOST_SHOWN]}; {problem['msg'].lower()}"
