"""Names that Dagster knows assets by."""

import dagster as dg

from baez_pipeline.experiment import Experiment


def asset_key(experiment: Experiment, step: str) -> dg.AssetKey:
    """The key of a step's asset: prefixed, so that several experiments share one Dagster instance."""
    return dg.AssetKey([experiment.name, step])
