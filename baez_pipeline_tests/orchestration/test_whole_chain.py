"""The whole chain as Dagster runs it, on the embedded data with the real models; small, so that it takes a minute."""

import os

import dagster as dg
import polars as pl
import pytest

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Experiment, Labeling, LocalSaeSource, Nla, Report, Sample, Split, load_experiment
from baez_pipeline.orchestration.assets import CHECK
from baez_pipeline.orchestration.partitions import feature_partitions
from baez_pipeline.orchestration.runs import RunFailed, Unfinished, run_chain
from baez_pipeline.steps import State, build_chain, run_step
from baez_pipeline.store import Address
from baez_pipeline_tests.tiny_sae import write_tiny_sae

CHOSEN_REPORT = Report(most_distant=("baez", "baez_last"))


def small_experiment() -> Experiment:
    changes = {
        "name": "small",
        "sample": Sample(features=2, minimum_examples=15, donors=6),
        "split": Split(train=2, test=3, negatives=3),
    }
    return load_experiment("smollm2").model_copy(update=changes)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    data = str(tmp_path_factory.mktemp("data"))
    with dg.instance_for_test(temp_dir=str(tmp_path_factory.mktemp("dagster"))) as instance:
        equipment = Equipment(small_experiment(), data)
        run_chain(equipment, instance=instance)
        yield equipment, instance, data


def hashes(equipment):
    chain = build_chain(equipment.experiment)
    return {
        (step.name, standing.feature, standing.part): standing.entry.content_hash
        for step, standings in chain.standings(equipment)
        for standing in standings
    }


def test_every_table_is_there_and_fresh(ran):
    equipment, _, _ = ran
    standings = dict(build_chain(equipment.experiment).standings(equipment))
    assert {s.state for found in standings.values() for s in found} == {State.FRESH}
    assert len(standings) == 15


def test_every_asset_is_materialized_with_columns_rows_and_preview(ran):
    equipment, instance, _ = ran
    kept = build_chain(equipment.experiment).kept_features(equipment)
    assert list(instance.get_dynamic_partitions(feature_partitions("small").name)) == kept
    for step in build_chain(equipment.experiment):
        key = dg.AssetKey(["small", step.name])
        if step.per_feature:
            assert instance.get_materialized_partitions(key) == set(kept)
        metadata = instance.get_latest_materialization_event(key).asset_materialization.metadata
        assert metadata["dagster/row_count"].value > 0
        assert "|" in metadata["preview"].value


def test_the_table_and_the_reports_path_are_on_its_asset(ran):
    equipment, instance, _ = ran
    event = instance.get_latest_materialization_event(dg.AssetKey(["small", "experiment_report"]))
    metadata = event.asset_materialization.metadata
    assert metadata["experiment_report.html"].value.endswith("small/pages/experiment_report.html")
    assert "| `baez` |" in metadata["table"].value
    path = equipment.store.page_location("experiment_report.html")
    assert "<html" in open(path, encoding="utf-8").read()[:200]  # noqa: PTH123, SIM115


def test_scores_are_there_for_every_method_and_example(ran):
    equipment, _, _ = ran
    chain = build_chain(equipment.experiment)
    for benchmark in ("detection", "fuzz", "embedding"):
        step = chain[f"scores_{benchmark}"]
        judged = equipment.store.read(
            chain.addresses(step, equipment, chain.kept_features(equipment)), schema=step.schema
        )
        assert judged.group_by("feature", "method").len()["len"].to_list() == [6] * 6
        assert judged.filter(pl.col("outcome") != "ok").filter(pl.col("answer").is_not_null()).is_empty()


def test_a_rerun_with_nothing_changed_opens_no_model(ran):
    equipment, instance, data = ran
    before = hashes(equipment)
    again = Equipment(small_experiment(), data)
    run_chain(again, instance=instance)
    assert not {"subject", "verbalizer", "writer", "embedder"} & set(again.__dict__)
    assert hashes(again) == before


def test_the_same_file_and_seed_give_the_same_tables(ran, tmp_path):
    equipment, instance, _ = ran
    elsewhere = Equipment(small_experiment(), str(tmp_path))
    run_chain(elsewhere, instance=instance)
    assert hashes(elsewhere) == hashes(equipment)


def test_a_page_that_was_deleted_is_made_again(ran):
    equipment, instance, data = ran
    page = equipment.store.page_location("experiment_report.html")
    os.unlink(page)  # noqa: PTH108
    standings = dict(build_chain(equipment.experiment).standings(equipment))
    states = {step.name: found[0].state for step, found in standings.items() if found}
    assert states["experiment_report"] is State.MISSING
    run_chain(Equipment(small_experiment(), data), instance=instance)
    assert os.path.exists(page)  # noqa: PTH110


