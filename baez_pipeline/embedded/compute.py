"""The torch stage of the build: from token ids to a trained autoencoder, chosen examples and the neighbour bank.

Needs torch, transformers, gguf, safetensors and sparsify, neither polars nor gensim, so that it can run on a
machine with a GPU and little else. Reads `corpus.npz` from the work folder and leaves there, each under 16 MiB:
`corpus_used.npz`, `encoder.safetensors`, `decoder.safetensors`, `neighbour_bank.safetensors`, `examples.npz`,
`compute.json`.
"""

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import LlamaForCausalLM

from baez_pipeline.embedded import BLOCK
from baez_pipeline.embedded.bank import FIRST_POSITION, bank_figures, build_bank
from baez_pipeline.embedded.corpus import Corpus
from baez_pipeline.embedded.harvest import harvest
from baez_pipeline.embedded.lens import logit_lens
from baez_pipeline.embedded.sae import SaeSettings, SparseCoder, encode, reconstruction_figures, save_coder, train
from baez_pipeline.embedded.select import choose_examples, example_values, window_peaks
from baez_pipeline.llm.smollm2 import load_smollm2

CORPUS_FILE = "corpus.npz"
USED_FILE = "corpus_used.npz"
EXAMPLES_FILE = "examples.npz"
REPORT_FILE = "compute.json"

_QUERIES = 2000
_SINK_NORM = 1.5
"""Norm, in medians, from which a position is an attention sink; 99.9 % of positions are below 1.25."""


@dataclass(frozen=True)
class BuildSettings:
    """Everything that decides the shipped data, apart from the text."""

    seed: int = 0
    sae: SaeSettings = field(default_factory=SaeSettings)
    bank_dimensions: int = 96
    """With 3.5 to 4.3 MB to spend, fewer dimensions blur the cosine and more leave room for too few vectors: what is
    found is nearest at 96 (mean exact cosine .631; .613 at 48, .627 at 64 and 128, .615 at 192, .602 at 256)."""
    bank_vectors: int = 36_000
    held_out_windows: int = 400
    """Windows of held-out articles that are shipped, at most."""


class Stopwatch:
    """Seconds spent in named steps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the time of the block to `name`."""
        start = time.perf_counter()
        yield
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 1)


def compute(work: Path, *, device: str, settings: BuildSettings, gguf: Path | None = None) -> None:
    """Run the stage in `work`; see the module's docstring.

    Args:
        work: holds `corpus.npz`, receives the results.
        device: a torch device name.
        settings: see `BuildSettings`.
        gguf: SmolLM2's weights; the installed package's when None.
    """
    make_deterministic()
    corpus = Corpus.load(work / CORPUS_FILE)
    watch = Stopwatch()
    with watch.step("load model"):
        model, _ = load_smollm2(gguf, device)
    with watch.step("activations"):
        corpus, activations, norms = ordinary_windows(corpus, harvest(model, corpus.token_ids, block=BLOCK))
    corpus.save(work / USED_FILE)
    feature_acts = activations[torch.from_numpy(corpus.rows("features")).to(activations.device)]
    other_rows = corpus.rows("bank", "held_out")
    other_acts = activations[torch.from_numpy(other_rows).to(activations.device)]
    del activations
    with watch.step("training"):
        coder = train(feature_acts, settings.sae)
    in_bank = torch.from_numpy(np.isin(other_rows, corpus.rows("bank"))).to(other_acts.device)
    with watch.step("examples and figures"):
        figures = {"unseen_articles": reconstruction_figures(coder, other_acts)}
        figures["training_articles"] = reconstruction_figures(coder, feature_acts)
        summary = save_examples(work / EXAMPLES_FILE, coder, model, feature_acts, other_acts, settings.seed)
        save_coder(coder, work)
    with watch.step("neighbour bank"):
        bank_summary = save_bank(work, other_acts[in_bank], other_acts[~in_bank], settings)
    report = {
        "settings": asdict(settings),
        "activation_norm": norms,
        "sae_figures": figures,
        "features": summary,
        "neighbour_bank": bank_summary,
        "seconds": watch.seconds,
        "machine": machine(device),
    }
    (work / REPORT_FILE).write_text(json.dumps(report, indent=2) + "\n")


