"""Assets of a family, made by one op: the chosen ones alone, at the same time, and what is left when one is stopped."""

import asyncio
import os
import shutil
import signal
import threading
import time

import dagster as dg
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from starlette.responses import JSONResponse

from baez_pipeline.equipment import Equipment
from baez_pipeline.orchestration.build import definitions_of
from baez_pipeline.orchestration.partitions import register
from baez_pipeline.orchestration.runs import Stopped, run_chain
from baez_pipeline.orchestration.selection import REDO_FAILED
from baez_pipeline.steps import build_chain, run_step
from baez_pipeline.steps.checks import FAILURE_RATE
from baez_pipeline_tests.local_services import KEY, Services, local_services, with_changes
from baez_pipeline_tests.openai_faults import Fault, hangs, turned_away

METHODS = ("labels_baez", "labels_baez_last", "labels_eleuther_acts_top5")
AT_ONCE = 6


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Three features with explanations, and the services that they came from."""
    data = tmp_path_factory.mktemp("prepared")
    with local_services() as services:
        experiment = services.experiment()
        chain, equipment = build_chain(experiment), Equipment(experiment, str(data))
        for name in ("feature_sample", "feature_records", "example_splits", "nla_explanations"):
            step = chain[name]
            run_step(chain, step, equipment, chain.kept_features(equipment)[:3] if step.per_feature else ())
        yield services, data / experiment.name


@pytest.fixture
def asking(prepared, tmp_path, monkeypatch):
    """The same on an instance and an endpoint of its own, of which six questions may be asked at once."""
    services, tables = prepared
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    own = Services(neuronpedia=services.neuronpedia, nla=services.nla)
    with local_services(own), dg.DagsterInstance.ephemeral() as instance:
        experiment = own.experiment()
        writer = with_changes(experiment.labeling.writer, concurrency=AT_ONCE)
        experiment = experiment.model_copy(update={"labeling": with_changes(experiment.labeling, writer=writer)})
        shutil.copytree(tables, tmp_path / "data" / experiment.name)
        equipment = Equipment(experiment, str(tmp_path / "data"))
        register(instance, experiment.name, build_chain(experiment).kept_features(equipment))
        yield own.endpoint, equipment, instance


def run(equipment, instance, selection, *features, **more_tags):
    definitions = definitions_of(equipment)
    job = dg.define_asset_job("chosen", selection=selection)
    with_job = dg.Definitions(assets=definitions.assets, jobs=[job], executor=dg.in_process_executor)
    ends = (features[0], features[-1]) if features else ()
    tags = dict(zip((ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG), ends, strict=False))
    job = with_job.resolve_job_def("chosen")
    return job.execute_in_process(instance=instance, tags=tags | more_tags, raise_on_error=False)


def keys(*names):
    return [dg.AssetKey(["article", name]) for name in names]


def three(equipment):
    return build_chain(equipment.experiment).kept_features(equipment)[:3]


def stored(equipment, name):
    chain = build_chain(equipment.experiment)
    addresses = chain.addresses(chain[name], equipment, three(equipment))
    return {address.feature for address in addresses if equipment.store.entry(address)}


def waits_until(condition):
    """An answer that comes when the condition holds, or after a minute."""

    async def respond(exchange):
        deadline = time.monotonic() + 60
        while not condition() and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        return JSONResponse(exchange.completion)

    return Fault(respond=respond, bill="answered")


def test_label_methods_fill_the_slots_together_and_never_exceed_them(asking):
    endpoint, equipment, instance = asking
    # A method asks about three features: alone it would wait for more than three requests in vain.
    full = waits_until(lambda: endpoint.most_in_flight >= AT_ONCE)
    endpoint.faults = lambda *_: full
    features = three(equipment)
    result = run(equipment, instance, dg.AssetSelection.assets(*keys(*METHODS)), *features)
    assert result.success
    assert endpoint.most_in_flight == AT_ONCE
    assert endpoint.requests == 9
    for key in keys(*METHODS):
        assert instance.get_materialized_partitions(key) == set(features)
        (check,) = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(key, FAILURE_RATE), limit=2
        )
        assert check.event.dagster_event.event_specific_data.passed


def test_who_chooses_one_method_and_two_features_pays_for_those_alone(asking):
    endpoint, equipment, instance = asking
    features = three(equipment)[:2]
    result = run(equipment, instance, dg.AssetSelection.assets(*keys("labels_baez_last")), *features)
    assert result.success
    assert endpoint.requests == 2
    ledger = equipment.answers.ledger("article")
    assert set(ledger["asset"]) == {"labels_baez_last"}
    assert set(ledger["feature"]) == set(features)
    made = {key.path[-1]: instance.get_materialized_partitions(key) for key in keys(*METHODS)}
    assert made == {"labels_baez": set(), "labels_baez_last": set(features), "labels_eleuther_acts_top5": set()}


def test_a_check_can_be_run_by_itself_and_asks_nobody(asking):
    endpoint, equipment, instance = asking
    (key,) = keys("labels_baez")
    result = run(equipment, instance, dg.AssetSelection.checks(dg.AssetCheckKey(key, FAILURE_RATE)))
    assert result.success
    assert [evaluation.asset_key for evaluation in result.get_asset_check_evaluations()] == [key]
    assert endpoint.requests == 0


def test_no_credit_stops_all_methods_and_what_each_has_finished_is_recorded(asking):
    endpoint, equipment, instance = asking
    no_credit = turned_away(402, "Insufficient credits.")
    # The refusal comes when all slots are taken, and the five others are answered after it.
    refused = threading.Event()
    answered = waits_until(refused.is_set)

    async def refuse(exchange):
        await waits_until(lambda: endpoint.most_in_flight == AT_ONCE).respond(exchange)
        refused.set()
        return await no_credit.respond(exchange)

    refusal = Fault(respond=refuse, bill="turned away")
    endpoint.faults = lambda number, body: refusal if number == AT_ONCE else answered
    features = three(equipment)
    result = run(equipment, instance, dg.AssetSelection.assets(*keys(*METHODS)), *features)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "no credit left" in failure.step_failure_data.user_failure_data.description
    assert endpoint.requests == AT_ONCE
    finished = {name: stored(equipment, name) for name in METHODS}
    assert sum(map(len, finished.values())) == AT_ONCE - 1
    assert {name: instance.get_materialized_partitions(*keys(name)) for name in METHODS} == finished
    endpoint.faults = lambda *_: None
    again = Equipment(equipment.experiment, equipment.data)
    assert run(again, instance, dg.AssetSelection.assets(*keys(*METHODS)), *features).success
    assert endpoint.requests == AT_ONCE + 4


def test_ctrl_c_stops_all_methods_at_once(asking):
    endpoint, equipment, instance = asking
    endpoint.faults = lambda *_: hangs()

    def press_when_all_hang():
        while endpoint.requests < AT_ONCE:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press_when_all_hang, daemon=True).start()
    with pytest.raises(Stopped, match="answers are kept: run again to go on"):
        run_chain(equipment, features=",".join(three(equipment)), instance=instance)
    assert endpoint.requests == AT_ONCE
    assert not [thread for thread in threading.enumerate() if "(read)" in thread.name]
    assert not any(stored(equipment, name) for name in METHODS)


def evaluations(instance, name):
    """Of the check of a step's rows, the oldest first: which feature, whether it passed, and why not."""
    (key,) = keys(name)
    records = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(key, FAILURE_RATE), limit=50
    )
    found = [record.event.dagster_event.event_specific_data for record in reversed(records) if record.event]
    return [
        (each.partition, each.passed, each.metadata["reason"].value if "reason" in each.metadata else None)
        for each in found
        if isinstance(each, dg.AssetCheckEvaluation)
    ]


