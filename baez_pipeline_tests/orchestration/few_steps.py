"""An experiment with few steps, and what a Dagster instance shows of it."""

from collections import Counter

import dagster as dg

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Experiment
from baez_pipeline.orchestration.partitions import feature_partitions
from baez_pipeline.steps import build_chain
from baez_pipeline_tests.local_services import Services, with_changes

METHODS, BENCHMARK = ("baez", "eleuther_acts_top5"), "detection"


def few_steps(services: Services, *, features: int, **changes) -> Experiment:
    """Two methods and one benchmark, all over HTTP; each label is judged as another feature's, too."""
    experiment = services.experiment(features=features, planted_per_kind=1)
    return experiment.model_copy(
        update={
            "labeling": with_changes(experiment.labeling, methods=METHODS),
            "scoring": with_changes(experiment.scoring, benchmarks=(BENCHMARK,)),
            **changes,
        }
    )


def kept(equipment: Equipment) -> list[str]:
    """The features that have partitions."""
    return build_chain(equipment.experiment).kept_features(equipment)


def per_feature(equipment: Equipment) -> list[str]:
    """The names of the steps that are made feature by feature."""
    return [step.name for step in build_chain(equipment.experiment) if step.per_feature]


def shown(instance: dg.DagsterInstance, equipment: Equipment, step: str) -> dict[str, str]:
    """Feature -> its partition's status as the UI shows it; features that show none are left out."""
    name = equipment.experiment.name
    found = instance.get_status_by_partition(dg.AssetKey([name, step]), kept(equipment), feature_partitions(name))
    return {feature: status.value for feature, status in (found or {}).items() if status}


def stored(equipment: Equipment, step: str) -> set[str]:
    """Features with all tables of a step."""
    chain = build_chain(equipment.experiment)
    return {
        feature
        for feature in kept(equipment)
        if all(equipment.store.entry(address) for address in chain.addresses(chain[step], equipment, [feature]))
    }


def runs_by_job(instance: dg.DagsterInstance) -> Counter[str]:
    """How many runs there were of each job."""
    return Counter(run.job_name for run in instance.get_runs())
