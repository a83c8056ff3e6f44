"""Features that lie apart: one run, statuses that are exact for them and for the others, and what waits comes after."""

import shutil

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from baez_pipeline.equipment import Equipment
from baez_pipeline.orchestration.build import definitions_of
from baez_pipeline.orchestration.choose import choose_config, choose_job_name
from baez_pipeline.orchestration.partitions import register
from baez_pipeline.orchestration.runs import ASKED_BY, RunFailed, Unfinished, run_chain
from baez_pipeline.orchestration.selection import run_tags
from baez_pipeline.steps import build_chain, run_step
from baez_pipeline.store import Address
from baez_pipeline_tests.local_services import KEY, Services, local_services, with_changes
from baez_pipeline_tests.orchestration.few_steps import few_steps, kept, per_feature, runs_by_job, shown, stored

SCORES = "scores_detection"


@pytest.fixture(scope="module")
def services():
    with pytest.MonkeyPatch.context() as environment, local_services(Services()) as services:
        environment.setenv("OPENROUTER_API_KEY", KEY)
        yield services


@pytest.fixture(scope="module")
def scattered(services, tmp_path_factory):
    """Every second feature, in one go; then all but one, three a run."""
    data = str(tmp_path_factory.mktemp("data"))
    with dg.DagsterInstance.ephemeral() as instance:
        equipment = Equipment(few_steps(services, features=2), data)
        chain = build_chain(equipment.experiment)
        run_step(chain, chain["feature_sample"], equipment)
        chosen = kept(equipment)[1::2]
        with pytest.raises(Unfinished):
            run_chain(equipment, features=",".join(chosen), instance=instance)
        yield equipment, instance, chosen


def run_all_but(equipment, instance, feature, **how):
    others = [each for each in kept(equipment) if each != feature]
    with pytest.raises(Unfinished):
        run_chain(equipment, features=",".join(others), instance=instance, **how)
    return others


def test_features_that_lie_apart_are_one_run(scattered):
    _, instance, chosen = scattered
    assert len(chosen) == 2
    assert runs_by_job(instance) == {"article_sample": 1, "article_features": 1}


def test_the_chosen_ones_alone_are_shown_as_made(scattered):
    equipment, instance, chosen = scattered
    for step in per_feature(equipment):
        assert shown(instance, equipment, step) == dict.fromkeys(chosen, "MATERIALIZED"), step


def test_what_waits_for_a_partner_says_so_on_its_partition(scattered):
    equipment, instance, chosen = scattered
    waiting = set(chosen) - stored(equipment, SCORES)
    assert waiting
    for feature in chosen:
        metadata = metadata_of(instance, SCORES, feature)
        assert ("waits_for_another_features_label" in metadata) == (feature in waiting)


def metadata_of(instance, step, feature):
    key = dg.AssetKey(["article", step])
    (record,) = instance.fetch_materializations(dg.AssetRecordsFilter(key, asset_partitions=[feature]), limit=1).records
    return record.asset_materialization.metadata


def test_dagster_calls_them_fresh_until_a_prompt_changes(scattered):
    equipment, instance, chosen = scattered

    def staleness(equipment, step):
        graph = definitions_of(equipment).resolve_asset_graph()
        resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
        return {resolver.get_status(dg.AssetKey(["article", step]), feature).name for feature in chosen}

    fresh = {step: {"FRESH"} for step in per_feature(equipment)}
    assert {step: staleness(equipment, step) for step in fresh} == fresh
    labeling = with_changes(equipment.experiment.labeling, maximum_words=7)
    changed = Equipment(with_changes(equipment.experiment, labeling=labeling), equipment.data)
    # The other method reads the activations alone, and its prompt says no number of words.
    stale = {"labels_baez": {"STALE"}}
    assert {step: staleness(changed, step) for step in fresh} == fresh | stale


def test_controls_whose_partner_is_in_a_later_run_are_made_after_it(scattered):
    equipment, instance, _ = scattered
    left_out = kept(equipment)[0]
    others = run_all_but(equipment, instance, left_out, features_per_run=2)
    partners = build_chain(equipment.experiment).roster(equipment).partners
    assert stored(equipment, SCORES) == {each for each in others if left_out not in partners[each]}
    assert shown(instance, equipment, "labels_baez") == dict.fromkeys(others, "MATERIALIZED")


def test_what_failed_under_a_prompt_that_was_taken_back_is_shown_as_made_by_the_next_run(scattered, monkeypatch):
    equipment, instance, chosen = scattered
    labeling = with_changes(equipment.experiment.labeling, maximum_words=9)
    changed = Equipment(with_changes(equipment.experiment, labeling=labeling), equipment.data)
    with monkeypatch.context() as environment, pytest.raises(RunFailed, match="401"):
        environment.setenv("OPENROUTER_API_KEY", "of-nobody")
        run_chain(changed, features=",".join(chosen), instance=instance)
    assert {shown(instance, equipment, "labels_baez")[each] for each in chosen} == {"FAILED"}
    with pytest.raises(Unfinished):
        run_chain(equipment, features=",".join(chosen), instance=instance)
    assert {shown(instance, equipment, "labels_baez")[each] for each in chosen} == {"MATERIALIZED"}


