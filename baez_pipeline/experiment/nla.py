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


class TransformersEngine(Settings):
    """An NLA's activation verbalizer by its sidecar, run by transformers."""

    kind: Literal["transformers"] = "transformers"
    verbalizer: Path = Field(description="folder with nla_meta.yaml and the model")
    temperature: float = Field(0.7, ge=0, description="0 = greedy")
    max_new_tokens: int = Field(200, ge=1)
    batch_size: int = Field(12, ge=1, description="vectors per generate call")


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
    NeighboursEngine | TransformersEngine | NeuronpediaEngine | NlaServerEngine, Field(discriminator="kind")
]


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
    engine: Engine = NeighboursEngine()
