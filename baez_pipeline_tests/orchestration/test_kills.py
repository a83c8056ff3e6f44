"""kill -9 of what works on a backfill: the UI's worker, then everything. Nobody helps, and all is made and shown."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import dagster as dg
import httpx
import pytest
from dagster._core.storage.dagster_run import RunsFilter

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import load_experiment
from baez_pipeline.orchestration.choose import choose_config
from baez_pipeline.orchestration.dead_runs import WORKER_TAG
from baez_pipeline.steps import State, build_chain
from baez_pipeline_tests.local_services import KEY, local_services
from baez_pipeline_tests.orchestration.few_steps import kept, per_feature, shown
from baez_pipeline_tests.orchestration.test_article import KILLED, distinct_labels

pytestmark = pytest.mark.slow

PATIENCE = 240
"""Seconds; the daemon looks for dead runs each 20, for runs to try again and for backfills each 30."""

LAUNCH_RUN = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } } } }"""

LAUNCH_BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""


class Ui:
    """`baez ui` with everything that it starts."""

    def __init__(self, environment, folder):
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.environment = environment
        self.folder = folder
        self.log = Path(folder) / "ui.log"

    def start(self):
        command = [sys.executable, "-c", "from baez_pipeline.cli import main; main()", "ui", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        until(self.answers, "the webserver answers")

    def answers(self):
        try:
            return self.ask("{ version }")
        except httpx.HTTPError:
            return None

    def ask(self, query, **variables):
        address = f"http://127.0.0.1:{self.port}/graphql"
        reply = httpx.post(address, json={"query": query, "variables": variables}, timeout=60).raise_for_status()
        return reply.json()["data"]

    def kill_all(self):
        """Webserver, daemon, code servers and run workers: every process of this instance's folder."""
        marker = f"DAGSTER_HOME={self.environment['DAGSTER_HOME']}".encode()
        for place in Path("/proc").iterdir():
            if place.name.isdigit() and int(place.name) != os.getpid():
                try:
                    if marker in (place / "environ").read_bytes().split(b"\0"):
                        os.kill(int(place.name), signal.SIGKILL)
                except OSError:
                    continue
        self.process.wait()


def until(condition, what, patience=PATIENCE):
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.5)
    raise AssertionError(f"not within {patience} s: {what}")


@pytest.fixture
def slow_endpoint(tmp_path, monkeypatch):
    """An experiment whose questions take a fifth of a second each, and the UI on it."""
    with local_services() as services:
        services.endpoint.answer = distinct_labels(services.endpoint.answer)
        services.endpoint.delay_seconds = 0.2
        file = tmp_path / "killed.toml"
        file.write_text(KILLED.format(neuronpedia=services.neuronpedia_url, endpoint=services.endpoint_url))
        environment = os.environ | {
            "TEST_KEY": KEY,
            "BAEZ_EXPERIMENT": str(file),
            "BAEZ_DATA": str(tmp_path / "data"),
            "DAGSTER_HOME": str(tmp_path / "dagster"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        monkeypatch.setenv("TEST_KEY", KEY)
        equipment = Equipment(load_experiment(str(file)), environment["BAEZ_DATA"])
        ui = Ui(environment, tmp_path)
        ui.start()
        try:
            with dg.DagsterInstance.from_config(environment["DAGSTER_HOME"]) as instance:
                yield ui, services.endpoint, equipment, instance
        finally:
            ui.kill_all()


def location(ui):
    query = """{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"""
    (node,) = ui.ask(query)["repositoriesOrError"]["nodes"]
    return {"repositoryName": node["name"], "repositoryLocationName": node["location"]["name"]}


def launch(ui, job, config):
    params = {"selector": {**location(ui), "jobName": job}, "runConfigData": config}
    reply = ui.ask(LAUNCH_RUN, params=params)["launchRun"]
    assert reply["__typename"] == "LaunchRunSuccess", reply
    return reply["run"]["runId"]


def worker_of(instance, run_id):
    """The process that works on a run, once it says so."""
    tag = instance.get_run_by_id(run_id).tags.get(WORKER_TAG)
    return int(tag.split(":")[1]) if tag else None


def under_way(instance, job):
    return [run for run in instance.get_runs(filters=RunsFilter(job_name=job)) if not run.is_finished]


def assert_all_is_made_and_shown(instance, equipment, endpoint, *, asked_twice_at_most):
    chain = build_chain(equipment.experiment)
    for step in per_feature(equipment):
        states = {
            found.state for each, standings in chain.standings(equipment) if each.name == step for found in standings
        }
        assert states == {State.FRESH}, step
        assert shown(instance, equipment, step) == dict.fromkeys(kept(equipment), "MATERIALIZED"), step
    questions = [json.dumps(body, sort_keys=True) for body in endpoint.bodies]
    assert len(questions) - len(set(questions)) <= asked_twice_at_most


def test_kill_9_of_the_worker_and_then_of_everything_while_chosen_features_are_made(slow_endpoint):
    ui, endpoint, equipment, instance = slow_endpoint
    job = f"{equipment.experiment.name}_choose"
    run_id = launch(ui, job, choose_config(equipment.experiment, "all"))
    until(lambda: len(endpoint.answered) >= 40, "the run asks")
    os.kill(worker_of(instance, run_id), signal.SIGKILL)
    until(lambda: instance.get_run_by_id(run_id).is_finished, "the daemon notices the dead worker")
    # Dagster tries a crashed run again; its successor dies with the daemon and the webserver.
    until(lambda: len(endpoint.answered) >= 80, "the run is tried again")
    ui.kill_all()
    assert under_way(instance, job)
    ui.start()
    until(lambda: not under_way(instance, job) and latest(instance, job).is_success, "a third try ends well")
    until(lambda: not instance.get_runs(filters=RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])), "no run is left")
    # Two kills, each with as many questions under way as the endpoint takes.
    assert_all_is_made_and_shown(instance, equipment, endpoint, asked_twice_at_most=16)


def latest(instance, job):
    return instance.get_runs(filters=RunsFilter(job_name=job), limit=1)[0]


def test_kill_9_of_the_worker_of_a_backfill_from_an_assets_page(slow_endpoint):
    ui, endpoint, equipment, instance = slow_endpoint
    name = equipment.experiment.name
    sample = launch(ui, f"{name}_sample", {})
    until(lambda: instance.get_run_by_id(sample).is_finished, "the features are drawn")
    assets = [{"path": [name, step]} for step in per_feature(equipment)]
    params = {"assetSelection": assets, "partitionNames": kept(equipment)}
    reply = ui.ask(LAUNCH_BACKFILL, params=params)["launchPartitionBackfill"]
    assert reply["__typename"] == "LaunchBackfillSuccess", reply
    until(lambda: len(endpoint.answered) >= 40, "the backfill's run asks")
    (run,) = [run for run in instance.get_runs() if not run.is_finished]
    os.kill(worker_of(instance, run.run_id), signal.SIGKILL)
    backfill = until(lambda: over(instance, reply["backfillId"]), "the backfill is over")
    assert backfill.status.value == "COMPLETED_SUCCESS"
    assert_all_is_made_and_shown(instance, equipment, endpoint, asked_twice_at_most=8)


def over(instance, backfill_id):
    backfill = instance.get_backfill(backfill_id)
    return backfill if backfill.backfill_end_timestamp else None
