"""Jobs: the phases of the chain, since a run has one kind of partition.

Drawing the roster registers the partitions; the per-feature steps run over a range of them; the results read them all.
Labels by tier are made per feature, but a tier follows from all features: two more phases come before them then.
"""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Experiment
from baez_pipeline.orchestration.keys import asset_key
from baez_pipeline.orchestration.partitions import feature_partitions
from baez_pipeline.steps import Chain

ROSTER = "feature_sample"

_DESCRIPTIONS = {
    "sample": "Draw the features and register their partitions.",
    "to_sort": "What the tiers of all features follow from. A run takes a range of features.",
    "sorting": "Sort all features into tiers.",
    "features": "Every step that is made feature by feature. A run takes a range of features; for features that are "
    "no range, or failed and missing ones, use the job whose name ends in _choose.",
    "results": "Tables and reports over all features.",
}


def phases(chain: Chain, equipment: Equipment) -> dict[str, list[str]]:
    """The names of the steps by phase, in the order in which phases are run.

    Returns:
        `sample`, `features` and `results`; before `features`, where one of its steps reads a table over all features,
        `sorting` (that table) after `to_sort` (the per-feature steps that it follows from).
    """
    reads = {
        step.name: {name for part in step.parts(equipment) for name in step.reads(part)} - {ROSTER} for step in chain
    }
    per_feature = {step.name for step in chain if step.per_feature}
    sorting = set().union(*(reads[name] for name in per_feature)) - per_feature
    to_sort: set[str] = set()
    for name in reversed(list(reads)):
        if name in sorting or name in to_sort:
            to_sort |= reads[name] & per_feature
    found: dict[str, list[str]] = {phase: [] for phase in ("sample", "to_sort", "sorting", "features", "results")}
    for name in reads:
        if name == ROSTER:
            phase = "sample"
        elif name in sorting:
            phase = "sorting"
        elif name in to_sort:
            phase = "to_sort"
        else:
            phase = "features" if name in per_feature else "results"
        found[phase].append(name)
    return {phase: names for phase, names in found.items() if names}


def is_per_feature(phase: str) -> bool:
    """Whether a phase's runs take a range of features."""
    return phase in ("to_sort", "features")


def job_name(experiment: Experiment, phase: str) -> str:
    """The name of a phase's job."""
    return f"{experiment.name}_{phase}"


def build_jobs(chain: Chain, equipment: Equipment) -> list[UnresolvedAssetJobDefinition]:
    """One job per phase."""
    experiment = equipment.experiment
    return [
        dg.define_asset_job(
            job_name(experiment, phase),
            selection=dg.AssetSelection.assets(*(asset_key(experiment, name) for name in names)),
            partitions_def=feature_partitions(experiment.name) if is_per_feature(phase) else None,
            description=_DESCRIPTIONS[phase],
        )
        for phase, names in phases(chain, equipment).items()
    ]
