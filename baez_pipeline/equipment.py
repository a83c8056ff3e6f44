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

from baez_pipeline.embedded import DATA
from baez_pipeline.embedding import EMBEDDER_ID
from baez_pipeline.embedding import REVISION as MINILM_REVISION
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import Experiment, NeighboursEngine
from baez_pipeline.features import FeatureSource, open_source
from baez_pipeline.llm.smollm2 import MODEL_ID
from baez_pipeline.store import Store, hash_of

if TYPE_CHECKING:
    from baez_pipeline.embedding import SentenceEmbedder
    from baez_pipeline.llm.chat import ChatModel
    from baez_pipeline.nla import Verbalizer
    from baez_pipeline.nla.extraction import SubjectModel

MINILM = f"{EMBEDDER_ID} ({MINILM_REVISION})"


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

        self._check_source()
        model, _ = load_smollm2()
        return SubjectModel(model.model, layer=self.experiment.nla.layer)

    def _check_source(self) -> None:
        """Activations of another model or layer would be described without any sign that they are the wrong ones."""
        layer = self.source.source_id.partition("-")[0]
        if layer != str(self.experiment.nla.layer):
            raise SourceError(
                f"nla.layer is {self.experiment.nla.layer}, but the features of source {self.source.source_id} are of "
                f"layer {layer}: set nla.layer to {layer}."
            )
        if self.source.model_id != MODEL_ID:
            raise SourceError(
                f"Source {self.source.source_id} is of model {self.source.model_id}; the subject model that this "
                f"version can run is {MODEL_ID}."
            )

    @functools.cached_property
    def verbalizer(self) -> Verbalizer:
        """The engine that turns activations into prose."""
        settings, layer = self.experiment.nla.engine, self.experiment.nla.layer
        if isinstance(settings, NeighboursEngine):
            from baez_pipeline.llm.smollm2 import load_smollm2
            from baez_pipeline.nla.neighbours import Neighbours

            model, tokenizer = load_smollm2()
            return Neighbours(model, tokenizer, settings, identity=self.verbalizer_identity)
        from baez_pipeline.nla.transformers_engine import TransformersVerbalizer

        return TransformersVerbalizer.open(settings, layer=layer, identity=self.verbalizer_identity)

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
        # Weights are gigabytes: told apart by name and size, as their sidecar says the rest.
        weights = [f"{path.name} {path.stat().st_size}" for path in sorted(settings.verbalizer.glob("*.safetensors"))]
        sidecar = _short_hash(settings.verbalizer / "nla_meta.yaml")
        return f"{settings.verbalizer.name} {sidecar} {hash_of(weights)[:12]}"

    @functools.cached_property
    def calibration_identity(self) -> str:
        """The judge's threshold and scale, by their hash."""
        return _short_hash(DATA / "judge_calibration.json")


def _short_hash(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=6).hexdigest() if path.is_file() else "missing"
