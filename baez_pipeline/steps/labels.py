"""The steps `labels_<method>`, one per method of the experiment."""

from collections.abc import Iterator

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Experiment, HttpModel, Labeling, SmolLM2Writer
from baez_pipeline.experiment.models import Writer
from baez_pipeline.labeling import METHODS, LabelMethod
from baez_pipeline.labeling.answer import MARKER
from baez_pipeline.labeling.method import Asking, Writing
from baez_pipeline.llm.smollm2 import IDENTITY as SMOLLM2
from baez_pipeline.steps.step import Produced, Step, Unit, Work
from baez_pipeline.tables import Labels


def labels_step(method_name: str) -> Step:
    """The step that labels features with a method."""
    method = METHODS[method_name]

    def compute(work: Work) -> Iterator[Produced]:
        # One read of all: each would be checked by itself (3 ms).
        evidence = work.read(method.reads).partition_by("feature", as_dict=True, maintain_order=True)
        asking = asking_of(work.equipment, method)
        for feature, row in asking.labels({str(key[0]): rows for key, rows in evidence.items()}):
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
        depends_on=lambda equipment, part: what_changes_labels(equipment.experiment, method),
        compute=compute,
        asks=lambda equipment: isinstance(equipment.experiment.labeling.writer, HttpModel),
    )


def asking_of(equipment: Equipment, method: LabelMethod) -> Asking:
    """The experiment's writer, asked by a method."""
    experiment = equipment.experiment
    return Asking(
        method=method,
        open_writer=lambda: equipment.writer,
        writing=writing(experiment.labeling, experiment.labeling.writer, seed=experiment.seed),
    )


def writing(labeling: Labeling, settings: Writer, *, seed: int) -> Writing:
    """How a writer is asked."""
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


def what_changes_labels(experiment: Experiment, method: LabelMethod, writer: Writer | None = None) -> dict[str, object]:
    """What a fingerprint of labels by a method depends on, and a change of prompt or writer makes anew.

    Args:
        experiment: the experiment.
        method: the method.
        writer: who is asked; None = the experiment's writer.
    """
    settings = writer or experiment.labeling.writer
    asked = writing(experiment.labeling, settings, seed=experiment.seed)
    return {
        "prompt": method.prompt(asked).text(asked),
        "writer": {**settings.model_dump(mode="json"), "model": SMOLLM2}
        if isinstance(settings, SmolLM2Writer)
        else settings.answer_settings(),
        **_what_changes_evidence(method, experiment.labeling),
        "seed": experiment.seed,
    }
