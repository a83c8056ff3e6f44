"""The keys that an experiment names: whether they are there. What they are is read here only to keep it from view."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from baez_pipeline.checking.finding import Finding, tried
from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import (
    Experiment,
    HttpModel,
    NeuronpediaApiSource,
    NeuronpediaEngine,
    NeuronpediaExportSource,
    NlaServerEngine,
    key_from_environment,
    optional_key,
    secret_in,
)


@dataclass(frozen=True, kw_only=True)
class _Use:
    """What a key is for."""

    variable: str
    needed_for: str
    required: bool


def asked_models(experiment: Experiment) -> list[tuple[str, HttpModel]]:
    """The models over HTTP that a run asks, with their parts in it."""
    return [(part, settings) for part, settings in experiment.asked.items() if isinstance(settings, HttpModel)]


def check_keys(experiment: Experiment) -> Iterator[Finding]:
    """Whether each variable that the experiment names is set. One that is not required is well either way."""
    uses: dict[str, list[_Use]] = {}
    for use in _uses(experiment):
        uses.setdefault(use.variable, []).append(use)
    for variable, those in uses.items():
        yield tried(f"key {variable}", partial(_found, those))


def secrets_of(equipment: Equipment) -> set[str]:
    """What no finding may hold: the keys, and passwords in addresses."""
    experiment = equipment.experiment
    keys = {secret_in(use.variable) for use in _uses(experiment)}
    addresses = [equipment.data, *(settings.base_url for _, settings in asked_models(experiment))]
    if isinstance(experiment.source, NeuronpediaApiSource):
        addresses.append(experiment.source.base_url)
    if isinstance(experiment.source, NeuronpediaExportSource):
        addresses.append(experiment.source.url)
    if isinstance(experiment.nla.engine, NeuronpediaEngine | NlaServerEngine):
        addresses.append(experiment.nla.engine.base_url)
    return {secret for secret in keys | {_password(address) for address in addresses} if secret}


def _uses(experiment: Experiment) -> Iterator[_Use]:
    for part, settings in asked_models(experiment):
        if settings.key_variable:
            yield _Use(variable=settings.key_variable, needed_for=f"the {part} {settings.model}", required=True)
    engine = experiment.nla.engine
    for named in (experiment.source, engine):
        if isinstance(named, NeuronpediaApiSource | NeuronpediaEngine):
            yield _Use(variable=named.key_variable, needed_for="Neuronpedia", required=False)
    if isinstance(engine, NlaServerEngine) and engine.secret_variable:
        yield _Use(variable=engine.secret_variable, needed_for="the NLA server", required=True)


def _found(uses: list[_Use]) -> str:
    variable, needed_for = uses[0].variable, " and ".join(dict.fromkeys(use.needed_for for use in uses))
    if not any(use.required for use in uses) and optional_key(variable) is None:
        return f"not set; {needed_for} answers without one"
    key_from_environment(variable, needed_for=needed_for)
    return f"set, for {needed_for}"


def _password(address: str) -> str | None:
    try:
        return urlsplit(address).password
    except ValueError:
        return None
