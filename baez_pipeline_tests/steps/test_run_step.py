"""Freshness and resuming, on a chain of the real step machinery with steps whose cost a test can count."""

import threading
import time
from dataclasses import replace

import polars as pl
import pytest

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import BaezError, TableError
from baez_pipeline.experiment import Experiment, LocalSaeSource, Sample, Split
from baez_pipeline.steps import Chain, State, Step, Unit, Work, families, run_step, run_steps
from baez_pipeline.steps.examples import EXAMPLE_SPLITS, FEATURE_RECORDS, FEATURE_SAMPLE
from baez_pipeline.store import hash_of
from baez_pipeline.tables import Labels
from baez_pipeline_tests.tiny_sae import write_tiny_sae


class Counted:
    """A label step that counts what it labels, and stops the work or fails a row when told to."""

    def __init__(self, prompt="first", name="labels_counted"):
        self.prompt = prompt
        self.name = name
        self.labelled = []
        self.threads = set()
        self.stops_at = None
        self.fails = set()

    @property
    def step(self):
        return Step(
            name=self.name,
            schema=Labels,
            room="labeling",
            family="labels",
            description="",
            version=1,
            per_feature=True,
            reads=lambda part: ("example_splits",),
            depends_on=lambda equipment, part: {"prompt": self.prompt},
            compute=self.compute,
        )

    def compute(self, work):
        self.threads.add(threading.current_thread())
        for feature in work.features:
            if feature == self.stops_at:
                raise BaezError("the server is gone")
            self.labelled.append(feature)
            yield Unit(feature), label_row(feature, work.read("example_splits", feature).height, feature in self.fails)


def label_row(feature, n_shown, failed):
    row = {
        "feature": feature,
        "method": "counted",
        "label": None if failed else "a label",
        "n_shown": n_shown,
        "model": "none",
        "outcome": "refused" if failed else "ok",
    }
    return Labels.validate(pl.DataFrame([row | dict.fromkeys(set(Labels.column_names()) - set(row))]), cast=True)


@pytest.fixture
def equipment(tmp_path):
    source = LocalSaeSource(path=write_tiny_sae(tmp_path / "sae"))
    experiment = Experiment(name="tiny", source=source, sample=Sample(features=4, donors=20))
    return Equipment(experiment, str(tmp_path / "data"))


def run_all(chain, equipment, **options):
    reports = {}
    for step in chain:
        features = chain.kept_features(equipment) if step.per_feature else ()
        reports[step.name] = run_step(chain, step, equipment, features, **options)
    return reports


def chain_with(*counted):
    return Chain([FEATURE_SAMPLE, FEATURE_RECORDS, EXAMPLE_SPLITS, *(each.step for each in counted)])


def test_a_rerun_with_nothing_changed_makes_nothing(equipment):
    counted = Counted()
    chain = chain_with(counted)
    run_all(chain, equipment)
    assert counted.labelled == chain.kept_features(equipment)
    counted.labelled.clear()
    again = run_all(chain, equipment)
    assert counted.labelled == []
    assert all(not report.made for report in again.values())
    assert {s.state for _, standings in chain.standings(equipment) for s in standings} == {State.FRESH}


def test_a_changed_prompt_makes_stale_what_uses_it_and_nothing_else(equipment):
    run_all(chain_with(Counted()), equipment)
    changed = chain_with(Counted(prompt="second"))
    states = {step.name: {s.state for s in standings} for step, standings in changed.standings(equipment)}
    assert states.pop("labels_counted") == {State.STALE}
    assert set().union(*states.values()) == {State.FRESH}


def test_what_reads_a_stale_table_is_not_called_fresh(equipment):
    chain = chain_with(Counted())
    run_all(chain, equipment)
    equipment.experiment = equipment.experiment.model_copy(update={"split": Split(window=16)})
    states = {step.name: {s.state for s in standings} for step, standings in chain.standings(equipment)}
    assert states["feature_records"] == {State.FRESH}
    assert states["example_splits"] == states["labels_counted"] == {State.STALE}


