"""Pools: which ops take turns, so that one GPU holds one model and an endpoint is asked no more than it allows.

How many ops a pool lets in at once is the instance's: `concurrency.pools.default_limit` in dagster.yaml, which is one.
An op fills its endpoint's slots by itself (`concurrency` of the model's settings), so that one op at a time is that
limit for every run on the instance; `dagster instance concurrency set <pool> 2` lets in two.
"""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import HttpModel
from baez_pipeline.steps import Step

GPU_POOL = "gpu"


def pool_of(steps: Sequence[Step], equipment: Equipment) -> str | None:
    """The pool of the op that makes these steps of one family; None for what runs on the processor alone."""
    if any(step.uses_gpu(equipment) for step in steps):
        return GPU_POOL
    address = next((found for step in steps if (found := _address(step, equipment))), None)
    return f"llm_{_slug(address)}" if address else None


def _address(step: Step, equipment: Equipment) -> str | None:
    """Where a step's questions go."""
    experiment = equipment.experiment
    if step.name == "nla_explanations":
        return getattr(experiment.nla.engine, "base_url", None)
    if not step.asks(equipment):
        return None
    tiers = experiment.tiers
    asked = (
        (experiment.scoring.judge,)
        if step.family in ("scores", "rescores")
        else (experiment.labeling.writer, tiers.tier_1_writer if tiers else None)
    )
    return next((model.base_url for model in asked if isinstance(model, HttpModel)), None)


def _slug(address: str) -> str:
    # The host alone: an address may carry a name and a password before it.
    parts = urlsplit(address)
    place = f"{parts.hostname}_{parts.port}" if parts.port else str(parts.hostname)
    return re.sub(r"[^A-Za-z0-9]+", "_", place)
