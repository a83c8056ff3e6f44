"""A tiny SAE on disk, in the layout that LocalSae reads: real Parquet, contents that a test can work out by hand."""

import json
from pathlib import Path

import polars as pl

WIDTH = 40
SOURCE_ID = "2-tiny-res"
WINDOW = 40
WORDS = ("lantern", "meadow", "copper", "ribbon", "thistle")
"""Each stands in a fifth of the windows, at position 20, and can be planted as a keyword; nothing else can be."""


def write_tiny_sae(folder: Path, *, dead: set[int] = frozenset(), rare: set[int] = frozenset()) -> Path:
    """Feature i is active in windows i-0 .. i-19, example r with peak 20 - r at position 30; rare ones in 4 windows.

    Feature i is also faintly active in window (i+1)-0, without an example of it: only the activity bitmap says so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    indices = range(WIDTH)
    pl.DataFrame(
        {
            "modelId": ["tiny"] * WIDTH,
            "layer": [SOURCE_ID] * WIDTH,
            "index": [str(i) for i in indices],
            "sourceSetName": ["tiny-res"] * WIDTH,
            "hookName": ["blocks.2.hook_resid_post"] * WIDTH,
            "maxActApprox": [20.0] * WIDTH,
            "frac_nonzero": [0.01] * WIDTH,
            "pos_str": [["a"]] * WIDTH,
            "pos_values": [[1.0]] * WIDTH,
            "neg_str": [["b"]] * WIDTH,
            "neg_values": [[-1.0]] * WIDTH,
        }
    ).write_parquet(folder / "features.parquet")
    rows = [activation_row(i, rank) for i in indices if i not in dead for rank in range(4 if i in rare else 20)]
    pl.DataFrame(rows).write_parquet(folder / "activations-0.parquet")
    activity = [
        {"dataIndex": f"{i}-{rank}", "activeFeatures": _bitmap({i} | ({i - 1} if rank == 0 and i else set()))}
        for i in indices
        for rank in range(20)
    ]
    pl.DataFrame(activity).write_parquet(folder / "window_activity.parquet")
    (folder / "provenance.json").write_text(json.dumps({"files": {"activations-0.parquet": {"sha256": "0"}}}))
    return folder


def activation_row(feature: int, rank: int) -> dict:
    values = [0.0] * WINDOW
    values[30] = 20.0 - rank
    tokens = ["<|endoftext|>", *(f" w{feature}.{rank}.{t}" for t in range(1, WINDOW))]
    tokens[20] = f" {WORDS[(feature + rank) % len(WORDS)]}"
    return {
        "modelId": "tiny",
        "layer": SOURCE_ID,
        "index": str(feature),
        "dataIndex": f"{feature}-{rank}",
        "dataSource": f"document {feature}",
        "tokens": tokens,
        "tokenIds": list(range(WINDOW)),
        "values": values,
        "maxValue": max(values),
        "maxValueTokenIndex": 30,
        "minValue": 0.0,
        "binMin": -1.0,
        "binMax": -1.0,
        "binContains": -1.0,
        "qualifyingTokenIndex": None,
    }


def _bitmap(active: set[int]) -> bytes:
    bits = bytearray((WIDTH + 7) // 8)
    for index in active:
        bits[index // 8] |= 1 << index % 8
    return bytes(bits)
