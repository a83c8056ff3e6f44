"""Shipped experiments pointed at local servers: nothing else about them is changed but what a test asks for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette

from baez_pipeline.experiment import Experiment, load_experiment
from baez_pipeline_tests.neuronpedia_server import FakeNeuronpedia
from baez_pipeline_tests.nla_service import FakeNla
from baez_pipeline_tests.openai_server import FakeOpenAI
from baez_pipeline_tests.served import served

KEY = "sk-or-v1-0123456789abcdef-secret"
MODELS = ("anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4.6")


@dataclass
class Services:
    """The three services of an experiment on Neuronpedia features, and what they count."""

    neuronpedia: FakeNeuronpedia = field(default_factory=lambda: FakeNeuronpedia(width=262_144))
    nla: FakeNla = field(default_factory=FakeNla)
    endpoint: FakeOpenAI = field(default_factory=lambda: FakeOpenAI(key=KEY, models=MODELS, dialect="openrouter"))
    neuronpedia_url: str = ""
    endpoint_url: str = ""

    @property
    def asked(self) -> tuple[int, int, int]:
        """Requests for features, explanations and completions so far."""
        return sum(self.neuronpedia.requests.values()), self.nla.requests, self.endpoint.requests

    def experiment(
        self, name: str = "article", *, features: int = 3, planted_per_kind: int = 1, **changes: Any
    ) -> Experiment:
        """A shipped experiment at these addresses, with fewer features, real and planted."""
        shipped = load_experiment(name)
        api, completions = f"{self.neuronpedia_url}/api", f"{self.endpoint_url}/v1"
        changed = {
            "sample": with_changes(shipped.sample, features=features, donors=12),
            "controls": with_changes(shipped.controls, planted_per_kind=planted_per_kind),
            "source": with_changes(shipped.source, base_url=api),
            "nla": with_changes(shipped.nla, engine=with_changes(shipped.nla.engine, base_url=api)),
            "labeling": with_changes(
                shipped.labeling, writer=with_changes(shipped.labeling.writer, base_url=completions)
            ),
            "scoring": with_changes(shipped.scoring, judge=with_changes(shipped.scoring.judge, base_url=completions)),
        }
        return shipped.model_copy(update=changed | changes)


def with_changes(table: Any, **changes: Any) -> Any:
    """A table of an experiment with some of its settings changed."""
    return table.model_copy(update=changes)


@contextmanager
def local_services(services: Services | None = None) -> Iterator[Services]:
    """The services, served."""
    services = services or Services()
    neuronpedia = Starlette(routes=[*services.neuronpedia.routes(), *services.nla.routes()])
    with served(neuronpedia) as services.neuronpedia_url, served(services.endpoint.app) as services.endpoint_url:
        yield services
