"""Putting definitions together; tests and the command line build variants of them."""

import dagster as dg

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Surroundings, load_experiment
from baez_pipeline.orchestration.assets import build_assets
from baez_pipeline.orchestration.choose import build_choose_job
from baez_pipeline.orchestration.graphs import build_graph_asset
from baez_pipeline.orchestration.jobs import build_jobs
from baez_pipeline.orchestration.schedules import rescore_definitions
from baez_pipeline.orchestration.sensors import build_converge_sensor
from baez_pipeline.steps import build_chain


def build_definitions(surroundings: Surroundings) -> dg.Definitions:
    """Assets, jobs and sensors of the experiment that the surroundings name.

    Raises:
        BaezError: the experiment or its source cannot be read.
    """
    return definitions_of(Equipment(load_experiment(surroundings.experiment), surroundings.data, surroundings.answers))


def definitions_of(equipment: Equipment) -> dg.Definitions:
    """Assets, jobs and sensors of an experiment whose equipment is there."""
    chain = build_chain(equipment.experiment)
    choose = build_choose_job(equipment)
    made = dg.Definitions(
        assets=[*build_assets(chain, equipment), build_graph_asset(equipment)],
        jobs=[*build_jobs(chain, equipment), choose],
        sensors=[build_converge_sensor(chain, equipment, choose)],
        # One process per run: a model is loaded once for all steps of all its features (design, decision 1).
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(made, rescore_definitions(equipment))
