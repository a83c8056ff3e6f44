"""The table `nla`: how the activation at a peak becomes prose."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from baez_pipeline.experiment.features import NEURONPEDIA_API
from baez_pipeline.experiment.settings import Settings


class NeighboursEngine(Settings):
    """Explanations from the nearest stored activations: no training, the baseline that an NLA must beat."""

    kind: Literal["neighbours"] = "neighbours"
    neighbours: int = Field(12, ge=1, le=1000, description="stored activations that are read")
    continuations: int = Field(5, ge=1, le=20, description="predicted next tokens that are named")


class SmallNlaEngine(Settings):
    """The embedded NLA of SmolLM2: adapters that this package trained, for the embedded subject model alone."""

    kind: Literal["small_nla"] = "small_nla"
    temperature: float = Field(0.0, ge=0, description="0 = greedy")
    max_new_tokens: int = Field(80, ge=1, description="the longest text that it was trained on has 72")
    batch_size: int = Field(128, ge=1, description="explanations that are written at once, at most")
    reconstructor: bool = Field(True, description="score each explanation with the NLA's reconstructor")


class TransformersEngine(Settings):
    """An NLA's activation verbalizer by its sidecar, run by transformers."""

    kind: Literal["transformers"] = "transformers"
    verbalizer: Path = Field(description="folder with nla_meta.yaml and the model, or an adapter over SmolLM2")
    reconstructor: Path | None = Field(
        None, description="folder of the pair's reconstructor, which scores each explanation; none = they are not"
    )
    revision: str | None = Field(
        None, description="of the pair, goes into fingerprints: two revisions may have weights of one size"
    )
    temperature: float = Field(0.7, ge=0, description="0 = greedy")
    max_new_tokens: int = Field(200, ge=1)
    batch_size: int = Field(
        512,
        ge=1,
        description="explanations that are written at once, at most: fewer where the memory holds fewer. A 27B model "
        "on an H200 writes 59 a second at 256, 65 at 512, 70 at 768 (measured)",
    )


class VllmEngine(Settings):
    """The same run by vLLM, which reads the prompt as embeddings. An optional extra; it needs a GPU."""

    kind: Literal["vllm"] = "vllm"
    verbalizer: Path = Field(description="folder with nla_meta.yaml and the model")
    reconstructor: Path | None = Field(
        None, description="folder of the pair's reconstructor, which scores each explanation; none = they are not"
    )
    revision: str | None = Field(
        None, description="of the pair, goes into fingerprints: two revisions may have weights of one size"
    )
    temperature: float = Field(0.7, ge=0, description="0 = greedy")
    max_new_tokens: int = Field(200, ge=1)
    gpu_memory_share: float = Field(0.9, gt=0, le=1, description="of the GPU's memory, for weights and keys and values")
    gpus: int = Field(1, ge=1, description="that the verbalizer is spread over")


class NeuronpediaEngine(Settings):
    """Neuronpedia's public NLA service, by text and position."""

    kind: Literal["neuronpedia"] = "neuronpedia"
    model: str = Field(description="Neuronpedia's id of the subject model")
    nla_source: str = Field(description="Neuronpedia's id of the NLA, such as kitft-l41")
    temperature: float = Field(0.7, ge=0, description="0 = greedy")
    requests_per_hour: int = Field(120, ge=1, description="the service's limit (field guide, 7.3); requests are paced")
    timeout_seconds: float = Field(120, gt=0)
    base_url: str = NEURONPEDIA_API
    key_variable: str = Field("NEURONPEDIA_API_KEY", description="environment variable of the key; not required")


class NlaServerEngine(Settings):
    """Neuronpedia's self-hosted NLA server."""

    kind: Literal["nla_server"] = "nla_server"
    base_url: str = "http://127.0.0.1:5009"
    secret_variable: str | None = Field(None, description="environment variable of the server's secret, if it has one")
    name: str = Field(description="which NLA the server runs: goes into tables and fingerprints")
    by: Literal["text", "vector"] = Field(
        "text", description="the server reads the activation itself, or is given the one that was read here"
    )
    temperature: float = Field(0.7, ge=0, description="0 = greedy")
    max_new_tokens: int = Field(200, ge=1)
    timeout_seconds: float = Field(300, gt=0)


Engine = Annotated[
    NeighboursEngine | SmallNlaEngine | TransformersEngine | VllmEngine | NeuronpediaEngine | NlaServerEngine,
    Field(discriminator="kind"),
]


class SmolLM2Subject(Settings):
    """The embedded language model."""

    kind: Literal["smollm2"] = "smollm2"


class FolderSubject(Settings):
    """A causal language model in a folder, of which the blocks up to `nla.layer` are loaded."""

    kind: Literal["folder"] = "folder"
    path: Path = Field(description="folder with config.json and the weights")
    model: str = Field(description="Neuronpedia's id of the model; the source's features must be of it")
    revision: str | None = Field(
        None, description="of the model, goes into fingerprints: two revisions may have weights of one size"
    )


Subject = Annotated[SmolLM2Subject | FolderSubject, Field(discriminator="kind")]


class Nla(Settings):
    """How the activation at a peak becomes prose."""

    layer: int = Field(20, ge=0, description="block whose output is read (block K = hidden_states[K + 1])")
    minimum_position: int = Field(8, ge=0, description="positions under it were not in the verbalizer's data: flagged")
    alignment: Literal["verified", "unverified"] = Field(
        "verified",
        description="whether the token that is explained must be the peak. Unverified is the article's way: the text "
        "is sent to the service as it is, which puts a BOS before it and explains the token before the peak; engines "
        "in process then read that token, too. Audit row 14",
    )
    subject: Subject = Field(
        SmolLM2Subject(), description="the model whose activations are read here, by engines that are not services"
    )
    engine: Engine = SmallNlaEngine()

    @property
    def reads_activations(self) -> bool:
        """Whether the engine is given activations that are read here, so that there is a subject model."""
        engine = self.engine
        return not isinstance(engine, NeuronpediaEngine) and not (
            isinstance(engine, NlaServerEngine) and engine.by == "text"
        )

    @property
    def scores_explanations(self) -> bool:
        """Whether a reconstructor scores the explanations here."""
        return bool(getattr(self.engine, "reconstructor", None))

    @property
    def uses_gpu(self) -> bool:
        """Whether a model is run here that is made for a GPU; the embedded ones fit beside anything."""
        return isinstance(self.engine, TransformersEngine | VllmEngine) or (
            self.reads_activations and isinstance(self.subject, FolderSubject)
        )
