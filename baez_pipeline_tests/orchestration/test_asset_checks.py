"""Checks as Dagster shows them, and a run that stops before it pays for what follows from failed rows."""

import dagster as dg
import pytest

from baez_pipeline.equipment import Equipment
from baez_pipeline.orchestration.build import definitions_of
from baez_pipeline.orchestration.runs import RunFailed, run_chain
from baez_pipeline.orchestration.selection import REDO_FAILED, run_config, run_tags
from baez_pipeline.steps import build_chain, run_step
from baez_pipeline.steps.checks import ALIGNMENT, COVERAGE, FAILURE_RATE, SCHEMA
from baez_pipeline_tests.local_services import KEY, Services, local_services, with_changes
from baez_pipeline_tests.nla_service import with_fields
from baez_pipeline_tests.openai_faults import turned_away
from baez_pipeline_tests.orchestration.few_steps import few_steps, kept, shown, stored

EXPLANATIONS, LABELS, OTHER_LABELS = "nla_explanations", "labels_baez", "labels_eleuther_acts_top5"
FEATURES = 3
ANOTHER_TOKEN, NO_TEXT = with_fields(token="another"), with_fields(description="")


@pytest.fixture(scope="module")
def services():
    with pytest.MonkeyPatch.context() as environment, local_services(Services()) as services:
        environment.setenv("OPENROUTER_API_KEY", KEY)
        yield services


def experiment(services, *, usd=3.0):
    """Whose explained tokens must be the peaks, and whose models have a price or none."""
    made = few_steps(services, features=2)
    price = {"usd_per_million_in": usd, "usd_per_million_out": usd, "usd_per_million_cached_in": None}
    labeling = with_changes(made.labeling, writer=with_changes(made.labeling.writer, **price))
    scoring = with_changes(made.scoring, judge=with_changes(made.scoring.judge, **price))
    nla = with_changes(made.nla, alignment="verified")
    return made.model_copy(update={"nla": nla, "labeling": labeling, "scoring": scoring})


def chosen(equipment):
    return kept(equipment)[:FEATURES]


def made_by(equipment, instance, *steps, features=None, **tags):
    """A run of these steps for the chosen features, or for others."""
    definitions = definitions_of(equipment)
    keys = [dg.AssetKey(["article", step]) for step in steps]
    job = dg.define_asset_job("some", selection=dg.AssetSelection.assets(*keys))
    some = dg.Definitions(assets=definitions.assets, jobs=[job], executor=dg.in_process_executor)
    features = features or chosen(equipment)
    return some.resolve_job_def("some").execute_in_process(
        instance=instance,
        tags=run_tags(features) | tags,
        run_config=run_config(features),
        raise_on_error=False,
    )


def evaluation(instance, step, check):
    """The last one over all features."""
    key = dg.AssetCheckKey(dg.AssetKey(["article", step]), check)
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=50)
    found = [record.event.dagster_event.event_specific_data for record in records if record.event]
    return next(each for each in found if isinstance(each, dg.AssetCheckEvaluation) and each.partition is None)


@pytest.fixture(scope="module")
def stopped(services, tmp_path_factory):
    """A run in which the service explains another token than the peak, and then answers without a text."""
    faults = {1: None, 2: None, 3: ANOTHER_TOKEN, 4: ANOTHER_TOKEN}
    services.nla.faults = lambda number: faults.get(number, NO_TEXT)
    with dg.DagsterInstance.ephemeral() as instance:
        equipment = Equipment(experiment(services), str(tmp_path_factory.mktemp("data")))
        chain = build_chain(equipment.experiment)
        run_step(chain, chain["feature_sample"], equipment)
        with pytest.raises(RunFailed) as error:
            run_chain(equipment, features=",".join(chosen(equipment)), instance=instance)
        yield equipment, instance, str(error.value), services.endpoint.requests


def test_a_run_stops_before_it_pays_for_labels_of_failed_explanations(stopped):
    *_, said, asked = stopped
    assert asked == 0
    assert said.startswith(f"{EXPLANATIONS}: 13 of 15 rows failed (86.7%), most often empty: ")
    assert "checks.most_failures allows (20%), and labels_baez, scores_detection would ask paid models" in said
    assert "run the same again with --failed" in said
    assert "Traceback" not in said


def test_what_was_made_before_it_stopped_is_recorded_and_nothing_behind_it(stopped):
    equipment, instance, *_ = stopped
    assert shown(instance, equipment, EXPLANATIONS) == dict.fromkeys(chosen(equipment), "MATERIALIZED")
    assert shown(instance, equipment, LABELS) == {}
    assert stored(equipment, LABELS) == set()


