"""A benchmark that tells nothing is called broken wherever its scores are shown: the whole way from a judge that is."""

import dagster as dg
import pytest

from baez_pipeline.equipment import Equipment
from baez_pipeline.orchestration.build import definitions_of
from baez_pipeline.reports.measures import benchmark_name
from baez_pipeline.steps import build_chain, run_step
from baez_pipeline.steps.checks import SCHEMA
from baez_pipeline.steps.results import BENCHMARKS_DISCRIMINATE
from baez_pipeline.store import Address
from baez_pipeline.tables import BenchmarkVerdicts, FeatureScores
from baez_pipeline_tests.local_services import KEY, Services, local_services, with_changes
from baez_pipeline_tests.openai_answers import answer

ASKED, NOT_ASKED = "detection", "embedding"


def always_active(body):
    """Whatever the label: yes to each example."""
    said = answer(body)
    return said.replace("0", "1") if said.startswith("[") and "EXPLANATION" not in said else said


@pytest.fixture(scope="module")
def summarised(tmp_path_factory):
    """An experiment up to its summary, one benchmark of which asks a judge that always says yes."""
    services = Services()
    services.endpoint.answer = always_active
    with (
        pytest.MonkeyPatch.context() as environment,
        local_services(services),
        dg.DagsterInstance.ephemeral() as instance,
    ):
        environment.setenv("OPENROUTER_API_KEY", KEY)
        experiment = services.experiment("gemma3_27b", features=2, planted_per_kind=2)
        scoring = with_changes(experiment.scoring, benchmarks=(ASKED, NOT_ASKED))
        equipment = Equipment(experiment.model_copy(update={"scoring": scoring}), str(tmp_path_factory.mktemp("data")))
        chain = build_chain(equipment.experiment)
        for step in chain:
            if step.per_feature or step.name in ("feature_sample", "feature_scores", "metric_sanity"):
                run_step(chain, step, equipment, chain.kept_features(equipment) if step.per_feature else ())
        keys = [dg.AssetKey([experiment.name, name]) for name in ("benchmark_verdicts", "score_summary")]
        job = dg.define_asset_job("results", selection=dg.AssetSelection.assets(*keys))
        definitions = dg.Definitions(
            assets=definitions_of(equipment).assets, jobs=[job], executor=dg.in_process_executor
        )
        yield equipment, definitions.resolve_job_def("results").execute_in_process(instance=instance)


def test_the_verdict_on_it_is_broken_and_says_why(summarised):
    equipment, _ = summarised
    verdicts = equipment.store.read(Address(table="benchmark_verdicts"), schema=BenchmarkVerdicts)
    (row,) = verdicts.filter(benchmark=ASKED).to_dicts()
    assert row["verdict"] == "broken"
    assert "not above chance (0.5)" in row["reason"]
    assert "no better than those of other planted features" in row["reason"]
    assert row["right_mean"] == row["shuffled_mean"] == 0.5
    scores = equipment.store.read(Address(table="feature_scores"), schema=FeatureScores).filter(benchmark=ASKED)
    assert scores["n_failed"].sum() == 0
    assert set(scores["balanced_accuracy"]) == {0.5}


def test_a_benchmark_beside_it_that_asks_nobody_is_not_called_broken(summarised):
    equipment, _ = summarised
    verdicts = equipment.store.read(Address(table="benchmark_verdicts"), schema=BenchmarkVerdicts)
    (row,) = verdicts.filter(benchmark=NOT_ASKED).to_dicts()
    assert row["verdict"] != "broken", row["reason"]


def test_its_check_is_red_as_an_error_though_no_row_failed(summarised):
    _, result = summarised
    assert result.success
    evaluations = {
        found.check_name: found
        for found in result.get_asset_check_evaluations()
        if found.asset_key.path[-1] == "score_summary"
    }
    assert evaluations[SCHEMA].passed
    found = evaluations[BENCHMARKS_DISCRIMINATE.name]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert found.metadata[ASKED].value.startswith("broken: Right labels of planted features score 0.50")


def test_the_table_of_methods_marks_its_numbers_and_names_it(summarised):
    equipment, _ = summarised
    shown = build_chain(equipment.experiment)["score_summary"].markdown(equipment)
    header, _, *rows = [line for line in shown.splitlines() if line.startswith("|")]
    place = next(number for number, cell in enumerate(header.split("|")) if benchmark_name(ASKED) in cell)
    assert header.split("|")[place].strip().endswith(": broken")
    cells = [row.split("|")[place].strip() for row in rows]
    assert len(cells) == len(equipment.experiment.labeling.methods) + 2
    assert all(cell.startswith("[0.5") for cell in cells)
    assert "is broken here; compare nothing on it." in shown
