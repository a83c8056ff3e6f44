import pytest

from baez_pipeline.answers import Answers
from baez_pipeline.experiment import NeuronpediaEngine
from baez_pipeline.neuronpedia import Neuronpedia
from baez_pipeline.nla.neuronpedia_engine import NeuronpediaVerbalizer
from baez_pipeline_tests.nla.asking import Clock
from baez_pipeline_tests.nla_service import Stand
from baez_pipeline_tests.served import served


@pytest.fixture(scope="module")
def stand():
    stand = Stand()
    with served(stand) as stand.address:
        yield stand


@pytest.fixture
def neuronpedia_engine(stand, tmp_path):
    """Opens the engine on a service; the answers of one test are kept in one place."""

    def opened(fake, *, clock=None, timeout_seconds=5, layer=41, **settings):
        stand.fake = fake
        clock = clock or Clock()
        chosen = NeuronpediaEngine(
            **{"model": "gemma-3-27b-it", "nla_source": "kitft-l41", "base_url": f"{stand.address}/api"} | settings
        )
        client = Neuronpedia(
            chosen.base_url,
            Answers(f"sqlite:///{tmp_path / 'answers.sqlite'}"),
            key="np-secret",
            timeout_seconds=timeout_seconds,
            wait=clock.wait,
        )
        return NeuronpediaVerbalizer(chosen, client, layer=layer, clock=clock, wait=clock.wait)

    return opened


@pytest.fixture
def explained(neuronpedia_engine):
    return lambda fake, *peaks, **settings: neuronpedia_engine(fake, **settings).explain(peaks)
