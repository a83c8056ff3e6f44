"""The whole chain as Dagster runs it, on the embedded data with the real models; small, so that it takes a minute."""

import os
from dataclasses import dataclass

import dagster as dg
import polars as pl
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import (
    Controls,
    Experiment,
    Labeling,
    Negatives,
    NeighboursEngine,
    Nla,
    Sample,
    Split,
    load_experiment,
)
from baez_pipeline.features.roster import is_planted
from baez_pipeline.orchestration.build import definitions_of
from baez_pipeline.orchestration.jobs import job_name
from baez_pipeline.orchestration.partitions import feature_partitions
from baez_pipeline.orchestration.runs import Unfinished, run_chain
from baez_pipeline.reports import FEATURE_INDEX, feature_page
from baez_pipeline.steps import State, Unit, build_chain, run_step
from baez_pipeline.steps.checks import FAILURE_RATE
from baez_pipeline.store import Address
from baez_pipeline.tables import BenchmarkVerdicts, Pages

# `test_article` runs the chain in Dagster, too, and is not among the slow ones.
pytestmark = pytest.mark.slow

METHODS = ("baez", "eleuther_acts_top5")


def small_experiment() -> Experiment:
    changes = {
        "name": "small",
        "sample": Sample(features=2, minimum_examples=15, donors=3),
        "split": Split(train=2, test=2, negatives=Negatives(random=1, hard=0, other_peak=1)),
        "controls": Controls(planted_per_kind=1),
        "labeling": Labeling(methods=METHODS),
        # The embedded NLA is tested by itself; it would take as long as all the rest.
        "nla": Nla(engine=NeighboursEngine()),
    }
    return load_experiment("smollm2").model_copy(update=changes)


@dataclass
class First:
    """What there was after a run of one chosen feature."""

    feature: str
    partner: str
    error: str
    states: dict[str, dict[Unit, State]]
    waiting: list[Unit]


@pytest.fixture(scope="module")
def chosen_then_all(tmp_path_factory):
    """One feature by itself, as somebody who tries things out would; then the whole experiment."""
    data = str(tmp_path_factory.mktemp("data"))
    with dg.instance_for_test(temp_dir=str(tmp_path_factory.mktemp("dagster"))) as instance:
        equipment = Equipment(small_experiment(), data)
        chain = build_chain(equipment.experiment)
        run_step(chain, chain["feature_sample"], equipment)
        feature = chain.kept_features(equipment)[0]
        (partner,) = chain.roster(equipment).partners[feature]
        with pytest.raises(Unfinished) as unfinished:
            run_chain(equipment, features=feature, instance=instance)
        again = run_step(chain, chain["scores_detection"], equipment, [feature])
        first = First(feature, partner, str(unfinished.value), states(equipment), again.waiting)
        run_chain(equipment, instance=instance)
        yield equipment, instance, data, first


@pytest.fixture(scope="module")
def ran(chosen_then_all):
    return chosen_then_all[:3]


def run_phase(equipment, instance, phase, *features):
    """One phase by itself, as it is run from the UI: the others have no part in what a test looks at."""
    job = definitions_of(equipment).resolve_job_def(job_name(equipment.experiment, phase))
    ends = (features[0], features[-1]) if features else ()
    tags = dict(zip((ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG), ends, strict=False))
    assert job.execute_in_process(instance=instance, tags=tags).success


def states(equipment):
    return {
        step.name: {Unit(found.feature, found.part): found.state for found in standings}
        for step, standings in build_chain(equipment.experiment).standings(equipment)
    }


def stored(equipment, name):
    chain = build_chain(equipment.experiment)
    addresses = chain.addresses(chain[name], equipment, chain.kept_features(equipment))
    return equipment.store.read(addresses, schema=chain[name].schema)


def hashes(equipment):
    chain = build_chain(equipment.experiment)
    return {
        (step.name, standing.feature, standing.part): standing.entry.content_hash
        for step, standings in chain.standings(equipment)
        for standing in standings
        if standing.entry
    }


def test_every_table_is_there_and_fresh(ran):
    equipment, _, _ = ran
    found = states(equipment)
    assert list(found) == [step.name for step in build_chain(equipment.experiment)]
    assert all(found.values())
    assert {state for by_unit in found.values() for state in by_unit.values()} == {State.FRESH}


