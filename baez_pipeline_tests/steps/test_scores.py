"""Whose labels a score table is about: which parts there are, and what makes one of them wait or go stale."""

import dataclasses
import shutil

import polars as pl
import pytest

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Experiment, Labeling, LocalSaeSource, Sample
from baez_pipeline.features.roster import is_planted
from baez_pipeline.steps import Chain, State, Unit, run_step
from baez_pipeline.steps.examples import EXAMPLE_SPLITS, FEATURE_RECORDS, FEATURE_SAMPLE
from baez_pipeline.steps.labels import labels_step
from baez_pipeline.steps.scores import scores_step
from baez_pipeline.tables import JudgedExamples, Labels
from baez_pipeline_tests.tiny_sae import write_tiny_sae

METHODS = ("baez", "eleuther_acts_top5")
SCORES = "scores_embedding"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """An experiment with examples, before any label."""
    folder = tmp_path_factory.mktemp("prepared")
    experiment = Experiment(
        name="tiny",
        source=LocalSaeSource(path=write_tiny_sae(folder / "sae")),
        sample=Sample(features=3, donors=20),
        labeling=Labeling(methods=METHODS),
    )
    chain, equipment = chain_of_scores(), Equipment(experiment, str(folder / "data"))
    for step in (FEATURE_SAMPLE, FEATURE_RECORDS, EXAMPLE_SPLITS):
        run_step(chain, step, equipment, chain.kept_features(equipment) if step.per_feature else ())
    return equipment


@pytest.fixture
def equipment(prepared, tmp_path):
    shutil.copytree(prepared.data, tmp_path / "data")
    return Equipment(prepared.experiment, str(tmp_path / "data"))


def chain_of_scores():
    """The real steps of labels and scores, but for what they compute: all labels are alike, scores have no rows."""

    def labelled(method):
        def compute(work):
            for feature in work.features:
                row = {
                    "feature": feature,
                    "method": method,
                    "label": "a label",
                    "n_shown": 5,
                    "model": "none",
                    "outcome": "ok",
                }
                unsaid = dict.fromkeys(set(Labels.column_names()) - set(row))
                yield Unit(feature), Labels.validate(pl.DataFrame([row | unsaid]), cast=True)

        return dataclasses.replace(labels_step(method), reads=lambda part: ("example_splits",), compute=compute)

    def judged(work):
        for unit in work.units:
            yield unit, JudgedExamples.create_empty()

    scores = dataclasses.replace(scores_step("embedding"), compute=judged)
    return Chain([FEATURE_SAMPLE, FEATURE_RECORDS, EXAMPLE_SPLITS, *map(labelled, METHODS), scores])


def run_all(chain, equipment):
    return {
        step.name: run_step(chain, step, equipment, chain.kept_features(equipment) if step.per_feature else ())
        for step in chain
    }


def units_made(chain, equipment, features):
    """Score tables that a run over the features makes."""
    made = []
    report = run_step(chain, chain[SCORES], equipment, features, tell=lambda progress: made.append(progress.unit))
    assert not report.waiting
    return made


def score_units(chain, equipment, *wanted):
    """Score tables that stand so."""
    standings = {step.name: found for step, found in chain.standings(equipment)}[SCORES]
    return {Unit(found.feature, found.part) for found in standings if found.state in wanted}


def test_every_feature_is_judged_with_all_labels_and_only_planted_ones_with_right_labels(equipment):
    chain = chain_of_scores()
    run_all(chain, equipment)
    kept = chain.kept_features(equipment)
    assert {is_planted(feature) for feature in kept} == {True, False}
    parts = {*METHODS, *(f"{method}.shuffled_1" for method in METHODS), "generic", "empty"}
    with_right = parts | {"right", "right.shuffled_1"}
    assert score_units(chain, equipment, State.FRESH) == {
        Unit(feature, part) for feature in kept for part in (with_right if is_planted(feature) else parts)
    }
    assert not score_units(chain, equipment, State.STALE, State.MISSING, State.WAITING)


def test_a_partners_new_label_makes_exactly_the_shuffled_part_of_the_other_feature_stale(equipment):
    chain = chain_of_scores()
    run_all(chain, equipment)
    first = chain.kept_features(equipment)[0]
    (partner,) = chain.roster(equipment).partners[first]
    (address,) = chain.addresses(chain["labels_baez"], equipment, [partner])
    equipment.store.write(
        address,
        equipment.store.read(address, schema=Labels).with_columns(label=pl.lit("another label")),
        schema=Labels,
        fingerprint=equipment.store.entry(address).fingerprint,
    )
    stale = {Unit(partner, "baez"), Unit(first, "baez.shuffled_1")}
    assert score_units(chain, equipment, State.STALE) == stale
    made = []
    run_step(
        chain,
        chain[SCORES],
        equipment,
        chain.kept_features(equipment),
        tell=lambda progress: made.append(progress.unit),
    )
    assert set(made) == stale
    assert not score_units(chain, equipment, State.STALE, State.MISSING, State.WAITING)


def test_what_needs_a_partners_label_waits_for_it_and_is_made_later(equipment):
    chain = chain_of_scores()
    first, *others = chain.kept_features(equipment)
    for method in METHODS:
        run_step(chain, chain[f"labels_{method}"], equipment, [first])
    report = run_step(chain, chain[SCORES], equipment, [first])
    shuffled = [Unit(first, f"{method}.shuffled_1") for method in METHODS]
    assert report.waiting == shuffled
    assert score_units(chain, equipment, State.FRESH) == {Unit(first, part) for part in (*METHODS, "generic", "empty")}
    for method in METHODS:
        run_step(chain, chain[f"labels_{method}"], equipment, others)
    assert units_made(chain, equipment, [first]) == shuffled


def test_a_changed_right_label_or_partner_in_the_roster_makes_its_own_tables_stale_alone(equipment):
    chain = chain_of_scores()
    run_all(chain, equipment)
    (address,) = chain.addresses(FEATURE_SAMPLE, equipment, [None])
    roster = equipment.store.read(address, schema=FEATURE_SAMPLE.schema)
    planted = next(feature for feature in chain.kept_features(equipment) if is_planted(feature))
    (judged_with_it,) = [
        feature for feature, partners in chain.roster(equipment).partners.items() if partners == [planted]
    ]
    label = pl.when(feature=planted).then(pl.lit("something else")).otherwise("right_label")
    equipment.store.write(
        address,
        roster.with_columns(right_label=label),
        schema=FEATURE_SAMPLE.schema,
        fingerprint=equipment.store.entry(address).fingerprint,
    )
    scores = chain[SCORES]
    stale = {
        Unit(feature, part)
        for feature, part in score_units(chain, equipment, *State)
        if chain.state(scores, equipment, feature, part)[0] is State.STALE
    }
    assert stale == {Unit(planted, "right"), Unit(judged_with_it, "right.shuffled_1")}
