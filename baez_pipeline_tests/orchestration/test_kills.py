"""kill -9 of what works on a backfill: a worker, the daemon, the webserver, everything, and a `baez run`.

Nobody helps but by starting the command again, and all is made and shown.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.dagster_run import RunsFilter

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import load_experiment
from baez_pipeline.orchestration.choose import choose_config
from baez_pipeline.orchestration.dead_runs import WORKER_TAG
from baez_pipeline.steps import State, build_chain
from baez_pipeline_tests.dagster_ui import DagsterUi, until
from baez_pipeline_tests.local_services import KEY, local_services
from baez_pipeline_tests.orchestration.few_steps import kept, per_feature, shown, stored
from baez_pipeline_tests.orchestration.test_article import KILLED, distinct_labels

pytestmark = pytest.mark.slow

BAEZ = [sys.executable, "-c", "from baez_pipeline.cli import main; main()"]


@pytest.fixture
def slow_endpoint(tmp_path, monkeypatch):
    """An experiment whose questions take a fifth of a second each, and the environment of its commands."""
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
        yield services.endpoint, Equipment(load_experiment(str(file)), environment["BAEZ_DATA"]), environment


@pytest.fixture
def in_ui(slow_endpoint, tmp_path):
    """The UI on it."""
    endpoint, equipment, environment = slow_endpoint
    ui = DagsterUi([*BAEZ, "ui", "--port"], environment, tmp_path)
    ui.start()
    try:
        with dg.DagsterInstance.from_config(environment["DAGSTER_HOME"]) as instance:
            yield ui, endpoint, equipment, instance
    finally:
        ui.kill()


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


def test_kill_9_of_the_worker_and_then_of_everything_while_chosen_features_are_made(in_ui):
    ui, endpoint, equipment, instance = in_ui
    job = f"{equipment.experiment.name}_choose"
    run_id = ui.launch(job, choose_config(equipment.experiment, "all"))
    until(lambda: len(endpoint.answered) >= 40, "the run asks")
    os.kill(worker_of(instance, run_id), signal.SIGKILL)
    until(lambda: instance.get_run_by_id(run_id).is_finished, "the daemon notices the dead worker")
    # Dagster tries a crashed run again; its successor dies with the daemon and the webserver.
    until(lambda: len(endpoint.answered) >= 80, "the run is tried again")
    ui.kill()
    assert under_way(instance, job)
    ui.start()
    until(lambda: not under_way(instance, job) and latest(instance, job).is_success, "a third try ends well")
    until(lambda: not instance.get_runs(filters=RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])), "no run is left")
    # Two kills, each with as many questions under way as the endpoint takes.
    assert_all_is_made_and_shown(instance, equipment, endpoint, asked_twice_at_most=16)


def latest(instance, job):
    return instance.get_runs(filters=RunsFilter(job_name=job), limit=1)[0]


def test_kill_9_of_the_worker_of_a_backfill_from_an_assets_page(in_ui):
    ui, endpoint, equipment, instance = in_ui
    draw_features(ui, equipment, instance)
    backfill_id = launch_backfill(ui, equipment, kept(equipment))
    until(lambda: len(endpoint.answered) >= 40, "the backfill's run asks")
    (run,) = [run for run in instance.get_runs() if not run.is_finished]
    os.kill(worker_of(instance, run.run_id), signal.SIGKILL)
    backfill = until(lambda: over(instance, backfill_id), "the backfill is over")
    assert backfill.status.value == "COMPLETED_SUCCESS"
    assert_all_is_made_and_shown(instance, equipment, endpoint, asked_twice_at_most=8)


def over(instance, backfill_id):
    backfill = instance.get_backfill(backfill_id)
    return backfill if backfill.backfill_end_timestamp else None


def draw_features(ui, equipment, instance):
    sample = ui.launch(f"{equipment.experiment.name}_sample", {})
    until(lambda: instance.get_run_by_id(sample).is_finished, "the features are drawn")


def launch_backfill(ui, equipment, features):
    return ui.backfill([[equipment.experiment.name, step] for step in per_feature(equipment)], features)


@pytest.mark.parametrize("killed", ["-m dagster._daemon", "-m dagster_webserver"])
def test_kill_9_of_one_process_of_the_ui_in_the_middle_of_backfills_of_several_runs(in_ui, killed):
    ui, endpoint, equipment, instance = in_ui
    draw_features(ui, equipment, instance)
    # Of features that lie apart Dagster's dialog makes a run each.
    features = kept(equipment)
    backfills = [launch_backfill(ui, equipment, features[first::2]) for first in (0, 1)]
    until(lambda: len(endpoint.answered) >= 40, "a run asks")
    assert len(ui.kill(killed)) == 1
    until(lambda: ui.process.poll() is not None, "the command ends when one of its processes does")
    ui.start()
    until(lambda: all(over(instance, each) for each in backfills), "the backfills are over")
    assert {over(instance, each).status.value for each in backfills} == {"COMPLETED_SUCCESS"}
    assert len([run for run in instance.get_runs() if run.tags.get("dagster/backfill") in backfills]) >= len(features)
    # Controls whose partner was in a later run come by the sensor, which looks once a minute.
    until(lambda: scores_are_all_there(equipment), "the controls are made")
    until(lambda: not [run for run in instance.get_runs() if not run.is_finished], "no run is left")
    assert_all_is_made_and_shown(instance, equipment, endpoint, asked_twice_at_most=8)


def scores_are_all_there(equipment):
    equipment.store.refresh()
    return all(stored(equipment, step) == set(kept(equipment)) for step in per_feature(equipment))


def test_kill_9_of_the_command_and_a_second_one(slow_endpoint):
    endpoint, equipment, environment = slow_endpoint
    command = [*BAEZ, "run"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        until(lambda: len(endpoint.answered) >= 100, "it asks")
        first.kill()
    # What was in flight is answered to nobody.
    time.sleep(0.5)
    assert subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False).returncode == 0
    with dg.DagsterInstance.from_config(environment["DAGSTER_HOME"]) as instance:
        assert_all_is_made_and_shown(instance, equipment, endpoint, asked_twice_at_most=8)
        statuses = Counter(run.status.value for run in instance.get_runs())
    assert statuses["FAILURE"] == 1
    assert set(statuses) == {"FAILURE", "SUCCESS"}
