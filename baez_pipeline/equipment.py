"""What an experiment's steps work with: store, source, models. Each is opened on first use and once per process.

A run over hundreds of features therefore loads a model once, and a run that finds everything fresh loads none.
Identities, which fingerprints need, are known without loading anything; the imports within properties keep the
Dagster UI's code server from importing what only a run needs.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from baez_pipeline.answers import Answers
from baez_pipeline.embedded import DATA
from baez_pipeline.embedding import EMBEDDER_ID
from baez_pipeline.embedding import REVISION as MINILM_REVISION
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import Benchmark as BenchmarkName
from baez_pipeline.experiment import Experiment, FolderSubject, HttpModel, SmolLM2Writer, key_from_environment
from baez_pipeline.features import FeatureSource, open_source
from baez_pipeline.llm.smollm2 import MODEL_ID
from baez_pipeline.nla.opening import identity_of, reconstructor_identity, subject_identity
from baez_pipeline.store import Store, short_hash

if TYPE_CHECKING:
    from baez_pipeline.embedding import SentenceEmbedder
    from baez_pipeline.llm.chat import ChatModel
    from baez_pipeline.nla import Verbalizer
    from baez_pipeline.nla.engine import Subject
    from baez_pipeline.scoring.judgement import Benchmark

MINILM = f"{EMBEDDER_ID} ({MINILM_REVISION})"


class Equipment:
    """Everything that the steps of one experiment share."""

    def __init__(self, experiment: Experiment, data: str, answers: str | None = None) -> None:
        """Nothing is opened yet.

        Args:
            experiment: whose steps are run.
            data: folder or fsspec URL of all tables.
            answers: URL of the database of kept answers; None = in the data folder.
        """
        self.experiment = experiment
        self.store = Store(data, experiment.name)
        self.data = data
        self._answers_url = answers

    @functools.cached_property
    def source(self) -> FeatureSource:
        """The source of features and examples."""
        return open_source(self.experiment.source, lambda: self.answers)

    @functools.cached_property
    def subject(self) -> Subject:
        """The model whose features are labelled, up to the layer that the experiment reads."""
        from baez_pipeline.nla.opening import open_subject

        self.check_layer()
        self.check_subject()
        return open_subject(self.experiment.nla)

    def check_layer(self) -> None:
        """Raise a SourceError unless the features are of the layer that is read.

        Activations of another layer would be described without any sign that they are the wrong ones.
        """
        layer = self.source.source_id.partition("-")[0]
        if layer != str(self.experiment.nla.layer):
            raise SourceError(
                f"nla.layer is {self.experiment.nla.layer}, but the features of source {self.source.source_id} are of "
                f"layer {layer}: set nla.layer to {layer}."
            )

    def check_subject(self) -> None:
        """Raise a SourceError unless the features are of the subject model; nothing is loaded."""
        subject = self.experiment.nla.subject
        model = subject.model if isinstance(subject, FolderSubject) else MODEL_ID
        if self.source.model_id != model:
            raise SourceError(
                f"Source {self.source.source_id} is of model {self.source.model_id}, and nla.subject is {model}: set "
                'nla.subject to kind = "folder" with that model, or choose an engine that reads activations itself '
                "(nla.engine.kind = neuronpedia, or nla_server by text)."
            )

    @functools.cached_property
    def answers(self) -> Answers:
        """The database of kept answers, with the ledger."""
        return Answers.of(self.data, self._answers_url)

    @functools.cached_property
    def verbalizer(self) -> Verbalizer:
        """The engine that turns the activations at peaks into prose."""
        from baez_pipeline.nla.opening import open_verbalizer

        self.check_layer()
        return open_verbalizer(self.experiment.nla, subject=lambda: self.subject, answers=lambda: self.answers)

    @functools.cached_property
    def writer(self) -> ChatModel:
        """The model that writes labels."""
        return self._writer(self.experiment.labeling.writer, needed_for="the label writer")

    @functools.cached_property
    def tier_1_writer(self) -> ChatModel:
        """The small model that writes labels of tier 1; the experiment names one."""
        tiers = self.experiment.tiers
        assert tiers and tiers.tier_1_writer
        return self._writer(tiers.tier_1_writer, needed_for="the label writer of tier 1")

    @functools.cached_property
    def judge(self) -> ChatModel | None:
        """The model that judges labels in detection and fuzz; None where SmolLM2 judges by likelihood."""
        settings = self.experiment.scoring.judge
        if isinstance(settings, HttpModel):
            return self._over_http(settings, needed_for="the judge")
        return None

    def benchmark(self, name: BenchmarkName) -> Benchmark:
        """The benchmark of a name, with the experiment's judge and embedder."""
        from baez_pipeline.scoring import open_benchmark

        judge = None if name == "embedding" else self.judge
        return open_benchmark(name, self.experiment.scoring, chat=judge, embedder=lambda: self.embedder)

    @functools.cached_property
    def embedder(self) -> SentenceEmbedder:
        """The sentence embedder."""
        from baez_pipeline.embedding import SentenceEmbedder

        return SentenceEmbedder()

    def require_keys(self) -> None:
        """Raise a MissingKeyError unless the keys of all models over HTTP are there."""
        for part, settings in self.experiment.asked.items():
            if isinstance(settings, HttpModel):
                _key(settings, needed_for=f"the {part}")

    def _writer(self, settings: SmolLM2Writer | HttpModel, *, needed_for: str) -> ChatModel:
        if isinstance(settings, HttpModel):
            return self._over_http(settings, needed_for=needed_for)
        from baez_pipeline.llm.local_model import SmolLM2Chat

        return SmolLM2Chat()

    def _over_http(self, settings: HttpModel, *, needed_for: str) -> ChatModel:
        from baez_pipeline.llm.batch_chat import BatchChat
        from baez_pipeline.llm.http_chat import HttpChat

        chat = BatchChat if settings.mode == "batch" else HttpChat
        return chat(
            settings,
            self.answers,
            experiment=self.experiment.name,
            max_usd=self.experiment.budget.max_usd,
            key=_key(settings, needed_for=needed_for),
        )

    @property
    def pays(self) -> bool:
        """Whether the experiment asks models over HTTP, so that there is a ledger."""
        return any(isinstance(settings, HttpModel) for settings in self.experiment.asked.values())

    @functools.cached_property
    def verbalizer_identity(self) -> str:
        """The verbalizer with its revision."""
        return identity_of(self.experiment.nla.engine)

    @functools.cached_property
    def reconstructor_identity(self) -> str | None:
        """The reconstructor with its revision; None where explanations are not scored."""
        return reconstructor_identity(self.experiment.nla.engine)

    @functools.cached_property
    def subject_identity(self) -> str | None:
        """The model whose activations are read, with its revision; None where a service reads them."""
        return subject_identity(self.experiment.nla)

    @functools.cached_property
    def calibration_identity(self) -> str:
        """The judge's threshold and scale, by their hash."""
        return short_hash(DATA / "judge_calibration.json")


def _key(settings: HttpModel, *, needed_for: str) -> str | None:
    if settings.key_variable is None:
        return None
    return key_from_environment(
        settings.key_variable, needed_for=f"{needed_for} {settings.model} at {settings.base_url}"
    )
