import pytest

from baez_pipeline.answers import Answers
from baez_pipeline_tests.neuronpedia_server import FakeNeuronpedia


@pytest.fixture
def answers(tmp_path):
    return Answers(f"sqlite:///{tmp_path / 'answers.sqlite'}")


@pytest.fixture
def neuronpedia():
    return FakeNeuronpedia()
