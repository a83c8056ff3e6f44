"""The steps `scores_<benchmark>`, one per benchmark of the experiment; their parts are the methods."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from baez_pipeline.equipment import MINILM, Equipment
from baez_pipeline.experiment import Benchmark, HttpModel, LikelihoodJudge
from baez_pipeline.labeling.eleuther_acts import DELPHI
from baez_pipeline.llm.smollm2 import IDENTITY as SMOLLM2
from baez_pipeline.scoring import judge_labels
from baez_pipeline.scoring.judge_threshold import LEADS
from baez_pipeline.steps.step import Produced, Step, Unit, Work
from baez_pipeline.tables import JudgedExamples


def scores_step(benchmark: Benchmark) -> Step:
    """The step that scores every method's labels on a benchmark."""

    def compute(work: Work) -> Iterator[Produced]:
        equipment = work.equipment
        labels = pl.concat(
            work.read(f"labels_{part}", *(unit.feature for unit in work.units if unit.part == part and unit.feature))
            for part in dict.fromkeys(unit.part for unit in work.units)
        )
        judged = judge_labels(
            equipment.benchmark(benchmark),
            labels,
            work.read("example_splits"),
            seed=equipment.experiment.seed,
            concurrency=equipment.judge.concurrency if equipment.judge and benchmark != "embedding" else 1,
        )
        for feature, method, table in judged:
            yield Unit(feature, method), table

    return Step(
        name=f"scores_{benchmark}",
        schema=JudgedExamples,
        room="scoring",
        description=f"Every judgement of the benchmark {benchmark}: one row per label and example.",
        version=1,
        per_feature=True,
        reads=lambda part: (f"labels_{part}", "example_splits"),
        depends_on=lambda equipment, part: {
            **_judged_by(equipment, benchmark),
            "seed": equipment.experiment.seed,
        },
        compute=compute,
        parts=lambda equipment: equipment.experiment.labeling.methods,
        asks=lambda equipment: benchmark != "embedding" and isinstance(equipment.experiment.scoring.judge, HttpModel),
    )


def _judged_by(equipment: Equipment, benchmark: Benchmark) -> dict[str, Any]:
    scoring = equipment.experiment.scoring
    if benchmark == "embedding":
        return {"embedder": scoring.embedder.model_dump(mode="json"), "model": MINILM}
    if isinstance(scoring.judge, LikelihoodJudge):
        return {
            "judge": scoring.judge.model_dump(mode="json"),
            "model": SMOLLM2,
            "calibration": equipment.calibration_identity,
            "wording": LEADS[benchmark],
        }
    return {"judge": scoring.judge.answer_settings(), "prompt": DELPHI}
