"""The verbalizer: whether it is there, and made for the layer and the model of the source."""

import re
from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from baez_pipeline.checking.finding import Finding, Undecided, tried
from baez_pipeline.checking.source import Seen
from baez_pipeline.checking.traffic import Traffic
from baez_pipeline.embedded import BLOCK
from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import ServiceError, SidecarError, SourceError
from baez_pipeline.experiment import (
    FolderSubject,
    NeighboursEngine,
    NeuronpediaEngine,
    NlaServerEngine,
    SmallNlaEngine,
    SmolLM2Subject,
    TransformersEngine,
    VllmEngine,
    optional_key,
)
from baez_pipeline.llm.smollm2 import MODEL_ID
from baez_pipeline.neuronpedia import Neuronpedia
from baez_pipeline.nla.engine import Explanation, Peak
from baez_pipeline.nla.neuronpedia_engine import NeuronpediaVerbalizer
from baez_pipeline.nla.nla_server import NlaServerByText, NlaServerByVector, open_nla_server
from baez_pipeline.tables import Outcome

SHORT_TEXT = ("The", " boats", " left", " the", " old", " harbour", " before", " the", " rain")
"""Words that are one token each wherever one looks, so that a service that miscounts does so because of the BOS."""
_LAYER = re.compile(r"-l(\d{1,4})$")
"""The layer in Neuronpedia's ids of NLAs, such as kitft-l41."""


def check_verbalizer(equipment: Equipment, seen: Seen) -> Iterator[Finding]:
    """The engine and what it fits. A service is asked for one explanation, which costs nothing and is kept."""
    nla, engine = equipment.experiment.nla, equipment.experiment.nla.engine
    if nla.reads_activations:
        yield from _check_activations_here(equipment, seen)
    match engine:
        case NeighboursEngine():
            yield tried("neighbour bank", lambda: _bank(equipment.experiment.nla.layer))
        case SmallNlaEngine() | TransformersEngine() | VllmEngine():
            from baez_pipeline.checking.verbalizer_folder import check_pair

            yield from check_pair(nla, engine)
        case NeuronpediaEngine():
            if seen.source:
                model = seen.source.model_id
                yield tried("verbalizer's model", lambda: _same_model(engine.model, model))
            yield tried("verbalizer's layer", lambda: _named_layer(engine, equipment.experiment.nla.layer))
            yield tried("verbalizer answers", lambda: _neuronpedia_answers(equipment, engine, seen))
        case NlaServerEngine():
            yield tried("verbalizer answers", lambda: _server_answers(equipment, engine, seen))


def _check_activations_here(equipment: Equipment, seen: Seen) -> Iterator[Finding]:
    """What an engine needs that is given the activation: a subject model that can be run, and ids to run it on."""
    if seen.source:
        yield tried("subject model", lambda: _subject(equipment))
    if seen.examples is not None:
        examples, subject = seen.examples, equipment.experiment.nla.subject
        yield tried("token ids", lambda: _ids(examples, subject))


def _subject(equipment: Equipment) -> str:
    equipment.check_subject()
    nla = equipment.experiment.nla
    if isinstance(nla.subject, FolderSubject):
        from baez_pipeline.checking.verbalizer_folder import check_weights
        from baez_pipeline.nla.fitting import check_subject

        fits = check_subject(nla.subject, layer=nla.layer)
        return f"{fits}; {check_weights(nla.subject.path, of='subject model')}"
    return f"{MODEL_ID}, read up to block {nla.layer}"


def _ids(examples: pl.DataFrame, subject: SmolLM2Subject | FolderSubject) -> str:
    without = examples.filter(pl.col("tokenIds").is_null())
    if not without.height:
        return "every example has them"
    if not isinstance(subject, FolderSubject):
        raise SourceError(
            f"{without.height} of {examples.height} examples come as text without token ids, and an engine that reads "
            "activations here needs ids: choose an engine that takes text (nla.engine.kind = neuronpedia, or "
            'nla_server by text), or name the subject model, whose tokenizer has them (nla.subject.kind = "folder").'
        )
    from baez_pipeline.nla.loading import tokenizer_of
    from baez_pipeline.nla.token_ids import Vocabulary

    vocabulary = Vocabulary(tokenizer_of(subject.path))
    peaks = zip(without["tokens"], without["maxValueTokenIndex"], strict=True)
    unknown = [found for tokens, peak in peaks if isinstance(found := vocabulary.context(tokens, peak), str)]
    if len(unknown) == without.height:
        raise SourceError(
            f"No example's tokens are those of the tokenizer in {subject.path}, of the first {unknown[0]}: "
            "nla.subject.path is not the model of the source's features."
        )
    return f"of {without.height} examples {without.height - len(unknown)} have tokens of the subject model's tokenizer"


