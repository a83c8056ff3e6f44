"""The steps `labels_<method>`, one per method of the experiment."""

from collections.abc import Iterator

from baez_pipeline.labeling import METHODS, label_features
from baez_pipeline.labeling.answer import MARKER
from baez_pipeline.labeling.method import Writing
from baez_pipeline.llm.smollm2 import IDENTITY as SMOLLM2
from baez_pipeline.steps.step import Produced, Step, Work
from baez_pipeline.tables import Labels


def labels_step(method_name: str) -> Step:
    """The step that labels features with a method."""
    method = METHODS[method_name]

    def compute(work: Work) -> Iterator[Produced]:
        experiment = work.equipment.experiment
        settings = experiment.labeling
        yield from label_features(
            method,
            {feature: work.read(method.reads, feature) for feature in work.features},
            work.equipment.writer,
            Writing(
                maximum_words=settings.maximum_words,
                temperature=settings.writer.temperature,
                max_tokens=settings.writer.max_tokens,
                prefill=MARKER if settings.writer.prefill else None,
                seed=experiment.seed,
            ),
            # One process answers one after the other.
            concurrency=1,
        )

    return Step(
        name=f"labels_{method.name}",
        schema=Labels,
        room="labeling",
        description=f"Labels by the method {method.name}, from {method.reads}.",
        version=1,
        per_feature=True,
        reads=lambda part: (method.reads,),
        depends_on=lambda equipment, part: {
            "prompt": method.prompt,
            "maximum_words": equipment.experiment.labeling.maximum_words,
            "writer": equipment.experiment.labeling.writer.model_dump(mode="json"),
            "model": SMOLLM2,
            "seed": equipment.experiment.seed,
        },
        compute=compute,
    )
