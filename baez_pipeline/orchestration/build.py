"""Putting definitions together; tests and the command line build variants of them."""

from collections.abc import Mapping

import dagster as dg

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Surroundings, load_experiment
from baez_pipeline.orchestration.assets import build_assets
from baez_pipeline.orchestration.graphs import build_graph_asset
from baez_pipeline.orchestration.jobs import build_jobs
from baez_pipeline.steps import build_chain


def build_definitions(surroundings: Surroundings) -> dg.Definitions:
    """Assets and jobs of the experiment that the surroundings name.

    Raises:
        BaezError: the experiment or its source cannot be read.
    """
    return definitions_of(Equipment(load_experiment(surroundings.experiment), surroundings.data, surroundings.answers))


def definitions_of(equipment: Equipment, loggers: Mapping[str, dg.LoggerDefinition] | None = None) -> dg.Definitions:
    """Assets and jobs of an experiment whose equipment is there, with loggers other than Dagster's own."""
    chain = build_chain(equipment.experiment)
    return dg.Definitions(
        assets=[*build_assets(chain, equipment), build_graph_asset(equipment)],
        jobs=build_jobs(chain, equipment),
        # One process per run: a model is loaded once for all steps of all its features (design, decision 1).
        executor=dg.in_process_executor,
        loggers=loggers,
    )
