"""The steps `scores_<benchmark>`, one per benchmark of the experiment; their parts are whose labels are judged."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import polars as pl

from baez_pipeline.equipment import MINILM, Equipment
from baez_pipeline.experiment import Benchmark, HttpModel, LikelihoodJudge
from baez_pipeline.features.roster import Roster, is_planted
from baez_pipeline.labeling.eleuther_acts import DELPHI
from baez_pipeline.llm.smollm2 import IDENTITY as SMOLLM2
from baez_pipeline.scoring import judge_labels
from baez_pipeline.scoring.controls import CONTROLS, EMPTY, GENERIC, GENERIC_LABEL, RIGHT, Judged, judged_labels
from baez_pipeline.steps.step import FromOthers, Produced, Step, Unit, Work
from baez_pipeline.store import Address
from baez_pipeline.tables import JudgedExamples, Labels, Outcome

CONTROL_LABELS = {GENERIC: GENERIC_LABEL, EMPTY: ""}


def scores_step(benchmark: Benchmark) -> Step:
    """The step that judges every method's labels, and the controls, on a benchmark."""

    def compute(work: Work) -> Iterator[Produced]:
        equipment = work.equipment
        judged = judge_labels(
            equipment.benchmark(benchmark),
            labels_to_judge(
                work.chain.roster(equipment),
                work.units,
                lambda method, features: work.read(f"labels_{method}", *features),
            ),
            work.read("example_splits"),
            seed=equipment.experiment.seed,
            concurrency=equipment.judge.concurrency if equipment.judge and benchmark != "embedding" else 1,
        )
        for feature, method, shuffle, table in judged:
            yield Unit(feature, Judged(method, shuffle).part), table

    return Step(
        name=f"scores_{benchmark}",
        schema=JudgedExamples,
        room="scoring",
        family="scores",
        description=f"Every judgement of the benchmark {benchmark}: one row per label and example.",
        version=2,
        per_feature=True,
        reads=_reads,
        from_others=from_others,
        depends_on=lambda equipment, part: {
            **judged_by(equipment, benchmark),
            "label": CONTROL_LABELS.get(part or ""),
            "seed": equipment.experiment.seed,
        },
        compute=compute,
        parts=_parts,
        applies=lambda feature, part: is_planted(feature) or Judged.of(part or "").method != RIGHT,
        asks=lambda equipment: benchmark != "embedding" and isinstance(equipment.experiment.scoring.judge, HttpModel),
    )


def _parts(equipment: Equipment) -> tuple[str | None, ...]:
    experiment = equipment.experiment
    found = judged_labels(experiment.labeling.methods, shuffles=experiment.controls.shuffles)
    return tuple(judged.part for judged in found)


def _reads(part: str | None) -> tuple[str, ...]:
    method, shuffle = Judged.of(part or "")
    own_label = () if shuffle or method in CONTROLS else (f"labels_{method}",)
    return (*own_label, "example_splits")


def from_others(roster: Roster, feature: str, part: str | None) -> FromOthers:
    """What a label follows from beyond the feature's own tables: its partner's label, or what the roster says."""
    method, shuffle = Judged.of(part or "")
    label_from = _label_from(roster, feature, shuffle)
    if method == RIGHT:
        return FromOthers(facts={"right label": roster.right_labels[label_from]})
    if shuffle:
        return FromOthers(tables=(Address(table=f"labels_{method}", feature=label_from),))
    return FromOthers()


def _label_from(roster: Roster, feature: str, shuffle: int) -> str:
    return roster.partners[feature][shuffle - 1] if shuffle else feature


def labels_to_judge(
    roster: Roster, units: Sequence[Unit], written: Callable[[str, Sequence[str]], pl.DataFrame]
) -> pl.DataFrame:
    """The labels that score tables are about: whose examples (feature), who wrote it for whom, and what it says.

    Args:
        roster: says who is whose partner, and what the right labels are.
        units: the score tables.
        written: method and features -> their Labels.
    """
    wanted = pl.DataFrame(
        [
            {
                "feature": unit.feature,
                **Judged.of(unit.part or "")._asdict(),
                "label_from": _label_from(roster, unit.feature or "", Judged.of(unit.part or "").shuffle),
            }
            for unit in units
        ]
    )
    columns = ["method", "label", "outcome", "detail"]
    by_methods = wanted.filter(~pl.col("method").is_in(CONTROLS))
    found = [
        written(str(method), rows["label_from"].unique(maintain_order=True).to_list()).select(
            *columns, label_from="feature"
        )
        for (method,), rows in by_methods.partition_by("method", as_dict=True, maintain_order=True).items()
    ]
    labels = pl.concat([*found, _given(roster, wanted)])
    return wanted.join(labels, on=["method", "label_from"], how="left", maintain_order="left", validate="m:1")


def _given(roster: Roster, wanted: pl.DataFrame) -> pl.DataFrame:
    """The controls' labels, which nobody wrote."""
    labels = Labels.create_empty().select("method", "label", "outcome", "detail", label_from="feature")
    rows = [
        {
            "method": method,
            "label": roster.right_labels[label_from] if method == RIGHT else CONTROL_LABELS[method],
            "outcome": Outcome.OK.value,
            "detail": None,
            "label_from": label_from,
        }
        for method, label_from in wanted.filter(pl.col("method").is_in(CONTROLS))
        .select("method", "label_from")
        .unique()
        .iter_rows()
    ]
    return pl.DataFrame(rows, schema=labels.schema, orient="row")


def judged_by(equipment: Equipment, benchmark: Benchmark) -> dict[str, Any]:
    """What a benchmark's judgements depend on, apart from label and examples."""
    scoring = equipment.experiment.scoring
    if benchmark == "embedding":
        return {"embedder": scoring.embedder.model_dump(mode="json"), "model": MINILM}
    marking = {"marking": scoring.marking} if benchmark != "detection" else {}
    if isinstance(scoring.judge, LikelihoodJudge):
        return marking | {
            "judge": scoring.judge.model_dump(mode="json"),
            "model": SMOLLM2,
            "calibration": equipment.calibration_identity,
        }
    return marking | {"judge": scoring.judge.answer_settings(), "prompt": DELPHI}
