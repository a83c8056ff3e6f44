"""Which features lack nothing but a control that can be made by now, and what the sensor asks for and reports."""

import logging

import dagster as dg
import pytest
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent
from dagster._core.storage.tags import RUN_KEY_TAG, SENSOR_NAME_TAG
from dagster._core.utils import make_new_run_id

from baez_pipeline.experiment import load_experiment
from baez_pipeline.orchestration.build import definitions_of
from baez_pipeline.orchestration.left import left_by_partners
from baez_pipeline.steps import build_chain
from baez_pipeline.store import Address
from baez_pipeline.tables import Labels
from baez_pipeline_tests.orchestration.few_steps import shown
from baez_pipeline_tests.steps.made_up_store import PLANTED, REAL, equipment_of, fill

FIRST, SECOND = REAL


def is_control(address):
    """Whether a table follows from the partner's label: a right label is the roster's."""
    return "shuffled" in (address.part or "") and not address.part.startswith("right")


@pytest.fixture
def left(tmp_path):
    """The features that are left when a store holds all tables but some; each real one's partner is the other."""

    def found(without, *, then=lambda equipment: None):
        equipment = equipment_of(load_experiment("smollm2"), str(tmp_path))
        fill(equipment, without=without)
        then(equipment)
        return list(left_by_partners(build_chain(equipment.experiment), equipment, {*REAL, *PLANTED}))

    return found


def test_whoever_lacks_a_control_alone_is_left(left):
    assert left(lambda address: is_control(address) and address.feature in (FIRST, PLANTED[0])) == [FIRST, PLANTED[0]]


def test_whoever_lacks_nothing_is_not(left):
    assert left(lambda address: address.table == "of none") == []


def test_whoever_lacks_something_else_besides_is_not(left):
    assert (
        left(lambda address: address.feature == FIRST and (is_control(address) or "embedding" in address.table)) == []
    )


def test_whoever_goes_on_waiting_is_not(left):
    assert left(lambda address: address.feature == SECOND or (is_control(address) and address.feature == FIRST)) == []


@pytest.mark.parametrize("feature", REAL)
def test_whoever_has_something_stale_or_whose_partner_has_is_not(left, feature):
    def change(equipment):
        label = Address(table="labels_baez", feature=feature)
        equipment.store.write(label, Labels.create_empty(), schema=Labels, fingerprint="of another prompt")

    assert left(lambda address: is_control(address) and address.feature == FIRST, then=change) == []


@pytest.fixture
def looks(tmp_path):
    """What the sensor finds in a store without some tables, look after look: after each, its runs come to an end."""
    equipment = equipment_of(load_experiment("smollm2"), str(tmp_path))
    sensor = definitions_of(equipment).resolve_sensor_def("smollm2_converge")
    with dg.DagsterInstance.ephemeral() as instance:

        def look(cursor=None):
            found = sensor.evaluate_tick(dg.build_sensor_context(instance=instance, cursor=cursor))
            for event in found.asset_events:
                instance.report_runless_asset_event(event)
            for request in found.run_requests or []:
                # As Dagster's daemon tags them.
                tags = request.tags | {RUN_KEY_TAG: request.run_key, SENSOR_NAME_TAG: sensor.name}
                failed_run(instance, job_name=request.job_name, run_config=request.run_config, tags=tags)
            return found

        yield equipment, instance, look


def failed_run(instance, *, planned=(), **of_run):
    """A run that made nothing."""
    run = instance.add_run(dg.DagsterRun(run_id=make_new_run_id(), **of_run))
    for asset, feature in planned:
        told = AssetMaterializationPlannedData(dg.AssetKey(["smollm2", asset]), partition=feature)
        event = DagsterEvent.build_asset_materialization_planned_event(run.job_name, "step", told)
        instance.report_dagster_event(event, run.run_id, logging.DEBUG)
    instance.report_run_failed(run)


def asked_for(found):
    return [request.run_config["ops"]["smollm2__choose"]["config"]["features"] for request in found.run_requests]


def test_what_no_run_can_make_is_asked_for_once_and_what_comes_behind_it_too(looks, monkeypatch):
    monkeypatch.setattr("baez_pipeline.orchestration.sensors.FEATURES_PER_RUN", 1)
    monkeypatch.setattr("baez_pipeline.orchestration.sensors.REQUESTS_PER_LOOK", 2)
    equipment, _, look = looks
    fill(equipment, without=is_control)
    first = look()
    assert asked_for(first) == [FIRST, SECOND]
    second = look(first.cursor)
    assert asked_for(second) == list(PLANTED)
    third = look(second.cursor)
    assert asked_for(third) == []
    assert look(third.cursor).skip_message == "No run has ended since the last look."
    # One of the first one's controls is made by somebody.
    made = iter(range(100))
    fill(equipment, without=lambda address: is_control(address) and (address.feature != FIRST or next(made) > 0))
    assert asked_for(look()) == [FIRST]


def test_what_failed_and_is_fresh_is_reported_and_what_is_stale_stays_red(looks):
    equipment, instance, look = looks
    fill(equipment)
    made = look()
    assert set(shown(instance, equipment, "labels_baez").values()) == {"MATERIALIZED"}
    failed_run(instance, job_name="smollm2_features", planned=[("labels_baez", each) for each in REAL])
    label = Address(table="labels_baez", feature=SECOND)
    equipment.store.write(label, Labels.create_empty(), schema=Labels, fingerprint="of another prompt")
    assert {shown(instance, equipment, "labels_baez")[each] for each in REAL} == {"FAILED"}
    found = look(made.cursor)
    assert [(event.asset_key.path[-1], event.partition) for event in found.asset_events] == [("labels_baez", FIRST)]
    now = shown(instance, equipment, "labels_baez")
    assert [now[each] for each in REAL] == ["MATERIALIZED", "FAILED"]