def test_a_failed_label_says_why_on_its_partition_until_it_is_made_again(asking):
    endpoint, equipment, instance = asking
    well, chosen = endpoint.answer, dg.AssetSelection.assets(*keys("labels_baez"))
    first, second, _ = three(equipment)
    endpoint.answer = lambda body: ""
    assert run(equipment, instance, chosen, first).success
    wanted = dg.AssetRecordsFilter(*keys("labels_baez"), asset_partitions=[first])
    (record,) = instance.fetch_materializations(wanted, limit=1).records
    reason = record.asset_materialization.metadata["reason"].value
    assert reason.startswith("1 of 1 rows failed (100%), most often empty")
    assert evaluations(instance, "labels_baez") == [(None, False, reason), (first, False, reason)]
    endpoint.answer = well
    # Another feature that goes well hides nothing.
    assert run(equipment, instance, chosen, second).success
    assert evaluations(instance, "labels_baez")[2:] == [
        (None, False, reason.replace("1 rows failed (100%)", "2 rows failed (50%)"))
    ]
    assert run(equipment, instance, chosen, first, second, **{REDO_FAILED: "true"}).success
    assert evaluations(instance, "labels_baez")[3:] == [(None, True, None), (first, True, None)]


def test_while_a_run_asks_an_endpoint_another_one_waits_for_its_turn(asking):
    endpoint, equipment, _ = asking
    well, let_in = endpoint.answer, []
    with dg.instance_for_test(overrides={"concurrency": {"pools": {"default_limit": 1}}}) as instance:
        register(instance, "article", build_chain(equipment.experiment).kept_features(equipment))
        (pool,) = {asset.op.pool for asset in definitions_of(equipment).assets if keys("labels_baez")[0] in asset.keys}

        def another_asks_to_be_let_in(body):
            claim = instance.event_log_storage.claim_concurrency_slot(pool, "another run", f"step {len(let_in)}")
            let_in.append(claim.is_claimed)
            return well(body)

        endpoint.answer = another_asks_to_be_let_in
        chosen = dg.AssetSelection.assets(*keys("labels_baez"))
        assert run(equipment, instance, chosen, *three(equipment)).success
        assert pool.startswith("llm_127_0_0_1_")
        assert let_in == [False] * 3