def test_more_features_leave_the_earlier_ones_alone(equipment):
    counted = Counted()
    run_all(chain_with(counted), equipment)
    equipment.experiment = equipment.experiment.model_copy(update={"sample": Sample(features=7, donors=20)})
    counted.labelled.clear()
    reports = run_all(chain_with(counted), equipment)
    assert len(reports["feature_records"].made) == 3
    # The splits were made again, from a new roster, but came out the same.
    assert len(counted.labelled) == 3


def test_when_the_work_stops_the_finished_features_stay_and_a_rerun_does_the_rest(equipment):
    counted = Counted()
    chain = chain_with(counted)
    for step in list(chain)[:-1]:
        run_step(chain, step, equipment, chain.kept_features(equipment) if step.per_feature else ())
    features = chain.kept_features(equipment)
    counted.stops_at = features[2]
    with pytest.raises(BaezError, match="server is gone"):
        run_step(chain, counted.step, equipment, features)
    counted.stops_at = None
    report = run_step(chain, counted.step, equipment, features)
    assert list(report.made) == features[2:]
    assert counted.labelled == features


def test_failed_rows_are_kept_and_made_again_only_when_asked_for(equipment):
    counted = Counted()
    chain = chain_with(counted)
    run_all(chain, equipment)
    features = chain.kept_features(equipment)
    counted.prompt, counted.fails = "second", {features[1]}
    assert run_all(chain, equipment)["labels_counted"].n_failed == 1
    counted.labelled.clear()
    run_all(chain, equipment)
    assert counted.labelled == []
    counted.fails = set()
    assert run_all(chain, equipment, redo_failed=True)["labels_counted"].n_failed == 0
    assert counted.labelled == [features[1]]


def test_a_damaged_table_is_made_again_and_a_damaged_input_is_named(equipment):
    counted = Counted()
    chain = chain_with(counted)
    run_all(chain, equipment)
    features = chain.kept_features(equipment)
    (damaged,) = chain.addresses(chain["labels_counted"], equipment, features[:1])
    with open(equipment.store.location(damaged), "r+b") as file:  # noqa: PTH123
        file.truncate(50)
    counted.labelled.clear()
    run_all(chain, equipment)
    assert counted.labelled == features[:1]
    (input_table,) = chain.addresses(chain["example_splits"], equipment, features[:1])
    with open(equipment.store.location(input_table), "r+b") as file:  # noqa: PTH123
        file.truncate(50)
    with pytest.raises(TableError, match=r"example_splits/.* is damaged"):
        run_step(chain, counted.step, equipment, features)


def test_a_step_without_its_input_says_what_it_reads(equipment):
    chain = chain_with(Counted())
    run_step(chain, FEATURE_SAMPLE, equipment)
    features = chain.kept_features(equipment)
    with pytest.raises(TableError, match=r"labels_counted cannot be made .* it reads example_splits"):
        run_step(chain, chain["labels_counted"], equipment, features)
    states = {step.name: {s.state for s in standings} for step, standings in chain.standings(equipment)}
    assert states["labels_counted"] == {State.WAITING}
    assert states["feature_records"] == {State.MISSING}


def test_steps_of_a_family_that_ask_nobody_are_made_one_after_the_other_in_the_callers_thread(equipment):
    first, second = Counted(), Counted(name="labels_too")
    chain = chain_with(first, second)
    for step in list(chain)[:3]:
        run_step(chain, step, equipment, chain.kept_features(equipment) if step.per_feature else ())
    features = chain.kept_features(equipment)
    run_step(chain, chain["labels_too"], equipment, features[:1])
    told = []
    reports = run_steps(
        chain,
        families(chain)["labels"],
        equipment,
        features,
        tell=lambda progress: told.append((progress.step, progress.done, progress.total, progress.unit.feature)),
    )
    assert told == [
        *(("labels_counted", done, len(features), feature) for done, feature in enumerate(features, start=1)),
        *(("labels_too", done, len(features) - 1, feature) for done, feature in enumerate(features[1:], start=1)),
    ]
    assert [report.step for report in reports] == ["labels_counted", "labels_too"]
    assert [list(report.made) for report in reports] == [features, features[1:]]
    assert first.threads == second.threads == {threading.current_thread()}