def test_the_checks_say_why_on_the_explanations_page(stopped):
    _, instance, *_ = stopped
    rate = evaluation(instance, EXPLANATIONS, FAILURE_RATE)
    assert (rate.passed, rate.severity, rate.blocking) == (False, dg.AssetCheckSeverity.ERROR, True)
    assert rate.metadata["share"].value == pytest.approx(13 / 15, abs=1e-4)
    alignment = evaluation(instance, EXPLANATIONS, ALIGNMENT)
    assert (alignment.passed, alignment.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert alignment.metadata["misaligned_rows"].value == 2
    assert "'another'" in alignment.metadata["reason"].value
    assert evaluation(instance, EXPLANATIONS, SCHEMA).passed
    coverage = evaluation(instance, EXPLANATIONS, COVERAGE)
    assert coverage.passed
    assert coverage.metadata["with_all_tables"].value == FEATURES < coverage.metadata["features"].value


def test_mended_it_goes_on_with_the_failed_ones_alone(stopped, services):
    equipment, instance, said, _ = stopped
    before = services.nla.requests
    again = Equipment(equipment.experiment, equipment.data)
    result = made_by(again, instance, EXPLANATIONS, LABELS)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    # Nothing has changed, and nobody is asked in vain.
    assert failure.step_failure_data.user_failure_data.description == said.replace(", scores_detection", "")
    assert (services.nla.requests, services.endpoint.requests) == (before, 0)
    services.nla.faults = lambda number: None
    assert made_by(again, instance, EXPLANATIONS, LABELS, **{REDO_FAILED: "true"}).success
    # The two answers about another token are kept: they are right ones, to another question.
    assert services.nla.requests - before == 11
    rate = evaluation(instance, EXPLANATIONS, FAILURE_RATE)
    assert (rate.passed, rate.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert services.endpoint.requests == FEATURES
    assert shown(instance, equipment, LABELS) == dict.fromkeys(chosen(equipment), "MATERIALIZED")


def test_where_nothing_is_left_to_pay_a_run_is_not_stopped_for_what_failed(stopped):
    equipment, instance, *_ = stopped
    strict = with_changes(equipment.experiment, checks=with_changes(equipment.experiment.checks, most_failures=0.0))
    again = Equipment(strict, equipment.data)
    assert made_by(again, instance, EXPLANATIONS, LABELS).success
    assert evaluation(instance, EXPLANATIONS, FAILURE_RATE).severity == dg.AssetCheckSeverity.WARN
    assert not made_by(again, instance, EXPLANATIONS, LABELS, OTHER_LABELS, "scores_detection").success
    # A feature that no run was about yet has no failures of its own.
    (other,) = kept(equipment)[FEATURES : FEATURES + 1]
    steps = ("feature_records", "example_splits", EXPLANATIONS, LABELS)
    assert made_by(again, instance, *steps, features=[other]).success


def test_what_an_earlier_run_has_left_as_failed_is_missing_in_the_coverage(stopped, services):
    equipment, instance, *_ = stopped
    first, *others = chosen(equipment)
    services.endpoint.faults = lambda number, body: turned_away(402, "Insufficient credits.")
    assert not made_by(equipment, instance, OTHER_LABELS).success
    services.endpoint.faults = lambda *_: None
    assert made_by(Equipment(equipment.experiment, equipment.data), instance, OTHER_LABELS, features=[first]).success
    coverage = evaluation(instance, OTHER_LABELS, COVERAGE)
    assert not coverage.passed
    assert coverage.metadata["features_missing"].value == ", ".join(others)
    assert coverage.metadata["not_begun_or_waiting"].value == len(kept(equipment)) - FEATURES


def test_only_what_something_with_a_price_follows_from_blocks(services, tmp_path):
    def blocking(usd):
        equipment = Equipment(experiment(services, usd=usd), str(tmp_path))
        specs = [spec for asset in definitions_of(equipment).assets for spec in asset.check_specs]
        return {spec.asset_key.path[-1] for spec in specs if spec.blocking}, {spec.name for spec in specs}

    assert blocking(3.0)[0] == {EXPLANATIONS, LABELS, OTHER_LABELS}
    assert blocking(0.0)[0] == set()
    assert blocking(0.0)[1] == {SCHEMA, COVERAGE, FAILURE_RATE, ALIGNMENT, "benchmarks_discriminate"}
