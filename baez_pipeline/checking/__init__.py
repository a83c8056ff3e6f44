"""Whether an experiment can run: asked before anything is spent.

Goes in: questions that cost nothing, to the files, services and endpoints that an experiment names. Stays out: any rule
of their own making about what fits what; those stand where a run holds them (equipment, sidecar, engines).

Nothing is bought: no completion is asked for. What a service answers is kept as a run keeps it, so that a run asks it
no second time.
"""

from collections.abc import Iterator

from baez_pipeline.checking.finding import Finding
from baez_pipeline.checking.keys import check_keys, secrets_of
from baez_pipeline.checking.models import check_models
from baez_pipeline.checking.places import check_places
from baez_pipeline.checking.source import check_source
from baez_pipeline.checking.verbalizer import check_verbalizer
from baez_pipeline.equipment import Equipment

__all__ = ["Finding", "check_experiment"]


def check_experiment(equipment: Equipment) -> Iterator[Finding]:
    """What was found, as it is found. A check that fails does not keep the others from being made.

    The data folder and the database of answers are made where there are none. No finding holds a key.
    """
    secrets = secrets_of(equipment)
    for finding in _findings(equipment):
        yield finding.without(secrets)


def _findings(equipment: Equipment) -> Iterator[Finding]:
    yield from check_places(equipment)
    yield from check_keys(equipment.experiment)
    yield from check_models(equipment.experiment)
    seen = yield from check_source(equipment)
    if not equipment.experiment.lists_layers:
        yield from check_verbalizer(equipment, seen)
