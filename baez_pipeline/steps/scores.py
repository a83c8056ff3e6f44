"""The steps `scores_<benchmark>`, one per benchmark of the experiment; their parts are the methods."""

from collections.abc import Iterator
from typing import Any

from baez_pipeline.equipment import MINILM, Equipment
from baez_pipeline.experiment import Benchmark
from baez_pipeline.llm.smollm2 import IDENTITY as SMOLLM2
from baez_pipeline.scoring import judge_labels
from baez_pipeline.scoring.judge_threshold import LEADS
from baez_pipeline.steps.step import Produced, Step, Work
from baez_pipeline.tables import JudgedExamples


def scores_step(benchmark: Benchmark) -> Step:
    """The step that scores every method's labels on a benchmark."""

    def compute(work: Work) -> Iterator[Produced]:
        experiment = work.equipment.experiment
        yield from judge_labels(
            benchmark,
            work.read(f"labels_{work.part}"),
            work.read("example_splits"),
            experiment.scoring,
            seed=experiment.seed,
        )

    def depends_on(equipment: Equipment, part: str | None) -> dict[str, Any]:
        judged_by = (
            {"embedder": equipment.experiment.scoring.embedder.model_dump(mode="json"), "model": MINILM}
            if benchmark == "embedding"
            else {
                "judge": equipment.experiment.scoring.judge.model_dump(mode="json"),
                "model": SMOLLM2,
                "calibration": equipment.calibration_identity,
                "wording": LEADS[benchmark],
            }
        )
        return {**judged_by, "seed": equipment.experiment.seed}

    return Step(
        name=f"scores_{benchmark}",
        schema=JudgedExamples,
        room="scoring",
        description=f"Every judgement of the benchmark {benchmark}: one row per label and example.",
        version=1,
        per_feature=True,
        reads=lambda part: (f"labels_{part}", "example_splits"),
        depends_on=depends_on,
        compute=compute,
        parts=lambda equipment: equipment.experiment.labeling.methods,
    )
