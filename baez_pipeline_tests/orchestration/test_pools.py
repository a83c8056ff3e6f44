"""Which ops take turns: those that need the GPU, and those that ask one endpoint; and the instance's limit."""

import dagster as dg
import pytest
import yaml

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Experiment, load_experiment
from baez_pipeline.orchestration.build import definitions_of
from baez_pipeline.orchestration.runs import OUR_SETTINGS
from baez_pipeline_tests.local_services import with_changes


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


def test_who_asks_one_endpoint_takes_turns_whichever_step_it_is(tmp_path):
    experiment = load_experiment("article")
    of_steps = {
        key.path[-1]: asset.op.pool
        for asset in definitions_of(Equipment(experiment, str(tmp_path))).assets
        for key in asset.keys
    }
    assert of_steps["labels_baez"] == of_steps["scores_detection"] == "llm_openrouter_ai"
    assert of_steps["nla_explanations"] == "llm_www_neuronpedia_org"
    assert of_steps["feature_records"] is None


def test_an_address_with_a_password_shows_its_host_alone(tmp_path):
    writer = with_changes(load_experiment("article").labeling.writer, base_url="https://me:secret@host.example:8000/v1")
    labeling = with_changes(load_experiment("article").labeling, writer=writer)
    experiment = with_changes(load_experiment("article"), labeling=labeling)
    asset = next(
        asset
        for asset in definitions_of(Equipment(experiment, str(tmp_path))).assets
        if dg.AssetKey(["article", "labels_baez"]) in asset.keys
    )
    assert asset.op.pool == "llm_host_example_8000"
