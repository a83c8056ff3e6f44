"""A tiny folder of several layers, written by the build's own last stage from results worked out by hand."""

import json
from pathlib import Path

import numpy as np

from baez_pipeline.embedded import WINDOW_TOKENS
from baez_pipeline.embedded.compute import USED_FILE
from baez_pipeline.embedded.corpus import Corpus
from baez_pipeline.embedded.layers import LAYERS_REPORT_FILE, layer_file
from baez_pipeline.embedded.layers_write import write_layers

WINDOWS = 24
INDICES = {3: [5, 9], 7: [1, 5, 8]}
"""Block -> numbers of its drawn features."""


class Tokenizer:
    """Token 7 is " t7"; token 0 opens a document."""

    def __len__(self):
        return 200

    def decode(self, tokens, **_):
        return "<|endoftext|>" if tokens == [0] else f" t{tokens[0]}"


def write_tiny_layers(work: Path, output: Path) -> Path:
    """The feature at place p is active in windows p to p + 19, at positions 10 + p and 11 + p, half as strong at the
    second; its peak in window p + r is 20 - r."""
    work.mkdir(parents=True, exist_ok=True)
    tiny_corpus().save(work / USED_FILE)
    first = 0
    for block, indices in INDICES.items():
        np.savez(work / layer_file(block), **_arrays(indices, first))
        first += len(indices)
    (work / LAYERS_REPORT_FILE).write_text(json.dumps(_report()))
    write_layers(work, output, Tokenizer())
    return output


def tiny_corpus() -> Corpus:
    """One article of windows for the features, and one for each other split."""
    documents = ["1-Lanterns", "2-Bank", "3-Held"]
    ids = np.tile(np.arange(WINDOW_TOKENS, dtype=np.uint16), (WINDOWS + 2, 1))
    return Corpus(
        token_ids=ids,
        window_document=np.array([1, *[0] * WINDOWS, 2], dtype=np.int32),
        window_number=np.array([0, *range(WINDOWS), 0], dtype=np.int32),
        document_ids=np.array(documents),
        titles=np.array(["Lanterns", "Bank", "Held"]),
        document_split=np.array([0, 1, 2], dtype=np.uint8),
    )


def _arrays(indices, first):
    count = len(indices)
    feature = np.repeat(np.arange(count, dtype=np.int32), 20)
    rank = np.tile(np.arange(20, dtype=np.int32), count)
    window = feature + first + rank
    values = np.zeros((len(feature), WINDOW_TOKENS), dtype=np.float16)
    rows = np.arange(len(feature))
    values[rows, 10 + first + feature] = 20 - rank
    values[rows, 11 + first + feature] = (20 - rank) / 2
    active = np.zeros((WINDOWS, count), dtype=bool)
    active[window, feature] = True
    no_bin = np.full(len(feature), -1, dtype=np.float32)
    return {
        "feature": feature,
        "window": window.astype(np.int32),
        "rank": rank,
        "bin_min": no_bin,
        "bin_max": no_bin,
        "bin_contains": no_bin,
        "values": values,
        "activity": np.packbits(active, axis=1, bitorder="little"),
        "index": np.array(indices, dtype=np.int32),
        "decoder": np.full((count, 4), first + 1, dtype=np.float16),
        "frac_nonzero": np.full(count, 0.01, dtype=np.float32),
        "max_act": np.full(count, 20, dtype=np.float32),
        "pos_ids": np.full((count, 2), 7, dtype=np.int32),
        "pos_values": np.ones((count, 2), dtype=np.float32),
        "neg_ids": np.full((count, 2), 8, dtype=np.int32),
        "neg_values": -np.ones((count, 2), dtype=np.float32),
    }


def _report():
    figures = {name: {"explained_variance": 0.5} for name in ("unseen_articles", "training_articles")}
    return {
        "settings": {"features": 3, "minimum_windows": 20, "sae": {"width": 16, "k": 2, "epochs": 1}},
        "blocks": {
            str(block): {
                "sae_figures": figures,
                "features": {"live_share": 1.0, "with_enough_windows": 5, "drawn": len(indices), "examples": 40},
            }
            for block, indices in INDICES.items()
        },
        "seconds": {"training": 1.0},
        "machine": {"device": "none"},
    }
