"""The last stage of the layers' data: shipped files from the results of `compute_layers`.

Many features of five blocks share their windows, so a window's text is kept once and an example names it; which of its
tokens activate the feature, and by how much, are few numbers. `features/sae_layers.py` puts the rows together again.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import save_file

from baez_pipeline.embedded import DATA_SOURCE
from baez_pipeline.embedded.compute import USED_FILE
from baez_pipeline.embedded.corpus import Corpus
from baez_pipeline.embedded.layers import LAYERS_REPORT_FILE, layer_file
from baez_pipeline.embedded.layers_readme import layers_readme
from baez_pipeline.embedded.write import (
    ACTIVITY_FILE,
    FEATURES_FILE,
    PROVENANCE_FILE,
    README_FILE,
    corpus_figures,
    feature_rows,
    file_hashes,
    package_versions,
    token_strings,
    write_table,
)
from baez_pipeline.errors import SourceError
from baez_pipeline.llm.smollm2 import MODEL_ID

EXAMPLES_FILE = "examples.parquet"
WINDOWS_FILE = "windows.parquet"
DECODER_FILE = "decoder.safetensors"

_Arrays = dict[str, NDArray[Any]]


def write_layers(work: Path, output: Path, tokenizer: Any) -> None:
    """Write everything that `data/layers/README.md` lists, then put it in the place of `output`.

    Args:
        work: holds the results of the stages `corpus` and `compute`.
        output: the folder of the shipped files; what lies there is replaced.
        tokenizer: SmolLM2's.

    Raises:
        SourceError: the work folder lacks a result of the stage `compute`.
    """
    report = _report(work)
    blocks = [int(block) for block in report["blocks"]]
    corpus, layers = Corpus.load(work / USED_FILE), [_load(work / layer_file(block)) for block in blocks]
    strings = token_strings(tokenizer)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".building-") as temporary:
        folder = Path(temporary) / "layers"
        folder.mkdir()
        rows = [feature_rows(layer, layer["index"], strings, block=b) for b, layer in zip(blocks, layers, strict=True)]
        write_table(pl.concat(rows), folder / FEATURES_FILE)
        write_table(example_rows(corpus, layers), folder / EXAMPLES_FILE)
        write_table(window_rows(corpus, layers, strings), folder / WINDOWS_FILE)
        write_table(activity_rows(corpus, layers), folder / ACTIVITY_FILE)
        save_file({"W_dec": np.concatenate([layer["decoder"] for layer in layers])}, folder / DECODER_FILE)
        provenance = {
            "source": {"modelId": MODEL_ID, "layers": rows_per_layer(rows)},
            "corpus": corpus_figures(corpus),
            **report,
            "versions_of_stage_write": package_versions(),
            "files": file_hashes(folder),
        }
        (folder / PROVENANCE_FILE).write_text(json.dumps(provenance, indent=2) + "\n")
        (folder / README_FILE).write_text(layers_readme(provenance))
        if output.exists():
            shutil.rmtree(output)
        folder.rename(output)


def _report(work: Path) -> dict[str, Any]:
    path = work / LAYERS_REPORT_FILE
    blocks = json.loads(path.read_text())["blocks"] if path.is_file() else []
    missing = [
        name
        for name in (LAYERS_REPORT_FILE, USED_FILE, *(layer_file(int(block)) for block in blocks))
        if not (work / name).is_file()
    ]
    if missing:
        raise SourceError(
            f"The work folder {work} lacks {', '.join(missing)}: run the stages corpus and compute with --layers first."
        )
    return json.loads(path.read_text())


def _load(path: Path) -> _Arrays:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def rows_per_layer(rows: list[pl.DataFrame]) -> dict[str, int]:
    """Source id of each layer and how many features were drawn from it."""
    return {str(frame["layer"][0]): frame.height for frame in rows}


def example_rows(corpus: Corpus, layers: list[_Arrays]) -> pl.DataFrame:
    """One row per example: which feature (place in `features.parquet`), which window, where it is active.

    `positions` are the tokens with an activation, 0 = `<|endoftext|>`; `values` (the model's units, rounded to
    float16) are as many. The bin columns are Neuronpedia's.
    """
    windows = corpus.rows("features")
    frames = []
    first = 0
    for layer in layers:
        active = layer["values"] > 0
        ends = np.cumsum(active.sum(axis=1))[:-1]
        frames.append(
            pl.DataFrame(
                {
                    "place": (layer["feature"] + first).astype(np.int32),
                    "dataIndex": [corpus.data_index(row) for row in windows[layer["window"]]],
                    "positions": [part.tolist() for part in np.split(np.nonzero(active)[1], ends)],
                    "values": [part.tolist() for part in np.split(layer["values"][active].astype(np.float32), ends)],
                    "binMin": layer["bin_min"],
                    "binMax": layer["bin_max"],
                    "binContains": layer["bin_contains"],
                },
                schema_overrides={"positions": pl.List(pl.UInt8), "values": pl.List(pl.Float32)},
            )
        )
        first += len(layer["index"])
    return pl.concat(frames)


def window_rows(corpus: Corpus, layers: list[_Arrays], strings: list[str]) -> pl.DataFrame:
    """Every window that occurs among the examples: its name, its article, its tokens as text and as ids."""
    rows = corpus.rows("features")[used_windows(layers)]
    words = np.array(strings, dtype=object)
    return pl.DataFrame(
        {
            "dataIndex": [corpus.data_index(row) for row in rows],
            "dataSource": [f"{DATA_SOURCE}: {corpus.title(row)}" for row in rows],
            "tokens": words[corpus.token_ids[rows]].tolist(),
            "tokenIds": corpus.token_ids[rows].astype(np.int32),
        }
    ).with_columns(pl.col("tokenIds").arr.to_list())


def activity_rows(corpus: Corpus, layers: list[_Arrays]) -> pl.DataFrame:
    """For every window among the examples, which drawn features are active anywhere in it, by place, as a bitmap."""
    used = used_windows(layers)
    bits = [
        np.unpackbits(layer["activity"][used], axis=1, count=len(layer["index"]), bitorder="little") for layer in layers
    ]
    packed = np.packbits(np.concatenate(bits, axis=1), axis=1, bitorder="little")
    rows = corpus.rows("features")[used]
    return pl.DataFrame(
        {
            "dataIndex": [corpus.data_index(row) for row in rows],
            "activeFeatures": [window.tobytes() for window in packed],
        },
        schema={"dataIndex": pl.String, "activeFeatures": pl.Binary},
    )


def used_windows(layers: list[_Arrays]) -> NDArray[np.int64]:
    """Windows of the split "features" that any example shows, ascending."""
    return np.unique(np.concatenate([layer["window"] for layer in layers])).astype(np.int64)