def upstream_of_labels(chain, equipment):
    for step in list(chain)[:3]:
        run_step(chain, step, equipment, chain.kept_features(equipment) if step.per_feature else ())
    return chain.kept_features(equipment)


def test_fingerprints_of_tables_by_feature_are_what_they_were_when_tables_were_first_stored(equipment):
    chain = chain_with(Counted())
    first = upstream_of_labels(chain, equipment)[0]
    (address,) = chain.addresses(EXAMPLE_SPLITS, equipment, [first])
    expected = {
        "step": "labels_counted",
        "part": None,
        "version": 1,
        "depends_on": {"prompt": "first"},
        "inputs": {f"example_splits/{first}.parquet": equipment.store.entry(address).content_hash},
        "facts": {},
    }
    assert chain.fingerprint(chain["labels_counted"], equipment, first, None) == hash_of(expected)
    assert hash_of({"b": ["é", None], "a": 1.5}) == "f61bb5d1c73366ff8f5768a30941084d"


def test_a_finished_table_is_stored_while_the_next_one_takes_long(equipment):
    counted = Counted()
    chain = chain_with(counted)
    features = upstream_of_labels(chain, equipment)
    seen = []

    def slow(work):
        for place, produced in enumerate(counted.compute(work)):
            yield produced
            if place == 1:
                deadline = time.monotonic() + 30
                while len(seen) < 2 and time.monotonic() < deadline:
                    seen[:] = Equipment(equipment.experiment, equipment.data).store.entries("labels_counted")

    step = replace(counted.step, compute=slow)
    run_step(chain, step, equipment, features)
    assert {address.feature for address in seen} == set(features[:2])


def test_only_what_is_stored_is_told_of_and_all_of_it_whatever_ends_the_work(equipment):
    counted = Counted()
    chain = chain_with(counted)
    features = upstream_of_labels(chain, equipment)
    told = []

    def tell(progress):
        stored = Equipment(equipment.experiment, equipment.data).store.entries("labels_counted")
        assert progress.unit.feature in {address.feature for address in stored}
        told.append(progress.unit.feature)

    def interrupted(work):
        for place, produced in enumerate(counted.compute(work)):
            if place == 3:
                raise KeyboardInterrupt
            yield produced

    with pytest.raises(KeyboardInterrupt):
        run_step(chain, replace(counted.step, compute=interrupted), equipment, features, tell=tell)
    assert told == features[:3]


def test_a_table_that_cannot_be_stored_stops_the_work_and_costs_no_other(equipment):
    counted = Counted()
    chain = chain_with(counted)
    features = upstream_of_labels(chain, equipment)

    def with_a_fault(work):
        for place, (unit, frame) in enumerate(counted.compute(work)):
            yield unit, frame.drop("label") if place == 1 else frame

    with pytest.raises(TableError, match=rf"labels_counted/{features[1]}.parquet is not a Labels table"):
        run_step(chain, replace(counted.step, compute=with_a_fault), equipment, features)
    stored = {address.feature for address in equipment.store.entries("labels_counted")}
    assert features[0] in stored
    assert features[1] not in stored


def test_features_that_are_read_in_batches_are_all_read_and_in_their_order(equipment, monkeypatch):
    counted = Counted()
    chain = chain_with(counted)
    features = upstream_of_labels(chain, equipment)
    monkeypatch.setattr("baez_pipeline.steps.step.FEATURES_AT_ONCE", 3)
    work = Work(equipment=equipment, units=[], features=features, chain=chain)
    batches = list(work.in_batches())
    assert [list(batch.features) for batch in batches] == [features[:3], features[3:]]
    columns = ["feature", "rank"]
    whole = work.read("example_splits", columns=columns)
    assert pl.concat(batch.read("example_splits", columns=columns) for batch in batches).equals(whole)
    assert work.read("example_splits").select(columns).equals(whole)


def test_a_step_that_names_no_family_is_one_by_itself():
    chain = chain_with(Counted(), Counted(name="labels_too"))
    assert {name: [step.name for step in steps] for name, steps in families(chain).items()} == {
        "feature_sample": ["feature_sample"],
        "feature_records": ["feature_records"],
        "example_splits": ["example_splits"],
        "labels": ["labels_counted", "labels_too"],
    }
