"""The torch stage of the layers' data: an autoencoder for each of several blocks, and some features of each.

As `compute` does it for the one block of the embedded experiment, over the same windows and with the same settings, so
that blocks can be compared. Runs where `compute` runs: reads `corpus.npz` from the work folder and leaves there
`corpus_used.npz`, `layers.json` and a `layer_<block>.npz` for each block, each under 16 MiB.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import LlamaForCausalLM

from baez_pipeline.embedded import BLOCK
from baez_pipeline.embedded.compute import (
    CORPUS_FILE,
    USED_FILE,
    Stopwatch,
    density,
    machine,
    make_deterministic,
    ordinary_windows,
)
from baez_pipeline.embedded.corpus import Corpus
from baez_pipeline.embedded.harvest import harvest
from baez_pipeline.embedded.lens import logit_lens
from baez_pipeline.embedded.sae import SaeSettings, SparseCoder, encode, reconstruction_figures, train
from baez_pipeline.embedded.select import choose_examples, example_values, window_peaks
from baez_pipeline.llm.smollm2 import load_smollm2

LAYERS_REPORT_FILE = "layers.json"

_TOP_LOGITS = 20
"""As many as Arad et al. 2025 look among."""


@dataclass(frozen=True)
class LayerSettings:
    """Everything that decides the layers' data, apart from the text."""

    blocks: tuple[int, ...] = (1, 10, 15, 20, 25)
    """Counted from 0, of 30. Blocks 2 to 9 are left out: there, the model makes attention sinks of positions in nearly
    every window, with 3 to 13 times the usual norm; an autoencoder would spend itself on them. Block 1 is the last
    before them, block 10 the first after."""
    features: int = 250
    """Drawn from each block's features with enough examples."""
    minimum_windows: int = 20
    """Windows in which a feature must be active to be drawn, so that it has as many examples."""
    seed: int = 0
    sae: SaeSettings = field(default_factory=SaeSettings)


def layer_file(block: int) -> str:
    """What the stage leaves for a block."""
    return f"layer_{block:02}.npz"


def compute_layers(work: Path, *, device: str, settings: LayerSettings, gguf: Path | None = None) -> None:
    """Run the stage in `work`; see the module's docstring.

    Args:
        work: holds `corpus.npz`, receives the results.
        device: a torch device name.
        settings: see `LayerSettings`.
        gguf: SmolLM2's weights; the installed package's when None.
    """
    make_deterministic()
    watch = Stopwatch()
    with watch.step("load model"):
        model, _ = load_smollm2(gguf, device)
    with watch.step("activations"):
        every = Corpus.load(work / CORPUS_FILE)
        # The windows of the embedded experiment at every block: what differs between blocks is then the block.
        corpus, _, _ = ordinary_windows(every, harvest(model, every.token_ids, block=BLOCK))
    corpus.save(work / USED_FILE)
    blocks: dict[str, Any] = {}
    for block in settings.blocks:
        with watch.step("activations"):
            activations = harvest(model, corpus.token_ids, block=block)
        with watch.step("training"):
            feature_acts = activations[_rows(corpus, activations, "features")]
            coder = train(feature_acts, settings.sae)
        with watch.step("examples and figures"):
            unseen = activations[_rows(corpus, activations, "bank", "held_out")]
            summary = save_layer(work / layer_file(block), coder, model, feature_acts, settings)
            figures = {"unseen_articles": reconstruction_figures(coder, unseen)}
            figures["training_articles"] = reconstruction_figures(coder, feature_acts)
        blocks[str(block)] = {"activation_norm": _norms(activations), "sae_figures": figures, "features": summary}
        print(f"block {block}: {json.dumps(blocks[str(block)])}", flush=True)
    report = {
        "settings": asdict(settings),
        "windows_left_out": len(every.token_ids) - len(corpus.token_ids),
        "blocks": blocks,
        "seconds": watch.seconds,
        "machine": machine(device),
    }
    (work / LAYERS_REPORT_FILE).write_text(json.dumps(report, indent=2) + "\n")


def _rows(corpus: Corpus, activations: Tensor, *splits: str) -> Tensor:
    return torch.from_numpy(corpus.rows(*splits)).to(activations.device)


def _norms(activations: Tensor) -> dict[str, float]:
    norms = activations.norm(dim=-1)
    return {"median": float(norms.median()), "mean": float(norms.mean()), "largest": float(norms.max())}


def save_layer(
    path: Path, coder: SparseCoder, model: LlamaForCausalLM, feature_acts: Tensor, settings: LayerSettings
) -> dict[str, Any]:
    """Draw a block's features, choose their examples, write all that is known of them, and summarise.

    Arrays, for F drawn features, E examples and W windows of the split "features", in the order of `Corpus.rows`:
    index int32 [F], ascending; decoder float16 [F, d_model]; frac_nonzero, max_act float32 [F]; pos_*, neg_* [F, 20],
    the tokens that a feature makes more and less likely;
    choices (feature, window, rank, bin_min, bin_max, bin_contains) [E], where `feature` is a place in `index`;
    values float16 [E, 128]; activity uint8 [W, ceil(F/8)]: bit i % 8 of byte i // 8, lowest first, is place i.
    """
    width = coder.num_latents
    values, features = encode(coder, feature_acts)
    peaks = window_peaks(values, features, width)
    active_windows = (peaks > 0).sum(axis=0)
    index = draw_features(active_windows, settings)
    choices = choose_examples(peaks[:, index], seed=settings.seed)
    if coder.W_dec is None:
        raise ValueError("the coder has no decoder")
    directions = coder.W_dec[torch.from_numpy(index).long().to(coder.W_dec.device)]
    pos_ids, pos_values, neg_ids, neg_values = logit_lens(model, directions, count=_TOP_LOGITS)
    np.savez_compressed(
        path,
        allow_pickle=False,
        **vars(choices),
        values=example_values(replace(choices, feature=index[choices.feature]), values, features),
        activity=np.packbits(peaks[:, index] > 0, axis=1, bitorder="little"),
        index=index,
        decoder=directions.half().cpu().numpy(),
        frac_nonzero=density(values, features, width)[index].astype(np.float32),
        max_act=peaks[:, index].max(axis=0),
        pos_ids=pos_ids,
        pos_values=pos_values,
        neg_ids=neg_ids,
        neg_values=neg_values,
    )
    return {
        "width": width,
        "live_share": float((active_windows > 0).mean()),
        "with_enough_windows": int((active_windows >= settings.minimum_windows).sum()),
        "drawn": len(index),
        "examples": len(choices.feature),
    }


def draw_features(active_windows: NDArray[np.int64], settings: LayerSettings) -> NDArray[np.int32]:
    """A random draw of the features that have enough examples, all of them where there are fewer than asked for.

    Args:
        active_windows: [width], windows in which each feature is active.
        settings: see `LayerSettings`.

    Returns:
        feature numbers, ascending.
    """
    enough = np.flatnonzero(active_windows >= settings.minimum_windows)
    chosen = np.random.default_rng(settings.seed).permutation(enough)[: settings.features]
    return np.sort(chosen).astype(np.int32)
