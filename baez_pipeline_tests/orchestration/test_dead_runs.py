"""Runs whose process is gone: settled at the next start, and noticed by the daemon's own monitoring."""

import logging
import os
import subprocess

import dagster as dg
import pytest
import yaml
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._core.utils import make_new_run_id
from dagster._daemon.monitoring.run_monitoring import monitor_started_run

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import load_experiment
from baez_pipeline.orchestration.dead_runs import WORKER_TAG, WatchedRunLauncher, settle, worker_tag
from baez_pipeline.orchestration.graphs import build_graph_asset, graph_partitions
from baez_pipeline.orchestration.runs import OUR_SETTINGS

LOG = logging.getLogger("test")


@pytest.fixture(scope="module")
def instance():
    """With the launcher and the monitoring of dagster.yaml."""
    settings = yaml.safe_load(OUR_SETTINGS.read_text(encoding="utf-8"))
    chosen = {name: settings[name] for name in ("run_launcher", "run_monitoring", "run_retries")}
    with dg.instance_for_test(overrides=chosen) as instance:
        yield instance


def started(instance, change=lambda tag: tag):
    run_id = make_new_run_id()
    tags = {WORKER_TAG: change(worker_tag(run_id)[WORKER_TAG])}
    instance.add_run(dg.DagsterRun(job_name="e_features", run_id=run_id, status=DagsterRunStatus.STARTED, tags=tags))
    return run_id


def of_a_dead_process(tag):
    with subprocess.Popen(["true"]) as gone:
        pass
    return tag.replace(f":{os.getpid()}:", f":{gone.pid}:")


def status(instance, run_id):
    return instance.get_run_by_id(run_id).status


def test_a_dead_run_is_failed_at_the_next_start_and_a_living_one_is_not(instance):
    dead, alive = started(instance, of_a_dead_process), started(instance)
    elsewhere = started(instance, lambda tag: of_a_dead_process(tag).replace("@", "@another-"))
    of_a_run_before = started(instance, lambda tag: f"another{of_a_dead_process(tag)}")
    same_process_id = started(instance, lambda tag: f"{tag}1")
    assert set(settle(instance)) == {dead, same_process_id}
    assert [status(instance, run) for run in (dead, alive)] == [DagsterRunStatus.FAILURE, DagsterRunStatus.STARTED]
    assert status(instance, elsewhere) is status(instance, of_a_run_before) is DagsterRunStatus.STARTED
    assert settle(instance) == []


def test_the_daemon_of_a_fresh_instance_notices_it_by_itself(instance):
    assert isinstance(instance.run_launcher, WatchedRunLauncher)
    assert instance.run_monitoring_enabled
    dead, alive = started(instance, of_a_dead_process), started(instance)
    for run_id in (dead, alive):
        record = instance.get_run_record_by_id(run_id)
        monitor_started_run(instance, None, record, LOG)
    assert status(instance, dead) is DagsterRunStatus.FAILURE
    assert status(instance, alive) is DagsterRunStatus.STARTED


def test_a_crash_is_tried_again_and_a_failed_step_is_not(instance):
    assert instance.run_retries_enabled
    assert instance.run_retries_max_retries == 2
    assert not instance.run_retries_retry_on_asset_or_op_failure


def test_a_run_whose_code_server_is_gone_is_failed_though_no_op_of_it_began(instance, tmp_path):
    run_id = make_new_run_id()
    tags = {".dagster/grpc_info": f'{{"host": "localhost", "socket": "{tmp_path}/gone"}}'}
    instance.add_run(dg.DagsterRun(job_name="e_features", run_id=run_id, status=DagsterRunStatus.STARTED, tags=tags))
    assert settle(instance) == [run_id]


def test_a_run_that_labels_a_graph_says_which_process_works_on_it(instance, tmp_path):
    equipment = Equipment(load_experiment("smollm2"), str(tmp_path))
    instance.add_dynamic_partitions(graph_partitions("smollm2").name, ["no-graph"])
    result = dg.materialize(
        [build_graph_asset(equipment)], instance=instance, partition_key="no-graph", raise_on_error=False
    )
    assert not result.success
    run = instance.get_run_by_id(result.run_id)
    assert run.tags[WORKER_TAG] == worker_tag(run.run_id)[WORKER_TAG]
