"""A source of any size and models that answer at once, so that what is left to measure is the pipeline.

Goes in: what takes the place of a source's download and of every model. Stays out: what is measured with it.

The source is the embedded one, repeated: real texts and records of real size, 2,048 features a copy. The models give
answers of the right form, which say nothing.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from baez_pipeline.embedded import DATA
from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Experiment, HttpJudge, HttpWriter, LocalSaeSource, load_experiment
from baez_pipeline.llm.chat import Completion, Request
from baez_pipeline.nla import Explanation, Peak

FEATURES_PER_COPY = 2048
DRAWN_PER_KEPT = 1.2
"""Of the embedded features 6 % have too few examples; donors and planted features need some besides."""
_EXAMPLE = re.compile(r"^Example \d+:", re.MULTILINE)
_ENDPOINT = {"model": "instant", "base_url": "http://127.0.0.1:9/v1", "usd_per_million_in": 0, "usd_per_million_out": 0}


def write_source(folder: Path, features: int) -> Path:
    """The rows of so many features that as many as `features` can be kept."""
    folder.mkdir(parents=True)
    copies = range(int(features * DRAWN_PER_KEPT + 200) // FEATURES_PER_COPY + 1)

    def moved(rows: pl.DataFrame, copy: int) -> pl.DataFrame:
        index = pl.col("index").cast(pl.Int64) + copy * FEATURES_PER_COPY
        return rows.with_columns(index=index.cast(pl.String))

    rows = pl.read_parquet(DATA / "features.parquet")
    pl.concat([moved(rows, copy) for copy in copies]).write_parquet(folder / "features.parquet")
    examples = pl.read_parquet(DATA / "activations-0.parquet")
    for copy in copies:
        moved(examples, copy).write_parquet(folder / f"activations-{copy}.parquet")
    # A bit for each feature of each window: the copies' bits stand one after the other.
    activity = pl.read_parquet(DATA / "window_activity.parquet")
    bits = [one * len(copies) for one in activity["activeFeatures"]]
    activity.with_columns(activeFeatures=pl.Series(bits)).write_parquet(folder / "window_activity.parquet")
    hashes = {path.name: {"sha256": f"{len(copies)} copies"} for path in folder.glob("*.parquet")}
    (folder / "provenance.json").write_text(json.dumps({"files": hashes}), encoding="utf-8")
    return folder


def made_up_experiment(source: Path, features: int) -> Experiment:
    """The embedded experiment with so many features of a source, and models over HTTP as a large one has."""
    shipped = load_experiment("smollm2")
    return shipped.model_copy(
        update={
            "name": "whole",
            "source": LocalSaeSource(path=source),
            "sample": shipped.sample.model_copy(update={"features": features}),
            "labeling": shipped.labeling.model_copy(update={"writer": HttpWriter(**_ENDPOINT)}),
            "scoring": shipped.scoring.model_copy(update={"judge": HttpJudge(**_ENDPOINT)}),
        }
    )


def instant_equipment(experiment: Experiment, data: str) -> Equipment:
    """Equipment whose models are there already."""
    equipment = Equipment(experiment, data)
    equipment.__dict__ |= {
        "writer": InstantChat(),
        "judge": InstantChat(),
        "verbalizer": InstantVerbalizer(),
        "embedder": InstantEmbedder(),
    }
    return equipment


class InstantChat:
    """Writes and judges labels by the prompt's hash."""

    identity = "instant"
    concurrency = 64

    async def complete(self, request: Request) -> Completion:
        """A label, or as many judgements as there are examples."""
        asked = request.messages[-1]["content"]
        drawn = hashlib.blake2b(asked.encode(), digest_size=8).digest()
        if examples := len(_EXAMPLE.findall(asked)) if "Latent explanation:" in asked else 0:
            bits = int.from_bytes(drawn, "big")
            return Completion(text=str([bits >> place & 1 for place in range(examples)]))
        return Completion(text=f"One thing is in all of them.\n[EXPLANATION]: words of kind {drawn.hex()}")


class InstantVerbalizer:
    """Says the same form of words of every peak."""

    name = "instant"
    identity = "instant"
    temperature = None
    max_new_tokens = None
    peaks_at_once = 512

    def explain(self, peaks: Sequence[Peak]) -> list[Explanation]:
        """Two paragraphs, as the embedded NLA writes them."""
        return [
            Explanation(text=f"Encyclopedic prose.\n\nThe token {peak.tokens[peak.position]} and what is near it.")
            for peak in peaks
        ]


class InstantEmbedder:
    """Texts as random directions."""

    identity = "instant"
    maximum_tokens = 256
    dimension = 384

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings of length 1, [n_texts, 384], by each text's hash alone."""
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            seed = hashlib.blake2b(text.encode(), digest_size=48).digest()
            vectors[row] = np.frombuffer(seed, np.uint8)[:, None].repeat(8, axis=1).ravel() - np.float32(127.5)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if len(texts) else vectors

    embed_together = embed

    def is_truncated(self, text: str) -> bool:
        """No text is too long."""
        return False
