"""Made-up records for a graph's features, so that `baez graph label` can be tried where the real ones are not at hand.

    python -m benchmarks.graph_records GRAPH FOLDER

Three quarters of the graph's features get a file in Neuronpedia's schema, whose examples are texts of the embedded
corpus: with the peak at the word that the feature's node stands at, before a word to say, anywhere in texts on a topic,
or anywhere. Which of them is drawn at random, early layers rather at a word and late ones before one. They say nothing
about the model: a label shows that what was put in is found again. `patterns.json`, beside the records' folders, says
what was put in.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from baez_pipeline.embedded import DATA
from baez_pipeline.graphs.dictionary import named_in
from baez_pipeline.graphs.reading import FeatureId, Graph, read_graph

Pattern = Literal["input", "output", "topic", "obscure"]
Contexts = dict[str, list[str]]
"""dataIndex -> tokens."""

UNNAMED = "made-up"
"""Model and source set of the records where the graph does not name them."""
WITH_A_RECORD = 0.75
OBSCURE = 0.15
EXAMPLES = 30
MARGIN = 6
"""Tokens between a peak and the ends of its text."""
EARLY, LATE = 0.25, 0.65
"""Depths up to which features are at a word, and from which they may be before one."""
CITIES = (" Houston", " Chicago", " Boston", " London", " Paris", " Philadelphia", " Washington", " York", " Berlin")
"""Take the place of a word that the corpus hardly has: the city of the prompt."""
TOPIC = (" city", " county", " state", " population", " capital", " town", " Texas", " region", " province", " village")


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", type=Path, help="a graph file of circuit-tracer or Neuronpedia")
    parser.add_argument("folder", type=Path, help="where the records go: a new folder")
    asked = parser.parse_args()
    graph, contexts = read_graph(asked.graph), corpus_contexts()
    asked.folder.mkdir(parents=True)
    patterns: dict[str, tuple[Pattern, str]] = {}
    dictionary = named_in(graph).completed(model=UNNAMED, source_set=UNNAMED, by="this script")
    for feature in graph.features:
        rng = random.Random(str(feature))
        if rng.random() >= WITH_A_RECORD:
            continue
        pattern, word = _pattern(graph, feature, rng)
        source = dictionary.source(feature)
        body = {
            "modelId": dictionary.model,
            "layer": source,
            "index": str(feature.index),
            "pos_str": [word] if word else [],
            "pos_values": [1.0] if word else [],
            "activations": _activations(pattern, word, contexts, rng),
            "explanations": [],
        }
        place = asked.folder / source / f"{feature.index}.json"
        place.parent.mkdir(exist_ok=True)
        place.write_text(json.dumps(body))
        patterns[f"{feature.layer}_{feature.index}"] = (pattern, word)
    (asked.folder / "patterns.json").write_text(json.dumps(patterns, indent=1))
    counts = Counter(pattern for pattern, _ in patterns.values())
    named = ", ".join(f"{count} {pattern}" for pattern, count in sorted(counts.items()))
    print(f"{len(patterns)} of {len(graph.features)} features have a record in {asked.folder}: {named}")


def corpus_contexts() -> Contexts:
    """The texts of the embedded SAE's examples."""
    rows = pl.read_parquet(DATA / "activations-0.parquet", columns=["dataIndex", "tokens"])
    return dict(rows.unique("dataIndex").sort("dataIndex").iter_rows())


def _pattern(graph: Graph, feature: FeatureId, rng: random.Random) -> tuple[Pattern, str]:
    """What a feature is made to do, and its word."""
    tokens = graph.metadata.prompt_tokens
    place = max(node.ctx_idx for node in graph.nodes if node.is_feature and node.feature_id == feature)
    depth = feature.layer / max(each.layer for each in graph.features)
    if rng.random() < OBSCURE:
        return "obscure", ""
    if depth <= EARLY:
        return "input", tokens[place]
    if depth >= LATE and place == len(tokens) - 1:
        return "output", rng.choice([" Texas", " Austin", " the", " city"])
    return ("topic", "") if rng.random() < 0.5 else ("input", tokens[place])


def _activations(pattern: Pattern, word: str, contexts: Contexts, rng: random.Random) -> list[dict[str, Any]]:
    names = sorted(contexts)
    rng.shuffle(names)
    top, rows = rng.uniform(8, 20), list[dict[str, Any]]()
    rare = sum(word in tokens for tokens in contexts.values()) < EXAMPLES
    for name in names:
        tokens = [word if rare and token in CITIES else token for token in contexts[name]]
        if len(rows) == EXAMPLES:
            break
        if not (places := _places(pattern, word, tokens)):
            continue
        values = [0.0] * len(tokens)
        peak = rng.choice(places)
        values[peak] = round(top * (1 - 0.6 * len(rows) / EXAMPLES), 3)
        rows.append(
            {
                "dataIndex": name,
                "tokens": tokens,
                "values": values,
                "maxValue": values[peak],
                "maxValueTokenIndex": peak,
                "minValue": 0.0,
            }
        )
    return rows


def _places(pattern: Pattern, word: str, tokens: Sequence[str]) -> list[int]:
    """Where the peak may stand in a text."""
    inner = range(MARGIN, len(tokens) - MARGIN)
    if pattern == "input":
        return [place for place in inner if tokens[place] == word]
    if pattern == "output":
        return [place for place in inner if tokens[place + 1] == word]
    if pattern == "topic" and sum(token in TOPIC for token in tokens) < 3:
        return []
    return list(inner)


if __name__ == "__main__":
    main()
