"""Rounds of scoring the current labels again: what is asked, what is kept apart, and the drift that they show."""

import datetime
import multiprocessing
import os
import shutil
import signal
import time
from collections import Counter

import dagster as dg
import polars as pl
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import (
    Experiment,
    Rescore,
)
from baez_pipeline.orchestration.build import definitions_of
from baez_pipeline.orchestration.partitions import register
from baez_pipeline.orchestration.selection import run_config, run_tags
from baez_pipeline.steps import build_chain, run_step
from baez_pipeline.steps.history import read_history
from baez_pipeline_tests.local_services import with_changes
from baez_pipeline_tests.openai_faults import turned_away
from baez_pipeline_tests.openai_server import FakeOpenAI
from baez_pipeline_tests.orchestration.rounds import (
    FIRST_MONDAY,
    METHODS,
    distracted,
    entries,
    experiment_at,
    features_of,
    scores_again,
    tick,
    write_label,
)
from baez_pipeline_tests.served import served
from baez_pipeline_tests.tiny_sae import WORDS, write_tiny_sae

KEY = "sk-tiny-secret"


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Three real and three planted features with made-up labels, scored by a model over HTTP."""
    folder = tmp_path_factory.mktemp("scored")
    write_tiny_sae(folder / "sae")
    with pytest.MonkeyPatch.context() as environment, served(FakeOpenAI(key=KEY).app) as address:
        environment.setenv("TINY_KEY", KEY)
        experiment = experiment_at(folder / "sae", address)
        chain, equipment = build_chain(experiment), Equipment(experiment, str(folder / "data"))
        for name in ("feature_sample", "feature_records", "example_splits"):
            step = chain[name]
            run_step(chain, step, equipment, chain.kept_features(equipment) if step.per_feature else ())
        for method in METHODS:
            for place, feature in enumerate(chain.kept_features(equipment)):
                write_label(equipment, method, feature, f"{WORDS[place % len(WORDS)]} {method}")
        run_step(chain, chain["scores_detection"], equipment, chain.kept_features(equipment))
    return folder


@pytest.fixture
def rescoring(scored, tmp_path, monkeypatch):
    """The same on an instance and an endpoint of its own."""
    monkeypatch.setenv("TINY_KEY", KEY)
    shutil.copytree(scored / "data", tmp_path / "data")
    endpoint = FakeOpenAI(key=KEY)
    with served(endpoint.app) as address, dg.DagsterInstance.ephemeral() as instance:
        equipment = Equipment(experiment_at(scored / "sae", address), str(tmp_path / "data"))
        register(instance, "tiny", features_of(equipment))
        yield endpoint, equipment, instance


def test_the_schedule_is_off_and_asks_for_ranges_of_one_round(rescoring):
    _, equipment, instance = rescoring
    schedule = definitions_of(equipment).resolve_schedule_def("tiny_rescore_weekly")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 3 * * 1", "UTC")
    (request,) = tick(equipment, instance).run_requests
    features = features_of(equipment)
    assert request.tags[ASSET_PARTITION_RANGE_START_TAG] == features[0]
    assert request.tags[ASSET_PARTITION_RANGE_END_TAG] == features[-1]
    assert request.tags["baez/round"] == "2026-W48"
    (again,) = tick(equipment, instance, FIRST_MONDAY + datetime.timedelta(days=2)).run_requests
    assert again.run_key == request.run_key
    (next_week,) = tick(equipment, instance, FIRST_MONDAY + datetime.timedelta(days=7)).run_requests
    assert next_week.run_key != request.run_key


def test_a_judge_that_changes_between_rounds_is_seen_in_the_history_and_scores_stay_as_they_are(rescoring):
    endpoint, equipment, instance = rescoring
    before = entries(equipment)
    (result,) = scores_again(equipment, instance)
    assert result.success
    asked = endpoint.requests
    assert asked > 0
    endpoint.answer = distracted
    scores_again(equipment, instance, FIRST_MONDAY + datetime.timedelta(days=7))
    assert endpoint.requests == 2 * asked
    assert entries(equipment) == before
    history = read_history(equipment)
    assert history.group_by("number", maintain_order=True).first().select("number", "round").rows() == [
        (0, "scores"),
        (1, "2026-W48"),
        (2, "2026-W49"),
    ]
    assert set(history["method"]) == {*METHODS, "right"}
    steady, moved = (history.filter(pl.col("number") == number) for number in (1, 2))
    assert steady["mean_change"].to_list() == [0.0] * 3
    # A judge that always says yes has the balanced accuracy of chance.
    assert moved["mean"].to_list() == [0.5] * 3
    assert moved["n_compared"].to_list() == moved["n_features"].to_list()
    assert moved["mean_change"].to_list() == pytest.approx((moved["mean"] - steady["mean"]).to_list())
    right = moved.filter(method="right").row(0, named=True)
    assert right["change_high"] < 0
    picture = equipment.store.read_page("score_drift.png")
    assert picture.startswith(b"\x89PNG")
    ledger = equipment.answers.ledger("tiny")
    assert ledger.filter(asset="rescores_detection").height == 2 * asked
    assert instance.get_materialized_partitions(dg.AssetKey(["tiny", "rescores_detection"])) == set(
        features_of(equipment)
    )


def test_a_round_that_stopped_goes_on_and_asks_nothing_twice(rescoring):
    endpoint, equipment, instance = rescoring
    endpoint.faults = lambda number, body: turned_away(402, "Insufficient credits.") if number > 3 else None
    (stopped,) = scores_again(equipment, instance)
    assert not stopped.success
    answered = len(endpoint.answered)
    endpoint.faults = lambda *_: None
    again = Equipment(equipment.experiment, equipment.data)
    scores_again(again, instance)
    ledger = again.answers.ledger("tiny").filter(asset="rescores_detection", outcome="ok")
    assert ledger.height == len(endpoint.answered) > answered
    asked = endpoint.requests
    scores_again(again, instance, FIRST_MONDAY + datetime.timedelta(days=1))
    assert endpoint.requests == asked
    assert read_history(again)["number"].unique().to_list() == [0, 1]


@pytest.mark.slow
def test_a_round_whose_process_is_killed_goes_on_and_only_what_was_in_flight_is_asked_again(rescoring):
    endpoint, equipment, instance = rescoring
    (request,) = tick(equipment, instance).run_requests
    features = request.run_config["resources"]["selection"]["config"]["features"]
    endpoint.delay_seconds = 0.1
    told = (equipment.experiment.model_dump_json(), equipment.data, features)
    process = multiprocessing.get_context("spawn").Process(target=rescore_elsewhere, args=told)
    process.start()
    while len(endpoint.answered) < 8:
        assert process.is_alive()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    endpoint.delay_seconds = 0.0
    (result,) = scores_again(equipment, instance)
    assert result.success
    asked = Counter(str(body) for body in endpoint.bodies)
    in_flight = equipment.experiment.scoring.judge.concurrency
    assert sum(count - 1 for count in asked.values()) <= in_flight
    assert len(asked) > 8 + in_flight
    assert read_history(equipment)["number"].unique().to_list() == [0, 1]


def rescore_elsewhere(experiment, data, features):
    equipment = Equipment(Experiment.model_validate_json(experiment), data)
    with dg.DagsterInstance.ephemeral() as instance:
        register(instance, "tiny", features)
        job = definitions_of(equipment).resolve_job_def("tiny_rescore")
        tags = run_tags(features) | {"baez/round": "2026-W48"}
        job.execute_in_process(instance=instance, tags=tags, run_config=run_config(features))


@pytest.mark.slow
def test_changes_are_of_features_whose_label_is_the_same_and_of_rounds_under_the_same_settings(rescoring):
    _, equipment, instance = rescoring
    weeks = [FIRST_MONDAY + datetime.timedelta(days=7 * week) for week in range(3)]
    scores_again(equipment, instance, weeks[0])
    write_label(equipment, "baez", features_of(equipment)[0], "quite another thing")
    scores_again(equipment, instance, weeks[1])
    scoring = equipment.experiment.scoring
    other = with_changes(scoring, judge=with_changes(scoring.judge, temperature=0.5))
    scores_again(Equipment(with_changes(equipment.experiment, scoring=other), equipment.data), instance, weeks[2])
    history = read_history(equipment)
    compared = {(row["number"], row["method"]): row["n_compared"] for row in history.iter_rows(named=True)}
    assert [compared[2, method] for method in (*METHODS, "right")] == [2, 3, 3]
    assert [compared[3, method] for method in (*METHODS, "right")] == [0, 0, 0]
    assert history.filter(number=3)["mean_change"].null_count() == 3
    settings = history.unique("number").sort("number")["settings"].to_list()
    assert settings[1] == settings[2] != settings[3]
    of_baez = history.filter(method="baez").sort("number")["labels"].to_list()
    assert of_baez[1] != of_baez[2] == of_baez[3]


def test_a_round_that_the_budget_does_not_allow_is_skipped_with_the_sum(rescoring):
    endpoint, equipment, instance = rescoring
    spent = equipment.answers.spent("tiny").usd_at_most
    poor = with_changes(equipment.experiment, budget=with_changes(equipment.experiment.budget, max_usd=spent * 1.01))
    found = tick(Equipment(poor, equipment.data), instance)
    assert not found.run_requests
    assert "lower rescore.features" in found.skip_message
    assert endpoint.requests == 0


def test_a_round_can_be_about_some_of_the_features(rescoring):
    _, equipment, instance = rescoring
    few = with_changes(equipment.experiment, rescore=Rescore(features=2))
    chosen = Equipment(few, equipment.data)
    (result,) = scores_again(chosen, instance)
    assert result.success
    made = instance.get_materialized_partitions(dg.AssetKey(["tiny", "rescores_detection"]))
    real = {feature for feature in features_of(equipment) if not feature.startswith("planted")}
    assert len(made & real) == 2
    last = read_history(chosen).filter(pl.col("number") == 1, pl.col("method") == "baez").row(0, named=True)
    assert (last["n_features"], last["n_compared"]) == (2, 2)


def test_features_whose_label_changed_and_who_are_judged_with_it_are_scored_again_and_no_others(rescoring):
    _, equipment, instance = rescoring
    definitions = definitions_of(equipment)
    sensor = definitions.resolve_sensor_def("tiny_labels_changed")
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    assert not sensor.evaluate_tick(context_of(definitions, instance)).run_requests
    changed = features_of(equipment)[0]
    write_label(equipment, "baez", changed, "quite another thing")
    requests = sensor.evaluate_tick(context_of(definitions, instance)).run_requests
    chain = build_chain(equipment.experiment)
    partners = chain.roster(equipment).partners
    concerned = {feature for feature in partners if changed in (feature, *partners[feature])}
    (request,) = requests
    assert set(request.run_config["resources"]["selection"]["config"]["features"]) == concerned
    same = sensor.evaluate_tick(context_of(definitions, instance)).run_requests
    assert [request.run_key for request in same] == [request.run_key for request in requests]
    for request in requests:
        job = definitions.resolve_job_def("tiny_features")
        assert job.execute_in_process(
            instance=instance,
            tags=request.tags,
            run_config=request.run_config,
            asset_selection=request.asset_selection,
        ).success
    assert not sensor.evaluate_tick(context_of(definitions, instance)).run_requests


def test_a_changed_judge_is_no_changed_label(rescoring):
    _, equipment, instance = rescoring
    scoring = equipment.experiment.scoring
    other = with_changes(scoring, judge=with_changes(scoring.judge, temperature=0.5))
    definitions = definitions_of(Equipment(with_changes(equipment.experiment, scoring=other), equipment.data))
    sensor = definitions.resolve_sensor_def("tiny_labels_changed")
    assert not sensor.evaluate_tick(context_of(definitions, instance)).run_requests


def test_the_history_is_asked_for_once_when_a_round_has_come_to_rest(rescoring):
    _, equipment, instance = rescoring
    definitions = definitions_of(equipment)
    key = dg.AssetKey(["tiny", "score_history"])

    def requested(cursor=None):
        found = dg.evaluate_automation_conditions(
            definitions, instance=instance, cursor=cursor, asset_selection=dg.AssetSelection.assets(key)
        )
        return found.total_requested, found.cursor

    number, cursor = requested()
    assert number == 0
    (request,) = tick(equipment, instance).run_requests
    job = definitions.resolve_job_def("tiny_rescore")
    assert job.execute_in_process(instance=instance, tags=request.tags, run_config=request.run_config).success
    number, cursor = requested(cursor)
    assert number == 1
    number, _ = requested(cursor)
    assert number == 0


def context_of(definitions, instance):
    return dg.build_sensor_context(instance=instance, definitions=definitions)
