"""The step `nla_explanations`."""

import logging
from collections.abc import Iterator

from baez_pipeline.experiment import NeuronpediaEngine
from baez_pipeline.llm.smollm2 import IDENTITY as SMOLLM2
from baez_pipeline.nla import explain_feature
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
    for feature in work.features:
        splits = work.read("example_splits", feature)
        yield Unit(feature), explain_feature(splits, equipment.verbalizer, experiment.nla, seed=experiment.seed)


_NO_PART_IN_AN_EXPLANATION = {
    *("batch_size", "verbalizer", "base_url", "key_variable", "secret_variable"),
    *("requests_per_hour", "timeout_seconds"),
}
"""Settings of engines about speed, and about where the verbalizer is reached; which one it is says its identity."""

NLA_EXPLANATIONS = Step(
    name="nla_explanations",
    schema=NlaExplanations,
    room="nla",
    description="What the verbalizer says of the activation at each train example's peak token.",
    version=2,
    per_feature=True,
    reads=lambda part: ("example_splits",),
    depends_on=lambda equipment, part: {
        "subject": SMOLLM2,
        "verbalizer": equipment.verbalizer_identity,
        "nla": equipment.experiment.nla.model_dump(mode="json", exclude={"engine": _NO_PART_IN_AN_EXPLANATION}),
        "seed": equipment.experiment.seed,
    },
    compute=_explanations,
)
