"""The Dagster entry: the active experiment's chain (BAEZ_EXPERIMENT, by default the embedded one)."""

from baez_pipeline.experiment import Surroundings
from baez_pipeline.orchestration.build import build_definitions

defs = build_definitions(Surroundings.from_environment())