def ordinary_windows(corpus: Corpus, activations: Tensor) -> tuple[Corpus, Tensor, dict[str, float]]:
    """Leave out windows in which the model has made an attention sink of a word (norms of 400 to 1,600, not 240).

    Such a position outweighs hundreds of others in the variance, and says nothing of the text.

    Args:
        corpus: all windows.
        activations: [windows, 127, d_model].

    Returns:
        corpus and activations of the windows kept, and figures on norms.
    """
    norms = activations.norm(dim=-1)
    median = norms.median()
    usual = (norms < _SINK_NORM * median).all(1)
    figures = {
        "median": float(median),
        "largest_kept": float(norms[usual].max()),
        "windows_left_out": float((~usual).sum()),
    }
    return corpus.keep(usual.cpu().numpy()), activations[usual], figures


def make_deterministic() -> None:
    """The same result in every run on the same kind of device; full float32 products on a GPU."""
    # Read by cuBLAS when the first product is computed; without it torch refuses deterministic mode on a GPU.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cuda.matmul.allow_tf32 = False


def machine(device: str) -> dict[str, str | int]:
    """What the times were measured on."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()
    return {
        "device": name,
        "cores": os.cpu_count() or 0,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def save_examples(
    path: Path, coder: SparseCoder, model: LlamaForCausalLM, feature_acts: Tensor, other_acts: Tensor, seed: int
) -> dict[str, Any]:
    """Choose every feature's examples, write them with all that is known of the features, and summarise.

    Arrays, for F features, E examples, W windows of the split "features", in the order of `Corpus.rows`:
    choices (feature, window, rank, bin_min, bin_max, bin_contains) [E]; values float16 [E, 128];
    activity uint8 [W, F/8] (bit i % 8 of byte i // 8, lowest first, is feature i); frac_nonzero, max_act float32 [F];
    lens_* [F, 10].
    """
    width = coder.num_latents
    values, features = encode(coder, feature_acts)
    peaks = window_peaks(values, features, width)
    choices = choose_examples(peaks, seed=seed)
    on_training = density(values, features, width)
    unseen = density(*encode(coder, other_acts), width)
    if coder.W_dec is None:
        raise ValueError("the coder has no decoder")
    pos_ids, pos_values, neg_ids, neg_values = logit_lens(model, coder.W_dec)
    np.savez_compressed(
        path,
        allow_pickle=False,
        **vars(choices),
        values=example_values(choices, values, features),
        activity=np.packbits(peaks > 0, axis=1, bitorder="little"),
        frac_nonzero=on_training.astype(np.float32),
        frac_nonzero_unseen=unseen.astype(np.float32),
        max_act=peaks.max(axis=0),
        pos_ids=pos_ids,
        pos_values=pos_values,
        neg_ids=neg_ids,
        neg_values=neg_values,
    )
    examples = np.bincount(choices.feature, minlength=width)
    edges = [0.0, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0]
    counts = np.histogram(on_training[on_training > 0], bins=edges)[0]
    return {
        "width": width,
        "live_share": float((on_training > 0).mean()),
        "live_share_unseen_articles": float((unseen > 0).mean()),
        "with_15_examples_or_more": int((examples >= 15).sum()),
        "with_1_to_14_examples": int(((examples > 0) & (examples < 15)).sum()),
        "dead": int((examples == 0).sum()),
        "examples": len(choices.feature),
        "density_histogram": {
            f"{low:g} to {high:g}": int(n) for low, high, n in zip(edges[:-1], edges[1:], counts, strict=True)
        },
        "median_density": float(np.median(on_training)),
    }


def density(values: Tensor, features: Tensor, width: int) -> NDArray[np.float64]:
    """Share of positions at which each feature is active, [width]."""
    active = features[values > 0].long()
    counts = torch.bincount(active.cpu(), minlength=width)
    return counts.numpy() / (values.shape[0] * values.shape[1])


def save_bank(work: Path, bank_acts: Tensor, held_out_acts: Tensor, settings: BuildSettings) -> dict[str, Any]:
    """Write the neighbour bank and say how well it finds neighbours for held-out articles."""
    bank = build_bank(bank_acts, dimensions=settings.bank_dimensions, count=settings.bank_vectors, seed=settings.seed)
    bank.save(work)
    pool = held_out_acts[:, FIRST_POSITION - 1 :].flatten(0, 1)
    chosen = np.random.default_rng(settings.seed).choice(len(pool), size=min(_QUERIES, len(pool)), replace=False)
    queries = pool[torch.from_numpy(chosen).to(pool.device)]
    return {
        "vectors": len(bank.vectors),
        "of": int(bank_acts.shape[0] * (bank_acts.shape[1] - FIRST_POSITION + 1)),
        "dimensions": bank.vectors.shape[1],
        "queries": len(queries),
        **bank_figures(bank, bank_acts, queries),
    }
