"""The steps `labels_<method>`, one per method of the experiment."""

from collections.abc import Iterator

from baez_pipeline.experiment import Experiment, HttpModel, Labeling, SmolLM2Writer
from baez_pipeline.labeling import METHODS, LabelMethod, label_features
from baez_pipeline.labeling.answer import MARKER
from baez_pipeline.labeling.method import Writing
from baez_pipeline.llm.smollm2 import IDENTITY as SMOLLM2
from baez_pipeline.steps.step import Produced, Step, Unit, Work
from baez_pipeline.tables import Labels


def labels_step(method_name: str) -> Step:
    """The step that labels features with a method."""
    method = METHODS[method_name]

    def compute(work: Work) -> Iterator[Produced]:
        experiment, writer = work.equipment.experiment, work.equipment.writer
        # One read of all: each would be checked by itself (3 ms).
        evidence = work.read(method.reads).partition_by("feature", as_dict=True, maintain_order=True)
        labels = label_features(
            method,
            {str(key[0]): rows for key, rows in evidence.items()},
            writer,
            writing(experiment.labeling, seed=experiment.seed),
            concurrency=writer.concurrency,
        )
        for feature, row in labels:
            yield Unit(feature), row

    return Step(
        name=f"labels_{method.name}",
        schema=Labels,
        room="labeling",
        family="labels",
        description=f"Labels by the method {method.name}, from {method.reads}.",
        version=2,
        per_feature=True,
        reads=lambda part: (method.reads,),
        depends_on=lambda equipment, part: {
            "prompt": _prompt_text(method, equipment.experiment),
            "writer": _what_changes_labels(equipment.experiment.labeling),
            **_what_changes_evidence(method, equipment.experiment.labeling),
            "seed": equipment.experiment.seed,
        },
        compute=compute,
        asks=lambda equipment: isinstance(equipment.experiment.labeling.writer, HttpModel),
    )


def writing(labeling: Labeling, *, seed: int) -> Writing:
    """How the experiment's writer is asked."""
    settings = labeling.writer
    return Writing(
        prompts=labeling.prompts,
        numbered_examples=labeling.numbered_examples,
        maximum_words=labeling.maximum_words,
        temperature=settings.temperature if isinstance(settings, SmolLM2Writer) else settings.sent_temperature,
        max_tokens=settings.max_tokens,
        prefill=MARKER if isinstance(settings, SmolLM2Writer) and settings.prefill else None,
        seed=seed,
        minimum_fve=labeling.minimum_fve,
    )


def _what_changes_evidence(method: LabelMethod, labeling: Labeling) -> dict[str, float]:
    if method.reads != "nla_explanations" or labeling.minimum_fve is None:
        return {}
    return {"minimum_fve": labeling.minimum_fve}


def _prompt_text(method: LabelMethod, experiment: Experiment) -> str:
    asked = writing(experiment.labeling, seed=experiment.seed)
    return method.prompt(asked).text(asked)


def _what_changes_labels(labeling: Labeling) -> dict[str, object]:
    if isinstance(labeling.writer, SmolLM2Writer):
        return {**labeling.writer.model_dump(mode="json"), "model": SMOLLM2}
    return labeling.writer.answer_settings()
