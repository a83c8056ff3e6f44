"""Runs that cannot be: each ends with the sentence that says why."""

import dagster as dg
import pytest

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import LocalSaeSource, Nla, Sample
from baez_pipeline.orchestration.runs import RunFailed, run_chain
from baez_pipeline_tests.orchestration.test_whole_chain import small_experiment
from baez_pipeline_tests.tiny_sae import write_tiny_sae


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def test_a_layer_that_is_not_the_sources_is_a_sentence(instance, tmp_path):
    experiment = small_experiment().model_copy(update={"name": "layer", "nla": Nla(layer=5)})
    with pytest.raises(RunFailed, match=r"nla\.layer is 5, but the features of source 20-topk-res-2k are of layer 20"):
        run_chain(Equipment(experiment, str(tmp_path)), instance=instance)


def test_a_source_with_too_few_features_fails_the_run_with_its_sentence(instance, tmp_path):
    changes = {
        "name": "greedy",
        "source": LocalSaeSource(path=write_tiny_sae(tmp_path / "sae", rare={1, 2})),
        "sample": Sample(features=39),
    }
    greedy = small_experiment().model_copy(update=changes)
    with pytest.raises(RunFailed, match="has only 38 features with at least 15 distinct activating examples"):
        run_chain(Equipment(greedy, str(tmp_path / "data")), instance=instance)
    assert not (tmp_path / "data").exists()