def test_every_asset_is_materialized_with_columns_rows_and_preview(ran):
    equipment, instance, _ = ran
    kept = build_chain(equipment.experiment).kept_features(equipment)
    assert list(instance.get_dynamic_partitions(feature_partitions("small").name)) == kept
    for step in build_chain(equipment.experiment):
        key = dg.AssetKey(["small", step.name])
        if step.per_feature:
            assert instance.get_materialized_partitions(key) == set(kept)
        records = instance.fetch_materializations(key, limit=100).records
        shown = [record.asset_materialization.metadata for record in records]
        rows = "dagster/partition_row_count" if step.per_feature else "dagster/row_count"
        assert all(metadata[rows].value > 0 for metadata in shown)
        assert any("|" in metadata["preview"].value for metadata in shown if "preview" in metadata)


def test_the_table_and_the_reports_path_are_on_its_asset(ran):
    equipment, instance, _ = ran
    event = instance.get_latest_materialization_event(dg.AssetKey(["small", "experiment_report"]))
    metadata = event.asset_materialization.metadata
    assert metadata["experiment_report.html"].value.endswith("small/pages/experiment_report.html")
    assert "| `baez` |" in metadata["table"].value
    path = equipment.store.page_location("experiment_report.html")
    assert "<html" in open(path, encoding="utf-8").read()[:200]  # noqa: PTH123, SIM115


def test_every_label_and_every_control_is_judged_with_every_example(ran):
    equipment, _, _ = ran
    chain = build_chain(equipment.experiment)
    real, planted = ([f for f in chain.kept_features(equipment) if is_planted(f) is flag] for flag in (False, True))
    by_methods = {(method, shuffle) for method in METHODS for shuffle in (0, 1)} | {("generic", 0), ("empty", 0)}
    expected = dict.fromkeys(real, by_methods) | dict.fromkeys(planted, by_methods | {("right", 0), ("right", 1)})
    n_negatives = dict(
        stored(equipment, "example_splits").filter(role="negative").group_by("feature").len().iter_rows()
    )
    for benchmark in equipment.experiment.scoring.benchmarks:
        judged = stored(equipment, f"scores_{benchmark}")
        labels = judged.group_by("feature", "method", "shuffle").agg(
            pl.len(), pl.col("label_from").first(), pl.col("truth").sum()
        )
        found = {feature: set() for feature in expected}
        for row in labels.iter_rows(named=True):
            found[row["feature"]].add((row["method"], row["shuffle"]))
            # Shown with silent tokens marked, the test examples themselves are the negatives of fuzz_random.
            negatives = 2 if benchmark == "fuzz_random" else n_negatives[row["feature"]]
            assert (row["truth"], row["len"]) == (2, 2 + negatives)
            is_another = row["label_from"] != row["feature"]
            assert is_another == bool(row["shuffle"])
            assert is_planted(row["label_from"]) == is_planted(row["feature"])
        assert found == expected
        assert judged.filter(pl.col("outcome") != "ok").filter(pl.col("answer").is_not_null()).is_empty()


def test_the_summary_says_on_its_page_whether_each_benchmark_can_be_trusted(ran):
    equipment, instance, _ = ran
    verdicts = equipment.store.read(Address(table="benchmark_verdicts"), schema=BenchmarkVerdicts)
    assert verdicts["benchmark"].sort().to_list() == sorted(equipment.experiment.scoring.benchmarks)
    key = dg.AssetKey(["small", "score_summary"])
    (check,) = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(key, "benchmarks_discriminate"), limit=1
    )
    found = check.event.dagster_event.event_specific_data
    assert {name: value.value.partition(":")[0] for name, value in found.metadata.items()} == dict(
        verdicts.select("benchmark", "verdict").iter_rows()
    )
    assert found.passed == (set(verdicts["verdict"]) == {"discriminates"})
    assert found.severity is (
        dg.AssetCheckSeverity.ERROR if "broken" in verdicts["verdict"] else dg.AssetCheckSeverity.WARN
    )


def test_every_feature_has_a_page_that_its_index_links_to(ran):
    equipment, _, _ = ran
    kept = build_chain(equipment.experiment).kept_features(equipment)
    pages = equipment.store.read(Address(table="feature_pages"), schema=Pages)["page"].to_list()
    assert pages == [*map(feature_page, kept), FEATURE_INDEX]
    for page in pages:
        assert os.path.exists(equipment.store.page_location(page))  # noqa: PTH110
    index = open(equipment.store.page_location(FEATURE_INDEX), encoding="utf-8").read()  # noqa: PTH123, SIM115
    assert all(f'href="../{feature_page(feature)}"' in index for feature in kept)