def test_chosen_features_are_made_and_the_results_wait_for_the_others(ran, tmp_path):
    _, instance, _ = ran
    changes = {"name": "chosen", "labeling": Labeling(methods=("baez", "baez_last")), "report": CHOSEN_REPORT}
    equipment = Equipment(small_experiment().model_copy(update=changes), str(tmp_path))
    chain = build_chain(equipment.experiment)
    run_step(chain, chain["feature_sample"], equipment)
    first, second = chain.kept_features(equipment)
    with pytest.raises(Unfinished, match=f"1 of the experiment's features have no scores yet, {second}"):
        run_chain(equipment, features=[first], instance=instance)
    assert equipment.store.entry(Address(table="scores_fuzz", feature=first, part="baez"))
    assert equipment.store.entry(Address(table="labels_baez", feature=second)) is None


def test_a_layer_that_is_not_the_sources_is_a_sentence(ran, tmp_path):
    _, instance, _ = ran
    experiment = small_experiment().model_copy(update={"name": "layer", "nla": Nla(layer=5)})
    with pytest.raises(RunFailed, match=r"nla\.layer is 5, but the features of source 20-topk-res-2k are of layer 20"):
        run_chain(Equipment(experiment, str(tmp_path)), instance=instance)


def test_a_damaged_input_is_a_sentence_and_leaves_the_rest(ran):
    equipment, instance, _ = ran
    chain = build_chain(equipment.experiment)
    first, _ = chain.kept_features(equipment)
    changed = equipment.experiment.model_copy(update={"seed": equipment.experiment.seed})
    path = equipment.store.location(Address(table="feature_records", feature=first))
    whole = open(path, "rb").read()  # noqa: PTH123, SIM115
    os.truncate(path, 40)
    try:
        # A damaged table is made again where its source still has it: the run heals it.
        run_chain(Equipment(changed, ran[2]), instance=instance)
        assert len(open(path, "rb").read()) > 40  # noqa: PTH123, SIM115
    finally:
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(whole)


def test_a_source_with_too_few_features_fails_the_run_with_its_sentence(ran, tmp_path):
    _, instance, _ = ran
    changes = {
        "name": "greedy",
        "source": LocalSaeSource(path=write_tiny_sae(tmp_path / "sae", rare={1, 2})),
        "sample": Sample(features=39),
    }
    greedy = small_experiment().model_copy(update=changes)
    with pytest.raises(RunFailed, match="has only 38 features with at least 15 distinct activating examples"):
        run_chain(Equipment(greedy, str(tmp_path / "data")), instance=instance)
    assert not (tmp_path / "data").exists()


def test_failed_rows_turn_the_check_red_and_the_rest_goes_on(ran, tmp_path):
    """An upstream failure as data: every explanation of one feature fails, and its labels say so."""
    equipment, instance, _ = ran
    chain = build_chain(equipment.experiment)
    first, second = chain.kept_features(equipment)
    step = chain["nla_explanations"]
    address = Address(table="nla_explanations", feature=first)
    good, entry = equipment.store.read(address, schema=step.schema), equipment.store.entry(address)
    failed = good.with_columns(
        outcome=pl.lit("timed_out").cast(good.schema["outcome"]),
        explanation=pl.lit(None, dtype=pl.String),
        n_paragraphs=pl.lit(0, dtype=pl.Int64),
    )
    equipment.store.write(address, failed, schema=step.schema, fingerprint=entry.fingerprint)
    try:
        run_chain(Equipment(equipment.experiment, ran[2]), instance=instance)
        label = equipment.store.read(Address(table="labels_baez", feature=first), schema=chain["labels_baez"].schema)
        assert label["outcome"].to_list() == ["no_evidence"]
        judged = Address(table="scores_fuzz", feature=first, part="baez")
        assert set(equipment.store.read(judged, schema=chain["scores_fuzz"].schema)["outcome"]) == {"no_label"}
        assert equipment.store.entry(Address(table="scores_fuzz", feature=second, part="baez")).n_failed == 0
        checks = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(dg.AssetKey(["small", "labels_baez"]), CHECK), limit=1
        )
        assert checks[0].event.dagster_event.event_specific_data.passed is False
    finally:
        equipment.store.write(address, good, schema=step.schema, fingerprint=entry.fingerprint)
