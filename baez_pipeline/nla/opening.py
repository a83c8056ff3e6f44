"""Which engine and which subject model the experiment file names, their identities, and opening them.

An engine's module is imported when it is opened: the Dagster UI's code server asks for identities only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from baez_pipeline.embedded import DATA
from baez_pipeline.experiment import (
    FolderSubject,
    NeighboursEngine,
    NeuronpediaEngine,
    Nla,
    NlaServerEngine,
    SmallNlaEngine,
    SmolLM2Subject,
    TransformersEngine,
    VllmEngine,
    key_from_environment,
    optional_key,
)
from baez_pipeline.llm.smollm2 import IDENTITY as SMOLLM2
from baez_pipeline.nla.engine import FromActivations, Verbalizer
from baez_pipeline.nla.folders import (
    PairEngine,
    folder_identity,
    reconstructor_folder,
    verbalizer_folder,
)
from baez_pipeline.store import short_hash

if TYPE_CHECKING:
    from baez_pipeline.answers import Answers
    from baez_pipeline.nla.engine import Subject, Tokens

Engine = NeighboursEngine | PairEngine | NeuronpediaEngine | NlaServerEngine


def identity_of(engine: Engine) -> str:
    """The engine's model or data, with its revision as far as it is known."""
    match engine:
        case NeighboursEngine():
            return f"neighbour bank {short_hash(DATA / 'neighbour_bank.safetensors')}"
        case SmallNlaEngine():
            return f"small NLA, {folder_identity(verbalizer_folder(engine))}"
        case TransformersEngine() | VllmEngine():
            return _joined(engine.revision, folder_identity(verbalizer_folder(engine)))
        case NeuronpediaEngine():
            # The service publishes no revision.
            return f"{engine.nla_source} of {engine.model} at {urlsplit(engine.base_url).netloc}"
        case NlaServerEngine():
            return engine.name


def reconstructor_identity(engine: Engine) -> str | None:
    """The engine's reconstructor with its revision; None where explanations are not scored here."""
    if isinstance(engine, PairEngine) and (folder := reconstructor_folder(engine)):
        return _joined(None if isinstance(engine, SmallNlaEngine) else engine.revision, folder_identity(folder))
    return None


def subject_identity(nla: Nla) -> str | None:
    """The model whose activations are read here, with its revision; None for services, which read them themselves."""
    if not nla.reads_activations:
        return None
    match nla.subject:
        case SmolLM2Subject():
            return SMOLLM2
        case FolderSubject(path=folder, model=model, revision=revision):
            return _joined(model, revision, folder_identity(folder))


def _joined(*parts: str | None) -> str:
    return " ".join(filter(None, parts))


def open_subject(nla: Nla) -> Subject:
    """The model whose activations are read: kept where it is small, else loaded for each group of contexts.

    Raises:
        SidecarError: a folder's model has no such layer.
    """
    from baez_pipeline.nla.extraction import SubjectModel

    match nla.subject:
        case SmolLM2Subject():
            from baez_pipeline.llm.smollm2 import load_smollm2

            return SubjectModel(load_smollm2()[0].model, layer=nla.layer)
        case FolderSubject() as subject:
            from baez_pipeline.nla.fitting import check_subject
            from baez_pipeline.nla.on_demand import SubjectOnDemand

            check_subject(subject, layer=nla.layer)
            return SubjectOnDemand(lambda: SubjectModel.open(subject.path, layer=nla.layer))


def _tokens_of(nla: Nla) -> Callable[[], Tokens] | None:
    """What finds ids for sources that have none: the subject's tokenizer. The embedded source has ids."""
    if not isinstance(nla.subject, FolderSubject):
        return None
    folder = nla.subject.path

    def opened() -> Tokens:
        from baez_pipeline.nla.loading import tokenizer_of
        from baez_pipeline.nla.token_ids import Vocabulary

        return Vocabulary(tokenizer_of(folder))

    return opened


def open_verbalizer(nla: Nla, *, subject: Callable[[], Subject], answers: Callable[[], Answers]) -> Verbalizer:
    """The engine of an experiment.

    Args:
        nla: its settings and the layer.
        subject: opens the subject model, for engines that are given activations.
        answers: opens the database of kept answers, for services.

    Raises:
        SidecarError: the verbalizer does not fit layer or model.
        MissingKeyError: a server's secret is not in the environment.
        MissingPackageError: the engine's package is not installed.
    """
    engine, identity = nla.engine, identity_of(nla.engine)
    match engine:
        case NeighboursEngine():
            from baez_pipeline.llm.smollm2 import load_smollm2
            from baez_pipeline.nla.neighbours import Neighbours
            from baez_pipeline.nla.pair import PEAKS_AT_ONCE

            model, tokenizer = load_smollm2()
            neighbours = Neighbours(model, tokenizer, engine, identity=identity)
            return FromActivations(subject(), neighbours, alignment=nla.alignment, peaks_at_once=PEAKS_AT_ONCE)
        case SmallNlaEngine() | TransformersEngine() | VllmEngine():
            from baez_pipeline.nla.pair import open_pair

            return open_pair(nla, engine, subject=subject, tokens=_tokens_of(nla), identity=identity)
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
            by_vector = NlaServerByVector(engine, server)
            return FromActivations(subject(), by_vector, tokens=_tokens_of(nla), alignment=nla.alignment)
