"""Which engine the experiment file names, its identity, and opening it.

An engine's module is imported when it is opened: the Dagster UI's code server asks for identities only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from baez_pipeline.embedded import DATA
from baez_pipeline.experiment import (
    NeighboursEngine,
    NeuronpediaEngine,
    Nla,
    NlaServerEngine,
    TransformersEngine,
    key_from_environment,
    optional_key,
)
from baez_pipeline.nla.engine import FromActivations, Verbalizer
from baez_pipeline.store import hash_of, short_hash

if TYPE_CHECKING:
    from baez_pipeline.answers import Answers
    from baez_pipeline.nla.extraction import SubjectModel

Engine = NeighboursEngine | TransformersEngine | NeuronpediaEngine | NlaServerEngine


def identity_of(engine: Engine) -> str:
    """The engine's model or data, with its revision as far as it is known."""
    match engine:
        case NeighboursEngine():
            return f"neighbour bank {short_hash(DATA / 'neighbour_bank.safetensors')}"
        case TransformersEngine(verbalizer=folder):
            # Weights are gigabytes: told apart by name and size, as their sidecar says the rest.
            weights = [f"{path.name} {path.stat().st_size}" for path in sorted(folder.glob("*.safetensors"))]
            return f"{folder.name} {short_hash(folder / 'nla_meta.yaml')} {hash_of(weights)[:12]}"
        case NeuronpediaEngine():
            # The service publishes no revision.
            return f"{engine.nla_source} of {engine.model} at {urlsplit(engine.base_url).netloc}"
        case NlaServerEngine():
            return engine.name


def open_verbalizer(nla: Nla, *, subject: Callable[[], SubjectModel], answers: Callable[[], Answers]) -> Verbalizer:
    """The engine of an experiment.

    Args:
        nla: its settings and the layer.
        subject: opens the subject model, for engines that are given activations.
        answers: opens the database of kept answers, for services.

    Raises:
        SidecarError: the verbalizer does not fit layer or model.
        MissingKeyError: a server's secret is not in the environment.
    """
    engine, identity = nla.engine, identity_of(nla.engine)
    match engine:
        case NeighboursEngine():
            from baez_pipeline.llm.smollm2 import load_smollm2
            from baez_pipeline.nla.neighbours import Neighbours

            model, tokenizer = load_smollm2()
            neighbours = Neighbours(model, tokenizer, engine, identity=identity)
            return FromActivations(subject(), neighbours, alignment=nla.alignment)
        case TransformersEngine():
            from baez_pipeline.nla.transformers_engine import TransformersVerbalizer

            verbalizer = TransformersVerbalizer.open(engine, layer=nla.layer, identity=identity)
            return FromActivations(subject(), verbalizer, alignment=nla.alignment)
        case NeuronpediaEngine():
            from baez_pipeline.neuronpedia import Neuronpedia
            from baez_pipeline.nla.neuronpedia_engine import NeuronpediaVerbalizer

            # The service answers without a key, too.
            key = optional_key(engine.key_variable)
            client = Neuronpedia(engine.base_url, answers(), key=key, timeout_seconds=engine.timeout_seconds)
            return NeuronpediaVerbalizer(engine, client, layer=nla.layer, alignment=nla.alignment)
        case NlaServerEngine():
            from baez_pipeline.nla.nla_server import NlaServerByText, NlaServerByVector, open_nla_server

            variable = engine.secret_variable
            secret = (
                key_from_environment(variable, needed_for=f"the NLA server {engine.base_url}") if variable else None
            )
            server = open_nla_server(engine, answers(), secret=secret)
            if engine.by == "text":
                return NlaServerByText(engine, server, layer=nla.layer, alignment=nla.alignment)
            return FromActivations(subject(), NlaServerByVector(engine, server), alignment=nla.alignment)
