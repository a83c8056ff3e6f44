"""The step `nla_explanations`."""

import logging
from collections.abc import Iterator

import polars as pl

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import NeuronpediaEngine
from baez_pipeline.experiment.features import NEURONPEDIA_API
from baez_pipeline.nla import explain_features
from baez_pipeline.nla.opening import identity_of
from baez_pipeline.steps.step import Produced, Step, Unit, Work
from baez_pipeline.tables import NlaExplanations

logger = logging.getLogger(__name__)


def _explanations(work: Work) -> Iterator[Produced]:
    equipment = work.equipment
    experiment = equipment.experiment
    if isinstance(engine := experiment.nla.engine, NeuronpediaEngine):
        logger.info(
            "at most %d explanations, at %d requests an hour",
            *(len(work.features) * experiment.split.train, engine.requests_per_hour),
        )
    for splits in _groups(work, peaks_at_once=equipment.verbalizer.peaks_at_once):
        explained = explain_features(splits, equipment.verbalizer, experiment.nla, seed=experiment.seed)
        for key, rows in explained.partition_by("feature", as_dict=True, maintain_order=True).items():
            yield Unit(str(key[0])), rows


def _groups(work: Work, *, peaks_at_once: int) -> Iterator[pl.DataFrame]:
    """The splits of whole features, as many as have the peaks that are worth being explained together."""
    features = list(work.features)
    while features:
        size = max(1, peaks_at_once // work.equipment.experiment.split.train)
        group, features = features[:size], features[size:]
        yield work.read("example_splits", *group)


_NO_PART_IN_AN_EXPLANATION = {
    *("batch_size", "verbalizer", "reconstructor", "revision", "base_url", "key_variable", "secret_variable"),
    *("requests_per_hour", "timeout_seconds", "gpu_memory_share", "gpus"),
}
"""Settings of engines about speed, and about where models are reached; which ones they are say their identities."""


def _what_verbalizes(equipment: Equipment) -> str:
    """The verbalizer with its revision, wherever it is served.

    The identity of Neuronpedia's service, as tables have it, names the host; a mirror or a proxy of it says the same.
    """
    engine = equipment.experiment.nla.engine
    if isinstance(engine, NeuronpediaEngine):
        return identity_of(engine.model_copy(update={"base_url": NEURONPEDIA_API}))
    return equipment.verbalizer_identity


NLA_EXPLANATIONS = Step(
    name="nla_explanations",
    schema=NlaExplanations,
    room="nla",
    description="What the verbalizer says of the activation at each train example's peak token.",
    version=3,
    per_feature=True,
    reads=lambda part: ("example_splits",),
    depends_on=lambda equipment, part: {
        "subject": equipment.subject_identity,
        "verbalizer": _what_verbalizes(equipment),
        "reconstructor": equipment.reconstructor_identity,
        "nla": equipment.experiment.nla.model_dump(
            mode="json", exclude={"engine": _NO_PART_IN_AN_EXPLANATION, "subject": True}
        ),
        "seed": equipment.experiment.seed,
    },
    compute=_explanations,
    uses_gpu=lambda equipment: equipment.experiment.nla.uses_gpu,
)