def test_a_rerun_with_nothing_changed_opens_no_model(ran):
    equipment, instance, data = ran
    before = hashes(equipment)
    again = Equipment(small_experiment(), data)
    run_chain(again, instance=instance)
    assert not {"subject", "verbalizer", "writer", "embedder"} & set(again.__dict__)
    assert hashes(again) == before


def test_the_same_file_and_seed_give_the_same_tables(ran, tmp_path):
    equipment, _, _ = ran
    elsewhere = Equipment(small_experiment(), str(tmp_path))
    chain = build_chain(elsewhere.experiment)
    run_step(chain, chain["feature_sample"], elsewhere)
    # All features at once, where the other run began with one of them. What is made of all of them follows from these.
    for step in chain:
        if step.per_feature:
            run_step(chain, step, elsewhere, chain.kept_features(elsewhere))
    made, before = hashes(elsewhere), hashes(equipment)
    assert {address[0] for address in made} == {step.name for step in chain if step.per_feature} | {"feature_sample"}
    assert made == {address: content for address, content in before.items() if address in made}


def test_a_page_that_was_deleted_is_made_again(ran):
    equipment, instance, data = ran
    page = equipment.store.page_location("experiment_report.html")
    os.unlink(page)  # noqa: PTH108
    standings = dict(build_chain(equipment.experiment).standings(equipment))
    states = {step.name: found[0].state for step, found in standings.items() if found}
    assert states["experiment_report"] is State.MISSING
    run_phase(Equipment(small_experiment(), data), instance, "results")
    assert os.path.exists(page)  # noqa: PTH110


def test_chosen_features_are_made_and_what_needs_others_waits_without_failing(chosen_then_all):
    *_, first = chosen_then_all
    # Its own labels and the controls that need nobody are judged; a partner's labels are not there yet.
    shuffled = [Unit(first.feature, f"{method}.shuffled_1") for method in METHODS]
    assert first.waiting == shuffled
    of_feature = {
        unit.part: state for unit, state in first.states["scores_detection"].items() if unit.feature == first.feature
    }
    assert {part for part, state in of_feature.items() if state is State.WAITING} == {unit.part for unit in shuffled}
    assert {part for part, state in of_feature.items() if state is State.FRESH} == {*METHODS, "generic", "empty"}
    assert first.states["labels_baez"][Unit(first.partner)] is not State.FRESH
    assert "features have no scores yet" in first.error


def test_a_later_run_of_all_makes_what_waited(chosen_then_all):
    equipment, *_, first = chosen_then_all
    found = states(equipment)
    assert {found["scores_detection"][unit] for unit in first.waiting} == {State.FRESH}


def test_a_damaged_input_is_a_sentence_and_leaves_the_rest(ran):
    equipment, instance, _ = ran
    chain = build_chain(equipment.experiment)
    first = chain.kept_features(equipment)[0]
    path = equipment.store.location(Address(table="feature_records", feature=first))
    whole = open(path, "rb").read()  # noqa: PTH123, SIM115
    os.truncate(path, 40)
    try:
        # A damaged table is made again where its source still has it: the run heals it.
        run_phase(Equipment(equipment.experiment, ran[2]), instance, "features", first)
        healed = Equipment(equipment.experiment, ran[2]).store
        records = healed.read(Address(table="feature_records", feature=first), schema=chain["feature_records"].schema)
        assert records["feature"].unique().to_list() == [first]
    finally:
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(whole)


def test_failed_rows_turn_the_check_red_and_the_rest_goes_on(ran, tmp_path):
    """An upstream failure as data: every explanation of one feature fails, and its labels say so."""
    equipment, instance, _ = ran
    chain = build_chain(equipment.experiment)
    first, second = chain.kept_features(equipment)[:2]
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
        run_phase(Equipment(equipment.experiment, ran[2]), instance, "features", first, second)
        label = equipment.store.read(Address(table="labels_baez", feature=first), schema=chain["labels_baez"].schema)
        assert label["outcome"].to_list() == ["no_evidence"]
        judged = Address(table="scores_fuzz_random", feature=first, part="baez")
        assert set(equipment.store.read(judged, schema=chain["scores_fuzz_random"].schema)["outcome"]) == {"no_label"}
        assert equipment.store.entry(Address(table="scores_fuzz_random", feature=second, part="baez")).n_failed == 0
        checks = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(dg.AssetKey(["small", "labels_baez"]), FAILURE_RATE), limit=1
        )
        assert checks[0].event.dagster_event.event_specific_data.passed is False
    finally:
        equipment.store.write(address, good, schema=step.schema, fingerprint=entry.fingerprint)
