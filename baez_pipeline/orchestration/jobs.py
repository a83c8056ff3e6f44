"""Jobs: the three phases of the chain, since a run has one kind of partition.

Drawing the roster registers the partitions; the per-feature steps run over a range of them; the results read them all.
"""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from baez_pipeline.experiment import Experiment
from baez_pipeline.orchestration.partitions import feature_partitions
from baez_pipeline.steps import Chain, Step

PHASES = ("sample", "features", "results")


def phase_of(step: Step) -> str:
    """The phase that a step belongs to."""
    if step.per_feature:
        return "features"
    return "sample" if step.name == "feature_sample" else "results"


def job_name(experiment: Experiment, phase: str) -> str:
    """The name of a phase's job."""
    return f"{experiment.name}_{phase}"


def build_jobs(chain: Chain, experiment: Experiment) -> list[UnresolvedAssetJobDefinition]:
    """One job per phase."""
    return [
        dg.define_asset_job(
            job_name(experiment, phase),
            selection=dg.AssetSelection.assets(
                *(dg.AssetKey([experiment.name, step.name]) for step in chain if phase_of(step) == phase)
            ),
            partitions_def=feature_partitions(experiment.name) if phase == "features" else None,
            description=__doc__,
        )
        for phase in PHASES
    ]