def test_the_launchpad_takes_what_the_command_takes(scattered):
    equipment, instance, _ = scattered
    job = definitions_of(equipment).resolve_job_def(choose_job_name(equipment.experiment))
    (feature,) = set(kept(equipment)) - set(shown(instance, equipment, "labels_baez"))
    before = runs_by_job(instance)
    config = choose_config(equipment.experiment, f"failed+{feature}..{feature}")
    result = job.execute_in_process(instance=instance, run_config=config)
    assert result.success
    assert shown(instance, equipment, "labels_baez")[feature] == "MATERIALIZED"
    assert runs_by_job(instance) - before == {"article_choose": 1, "article_sample": 1, "article_features": 1}
    started = [run for run in instance.get_runs() if run.tags.get(ASKED_BY) == result.run_id]
    assert {run.job_name for run in started} == {"article_sample", "article_features"}


def test_what_dagster_does_not_show_is_reported_by_the_sensor(scattered):
    equipment, _, _ = scattered
    definitions = definitions_of(equipment)
    sensor = definitions.resolve_sensor_def("article_converge")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    # An instance that knows nothing of what is stored, as after runs that were killed before they could say so.
    with dg.DagsterInstance.ephemeral() as instance:
        register(instance, "article", kept(equipment))
        context = dg.build_sensor_context(instance=instance, definitions=definitions)
        found = sensor.evaluate_tick(context)
        for event in found.asset_events:
            instance.report_runless_asset_event(event)
        for step in per_feature(equipment):
            made = {feature for feature in kept(equipment) if metadata_or_none(instance, step, feature)}
            assert made == some_table(equipment, step)
        context = dg.build_sensor_context(instance=instance, definitions=definitions, cursor=found.cursor)
        assert sensor.evaluate_tick(context).skip_message == "No run has ended since the last look."


def test_the_sensor_sees_what_other_processes_have_written_since(scattered):
    equipment, _, _ = scattered
    long_open = Equipment(equipment.experiment, equipment.data)
    chain = build_chain(equipment.experiment)
    addresses = chain.addresses(chain["labels_baez"], equipment, kept(equipment))
    address = next(each for each in addresses if equipment.store.entry(each))
    before, schema = long_open.store.entry(address), chain["labels_baez"].schema
    equipment.store.write(address, equipment.store.read(address, schema=schema), schema=schema, fingerprint="another")
    definitions = definitions_of(long_open)
    with dg.DagsterInstance.ephemeral() as instance:
        register(instance, "article", kept(equipment))
        context = dg.build_sensor_context(instance=instance, definitions=definitions)
        definitions.resolve_sensor_def("article_converge").evaluate_tick(context)
    assert before.fingerprint != "another" == long_open.store.entry(address).fingerprint


def metadata_or_none(instance, step, feature):
    wanted = dg.AssetRecordsFilter(dg.AssetKey(["article", step]), asset_partitions=[feature])
    return instance.fetch_materializations(wanted, limit=1).records


def some_table(equipment, step):
    chain = build_chain(equipment.experiment)
    return {
        feature
        for feature in kept(equipment)
        if any(equipment.store.entry(address) for address in chain.addresses(chain[step], equipment, [feature]))
    }


def backfill_range(definitions, instance, equipment, *features):
    """The run that Dagster's backfill of all assets starts for a range of features."""
    job = definitions.resolve_implicit_global_asset_job_def()
    assets = [dg.AssetKey(["article", step]) for step in per_feature(equipment)]
    assert job.execute_in_process(instance=instance, asset_selection=assets, tags=run_tags(features)).success


def look(definitions, instance, cursor=None):
    context = dg.build_sensor_context(instance=instance, definitions=definitions, cursor=cursor)
    return definitions.resolve_sensor_def("article_converge").evaluate_tick(context)


def test_the_control_of_a_partner_in_a_later_range_is_asked_for_made_and_not_asked_for_again(
    services, scattered, tmp_path
):
    drawn, *_ = scattered
    one_method = with_changes(drawn.experiment.labeling, methods=("eleuther_acts_top5",))
    equipment = Equipment(with_changes(drawn.experiment, labeling=one_method), str(tmp_path))
    (tmp_path / "article").mkdir()
    shutil.copy(drawn.store.location(Address(table="feature_sample")), tmp_path / "article")
    first, second, *_ = kept(equipment)
    partners = build_chain(equipment.experiment).roster(equipment).partners
    assert [partners[each][0] for each in (first, second)] == [second, first]
    definitions, begun = definitions_of(equipment), services.endpoint.requests
    with dg.DagsterInstance.ephemeral() as instance:
        register(instance, "article", kept(equipment))
        for feature in (first, second):
            backfill_range(definitions, instance, equipment, feature)
        assert stored(equipment, SCORES) == {second}
        found, asked = look(definitions, instance), services.endpoint.requests
        assert not found.asset_events
        (request,) = found.run_requests
        job = definitions.resolve_job_def(request.job_name)
        assert job.execute_in_process(instance=instance, run_config=request.run_config, tags=request.tags).success
        assert stored(equipment, SCORES) == {first, second}
        # The first one's control alone.
        assert 0 < services.endpoint.requests - asked < (asked - begun) / 4
        for step in per_feature(equipment):
            assert shown(instance, equipment, step) == dict.fromkeys((first, second), "MATERIALIZED"), step
        again = look(definitions, instance, cursor=found.cursor)
    assert not again.run_requests
    assert not again.asset_events