def _bank(layer: int) -> str:
    from baez_pipeline.embedded.bank import NeighbourBank

    bank = NeighbourBank.load()
    if layer != BLOCK:
        raise SourceError(
            f"The neighbour bank holds activations of layer {BLOCK} of {MODEL_ID}, and nla.layer is {layer}: "
            "choose another nla.engine, or a source of that layer."
        )
    return f"{len(bank.vectors):,} activations of layer {BLOCK} of {MODEL_ID}"


def _same_model(model: str, sources: str) -> str:
    if model != sources:
        raise SidecarError(
            f"nla.engine.model is {model}, but the source's features are of {sources}: an NLA explains its own "
            "model's activations alone."
        )
    return f"{model}, as the source's"


def _named_layer(engine: NeuronpediaEngine, layer: int) -> str:
    match = _LAYER.search(engine.nla_source)
    if match is None:
        raise Undecided(f"The name {engine.nla_source} says no layer.")
    if int(match[1]) != layer:
        raise SidecarError(
            f"nla.engine.nla_source is {engine.nla_source}, which is of layer {int(match[1])}, and nla.layer is "
            f"{layer}: choose an NLA of layer {layer}, or set nla.layer and source to the NLA's layer."
        )
    return f"{engine.nla_source} is of layer {layer}, as nla.layer"


def _neuronpedia_answers(equipment: Equipment, engine: NeuronpediaEngine, seen: Seen) -> str:
    traffic = Traffic()
    client = Neuronpedia(
        engine.base_url,
        equipment.answers,
        key=optional_key(engine.key_variable),
        timeout_seconds=engine.timeout_seconds,
        wait=traffic.wait,
    )
    verbalizer = NeuronpediaVerbalizer(engine, client, layer=equipment.experiment.nla.layer)
    # In place of the engine's pace, which two requests do not need.
    client.around_requests(traffic.before, traffic.after)
    (said,) = verbalizer.explain([_short_peak(seen)])
    return _reads_the_token(said, equipment.experiment.nla.layer) + traffic.note


def _server_answers(equipment: Equipment, engine: NlaServerEngine, seen: Seen) -> str:
    traffic, layer = Traffic(), equipment.experiment.nla.layer
    secret = optional_key(engine.secret_variable) if engine.secret_variable else None
    client = open_nla_server(engine, equipment.answers, secret=secret, wait=traffic.wait)
    client.around_requests(traffic.before, traffic.after)
    if engine.by == "text":
        (said,) = NlaServerByText(engine, client, layer=layer).explain([_short_peak(seen)])
        return _reads_the_token(said, layer) + traffic.note
    vector = _some_activation(equipment.experiment.nla.subject)
    (said,) = NlaServerByVector(engine, client).explain_vectors(vector[None], [0])
    if said.outcome in (Outcome.EMPTY, Outcome.UNPARSABLE):
        raise Undecided(f"The server takes vectors of width {len(vector)}; the one that was sent says nothing to it.")
    if said.outcome is not Outcome.OK:
        raise ServiceError(f"The NLA server does not answer: {said.detail}. Check nla.engine.base_url.")
    return f"takes vectors of width {len(vector)}; it does not say of which layer{traffic.note}"


def _some_activation(subject: SmolLM2Subject | FolderSubject) -> NDArray[np.float32]:
    """A vector of the subject model's width; of a model that is not loaded here one that says nothing."""
    if isinstance(subject, FolderSubject):
        from baez_pipeline.nla.fitting import subject_width

        return np.ones(subject_width(subject), dtype=np.float32)
    return mean_activation()


def mean_activation() -> NDArray[np.float32]:
    """The mean activation of the subject model, as the neighbour bank holds it: a vector of the right width and size.

    Raises:
        SourceError: the bank is missing.
    """
    from baez_pipeline.embedded.bank import NeighbourBank

    return NeighbourBank.load().mean.numpy().astype(np.float32)


def _short_peak(seen: Seen) -> Peak:
    """The last word of a short text that begins as the source's contexts do."""
    tokens = (*filter(None, [seen.bos]), *SHORT_TEXT)
    return Peak(tokens=tokens, token_ids=None, position=len(tokens) - 1, seed=0)


def _reads_the_token(said: Explanation, layer: int) -> str:
    if said.outcome is Outcome.MISALIGNED:
        raise ServiceError(
            f"The service explains another token than it is asked for: {said.detail}. Its tokenizer is not the "
            "source's, or it counts the BOS in a way that is not known: every explanation would fail."
        )
    if said.outcome is not Outcome.OK:
        raise ServiceError(f"The service gives no explanation: {said.detail}. Try again later, or check nla.engine.")
    return f"explains the token that it is asked for, at layer {layer}, in {len(said.text.split())} words"
