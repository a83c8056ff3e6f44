"""A small attribution graph, records of its features in Neuronpedia's schema, and an embedder that counts words."""

import copy
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baez_pipeline.graphs.reading import cantor, parse_graph

SHARED = Path(__file__).parents[3] / "shared" / "data"
MODEL, SOURCE_SET = "gemma-2-2b", "clt-hp"
TOKENS = ["<bos>", "The", " capital", " is"]
FILLING = " ".join(
    f"{first}{vowel}{last}" for first in "bcdfg" for vowel in "ao" for last in ("rn", "st", "ld", "mp", "nk")
)
"""Fifty words that mean nothing, so that contexts of them have little in common."""


def shared(name: str) -> Path:
    """A file of the shared reference data; the test is skipped where there is none."""
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"the reference data {path.name} is not here (folder shared/data beside the checkout)")
    return path


OTHER_TOPIC = "violin cello opera tenor piano choir ballet flute"
TOPIC = "Dallas Houston Texas county ranch river oil border"


def feature(layer: int, index: int, position: int, **changes: Any) -> dict[str, Any]:
    """A feature node."""
    return {
        "node_id": f"{layer}_{index}_{position}",
        "feature": cantor(layer, index),
        "layer": str(layer),
        "ctx_idx": position,
        "feature_type": "cross layer transcoder",
        "jsNodeId": f"{layer}_{index}-0",
        "clerp": "",
        "influence": 0.5,
        "activation": 2.0,
    } | changes


def error(layer: int, position: int) -> dict[str, Any]:
    """The reconstruction error of a layer at a position; its id has the shape of a feature's."""
    return feature(0, layer, position) | {
        "layer": str(layer),
        "feature": -1,
        "feature_type": "mlp reconstruction error",
        "activation": None,
    }


def embedding(position: int) -> dict[str, Any]:
    """A token of the prompt."""
    return feature(0, 0, position) | {
        "node_id": f"E_{position + 2}_{position}",
        "feature": position,
        "layer": "E",
        "feature_type": "embedding",
    }


def logit(token: str, vocabulary_id: int, probability: float, *, target: bool = False) -> dict[str, Any]:
    """A next token."""
    return feature(27, vocabulary_id, 3) | {
        "feature": vocabulary_id,
        "feature_type": "logit",
        "clerp": f'Output "{token}" (p={probability:.3f})',
        "token_prob": probability,
        "is_target_logit": target,
        "influence": None,
    }


def link(source: str, target: str, weight: float) -> dict[str, Any]:
    """A direct effect."""
    return {"source": source, "target": target, "weight": weight}


def graph_body() -> dict[str, Any]:
    """Two features alike at the token " capital", one at " is", one error, one logit."""
    nodes = [
        embedding(2),
        embedding(3),
        feature(0, 11, 2),
        feature(1, 12, 2),
        feature(20, 13, 3),
        error(1, 2),
        logit(" Austin", 22605, 0.5, target=True),
    ]
    links = [
        link("E_4_2", "0_11_2", 4.0),
        link("E_4_2", "1_12_2", 3.0),
        link("0_1_2", "1_12_2", -1.0),
        link("0_11_2", "20_13_3", 2.0),
        link("1_12_2", "20_13_3", 2.0),
        link("E_5_3", "20_13_3", 4.0),
        link("20_13_3", "27_22605_3", 6.0),
        link("0_1_2", "27_22605_3", 2.0),
    ]
    return {
        "metadata": {
            "slug": "small-graph",
            "scan": MODEL,
            "transcoder_list": [],
            "prompt_tokens": TOKENS,
            "prompt": "".join(TOKENS),
            "schema_version": 1,
            "node_threshold": 0.8,
            "feature_details": {"neuronpedia_source_set": SOURCE_SET},
        },
        "qParams": {"pinnedIds": [], "supernodes": [], "linkType": "both", "clickedId": "", "sg_pos": ""},
        "nodes": nodes,
        "links": links,
    }


def graph_of(body: dict[str, Any]):
    """The graph in a body."""
    return parse_graph(json.dumps(body).encode(), place="graph.json")


def changed(body: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The body with another value at a place."""
    made = copy.deepcopy(body)
    inner = made
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return made


def feature_body(
    layer: int, index: int, *, at: str = "", after: str = "", words: str = FILLING, examples: int = 12
) -> dict[str, Any]:
    """A feature's JSON: contexts of other words around the same one, which the feature is active at.

    Args:
        layer: of the feature.
        index: of the feature.
        at: the word at the peak; empty = another one in each context.
        after: the word after it; empty = another one in each context.
        words: what the contexts are made of.
        examples: how many contexts.
    """
    rng = np.random.default_rng(zlib.crc32(f"{layer}_{index}".encode()))
    rows = []
    for number in range(examples):
        tokens = [f" {word}" for word in rng.choice(words.split(), 24)]
        for offset, word in enumerate((at, after)):
            if word:
                tokens[12 + offset] = f" {word}"
        values = [0.0] * len(tokens)
        values[12] = 10.0 - 0.1 * number
        rows.append(
            {
                "dataIndex": f"{layer}-{index}-{number}",
                "tokens": tokens,
                "values": values,
                "maxValue": values[12],
                "maxValueTokenIndex": 12,
            }
        )
    return {
        "modelId": MODEL,
        "layer": f"{layer}-{SOURCE_SET}",
        "index": str(index),
        "sourceSetName": SOURCE_SET,
        "pos_str": [f" {after or at}"],
        "pos_values": [1.0],
        "activations": rows,
    }


def write_records(folder: Path, bodies: list[dict[str, Any]]) -> Path:
    """The bodies as a folder of feature files."""
    for body in bodies:
        path = folder / body["layer"] / f"{body['index']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(body))
    return folder


def embed(texts):
    """Each text as the words that it has, whatever their order."""
    vectors = np.full((len(texts), 256), 1e-3, np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().replace('"', "").replace(",", "").split():
            vectors[row, zlib.crc32(word.encode()) % 256] += 1
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
