"""Dagster's definitions of the made-up experiment, for a real UI, a real daemon and real run workers.

Read from the environment: MADE_UP_SOURCE (a folder of `write_source`), MADE_UP_FEATURES, BAEZ_DATA.
"""

import os
from pathlib import Path

import torch

from baez_pipeline.orchestration.build import definitions_of
from benchmarks.made_up_models import instant_equipment, made_up_experiment

torch.set_num_threads(1)
defs = definitions_of(
    instant_equipment(
        made_up_experiment(Path(os.environ["MADE_UP_SOURCE"]), int(os.environ["MADE_UP_FEATURES"])),
        os.environ["BAEZ_DATA"],
    )
)
