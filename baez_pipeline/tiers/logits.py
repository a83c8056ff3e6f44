"""The tokens that a feature makes likelier: from its record, or from its decoder row and the unembedding."""

import functools
from pathlib import Path
from typing import Any

import polars as pl

from baez_pipeline.features.roster import is_planted
from baez_pipeline.llm.smollm2 import MODEL_ID, load_smollm2

COUNT = 20
"""Tokens worked out, as many as Arad et al. (2025, "SAEs are good for steering - if you select the right features")."""


def top_logits(record: pl.DataFrame, folder: Path | None) -> list[str] | None:
    """The feature's top logits; None where neither its record nor its folder has them.

    Args:
        record: one row of FeatureRecords; its `pos_str` is taken where the source gives it.
        folder: of a local SAE. With a decoder and of SmolLM2, logits are worked out.

    Raises:
        MissingPackageError: they are to be worked out, and SmolLM2 is not installed.
    """
    told = record["pos_str"].item()
    if told is not None and len(told):
        return list(told)
    if folder is None or is_planted(record["feature"].item()) or record["modelId"].item() != MODEL_ID:
        return None
    decoder = _decoder(folder)
    if decoder is None:
        return None
    from baez_pipeline.embedded.lens import logit_lens

    model, tokenizer = load_smollm2()
    ids = logit_lens(model, decoder[int(record["index"].item())][None], count=COUNT)[0]
    return [tokenizer.decode([int(token)]) for token in ids[0]]


@functools.lru_cache(maxsize=1)
def _decoder(folder: Path) -> Any:
    """Decoder rows, [features, d_model]; None without the file."""
    from safetensors.torch import load_file

    from baez_pipeline.embedded.sae import DECODER_FILE

    return load_file(folder / DECODER_FILE)["W_dec"].float() if (folder / DECODER_FILE).is_file() else None
