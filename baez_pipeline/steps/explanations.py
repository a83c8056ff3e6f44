"""The step `nla_explanations`."""

from collections.abc import Iterator

from baez_pipeline.llm.smollm2 import IDENTITY as SMOLLM2
from baez_pipeline.nla import explain_feature
from baez_pipeline.steps.step import Produced, Step, Unit, Work
from baez_pipeline.tables import NlaExplanations


def _explanations(work: Work) -> Iterator[Produced]:
    equipment = work.equipment
    experiment = equipment.experiment
    for feature in work.features:
        splits = work.read("example_splits", feature)
        yield Unit(feature), explain_feature(splits, equipment.verbalizer, experiment.nla, seed=experiment.seed)


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
        # Neither speed nor where the verbalizer lies changes an explanation.
        "nla": equipment.experiment.nla.model_dump(mode="json", exclude={"engine": {"batch_size", "verbalizer"}}),
        "seed": equipment.experiment.seed,
    },
    compute=_explanations,
)
