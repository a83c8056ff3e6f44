"""One GPU, one model at a time: which ops take turns, and the instance's limit."""

import dagster as dg
import pytest
import yaml

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Experiment
from baez_pipeline.orchestration.build import definitions_of
from baez_pipeline.orchestration.runs import OUR_SETTINGS


def pools(tmp_path, nla):
    experiment = Experiment.model_validate({"name": "gpu", "nla": nla})
    assets = definitions_of(Equipment(experiment, str(tmp_path))).assets
    return {key.path[-1]: asset.op.pool for asset in assets for key in asset.keys if asset.op.pool}


@pytest.mark.parametrize(
    "nla",
    [
        {"engine": {"kind": "transformers", "verbalizer": "av"}},
        {"engine": {"kind": "vllm", "verbalizer": "av"}},
        {
            "engine": {"kind": "nla_server", "name": "own", "by": "vector"},
            "subject": {"kind": "folder", "path": "gemma", "model": "gemma-3-27b-it"},
        },
    ],
)
def test_the_explanations_alone_take_turns_on_the_gpu(tmp_path, nla):
    assert pools(tmp_path, nla) == {"nla_explanations": "gpu"}


@pytest.mark.parametrize("kind", ["neighbours", "small_nla"])
def test_what_runs_on_two_cores_waits_for_no_gpu(tmp_path, kind):
    assert pools(tmp_path, {"engine": {"kind": kind}}) == {}


def test_a_fresh_instance_lets_one_op_into_the_pool():
    settings = yaml.safe_load(OUR_SETTINGS.read_text(encoding="utf-8"))
    with dg.instance_for_test(overrides={"concurrency": settings["concurrency"]}) as instance:
        limits = instance.get_concurrency_config().pool_config
        assert (limits.default_pool_limit, limits.pool_granularity.value) == (1, "op")
