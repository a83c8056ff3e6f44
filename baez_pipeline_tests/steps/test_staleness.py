"""What a changed setting and a changed row make stale: exactly the tables that they can change (design, decision 5)."""

import shutil

import polars as pl
import pytest

from baez_pipeline.experiment import Experiment
from baez_pipeline.orchestration.events import code_version
from baez_pipeline.steps import State, build_chain
from baez_pipeline.steps.step import units
from baez_pipeline.steps.survey import Survey
from baez_pipeline.steps.tier_labels import review_address
from baez_pipeline.store import Address, Store
from baez_pipeline.tables import FeatureRecords, ReviewedLabels
from baez_pipeline_tests.neuronpedia_server import FakeNeuronpedia, write_export
from baez_pipeline_tests.steps.made_up_store import PLANTED, REAL, equipment_of, fill, rewrite, roster
from baez_pipeline_tests.steps.settings_changed import BASE, at_place, kinds, leaves, with_settings
from baez_pipeline_tests.steps.staleness_rows import OTHER_PARTS, ROWS, SEVERAL_LAYERS, WITHOUT_ROW
from baez_pipeline_tests.tiny_sae import write_tiny_sae

LABELS = ("labels_baez", "labels_eleuther_acts_top5", "labels_tiers")
BENCHMARKS = ("detection", "fuzz_random", "embedding")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The made-up store of all steps that the rows know, and what their paths name."""
    folder = tmp_path_factory.mktemp("staleness")
    for name in ("av", "av2", "ar", "subject", "subject2"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(name)
    write_tiny_sae(folder / "sae")
    for name, width in (("export", 20), ("export2", 30)):
        write_export(folder / name, FakeNeuronpedia(width=width), [list(range(width))]).rename(
            folder / f"{name}_source"
        )
    for settings in (BASE, merged(BASE, SEVERAL_LAYERS)):
        fill(equipment_of(Experiment.model_validate(settings), str(folder)))
    return folder


def merged(settings, changes):
    for place, value in changes.items():
        settings = with_settings(settings, {}, place, value)
    return settings


@pytest.fixture(scope="module")
def fingerprints(folder):
    """Settings -> step -> feature and part -> fingerprint, over the made-up store; and the steps' code versions."""
    store, found = Store(str(folder), BASE["name"]), {}

    def of(settings):
        equipment = equipment_of(Experiment.model_validate(settings), str(folder))
        equipment.store = store
        chain = build_chain(equipment.experiment)
        survey = Survey(chain, equipment)
        prints = {
            step.name: {unit: survey.fingerprint(step, unit) for unit in units(step, equipment, [*REAL, *PLANTED])}
            for step in chain
        }
        return prints, {step.name: code_version(step, equipment) for step in chain}

    return lambda settings: found.get(repr(settings)) or found.setdefault(repr(settings), of(settings))


def before_and_after(places, folder):
    kinds_of = kinds(folder)
    before = merged(at_place(BASE, kinds_of, places[0]), ROWS[places[0]].before)
    after = before
    for place in places:
        after = with_settings(merged(after, ROWS[place].along), kinds_of, place, in_folder(ROWS[place].value, folder))
    return before, after


def changed_together():
    """Each setting by itself, but those of one table that change nothing together."""
    alone, together = [], {}
    for place, row in ROWS.items():
        if row.stale or row.before:
            alone.append([place])
        else:
            together.setdefault(place.rpartition(".")[0], []).append(place)
    return alone + list(together.values())


def in_folder(value, folder):
    if isinstance(value, dict):
        return {name: in_folder(each, folder) for name, each in value.items()}
    return value.replace("{folder}", str(folder)) if isinstance(value, str) else value


def test_every_setting_of_the_experiment_file_has_a_row():
    assert set(ROWS) | WITHOUT_ROW == set(leaves())


@pytest.mark.parametrize("places", changed_together(), ids=" ".join)
def test_a_changed_setting_concerns_exactly_the_steps_that_it_can_change(places, folder, fingerprints):
    before, after = before_and_after(places, folder)
    expected = ROWS[places[0]].stale
    assert Experiment.model_validate(before) != Experiment.model_validate(after)
    (prints, versions), (new_prints, new_versions) = fingerprints(before), fingerprints(after)
    assert all(of_step.values() for of_step in [*prints.values(), *new_prints.values()])
    both = prints.keys() & new_prints.keys()
    changed = {
        step: {unit for unit in prints[step].keys() & new_prints[step] if prints[step][unit] != new_prints[step][unit]}
        for step in both
    }
    assert {step for step in both if changed[step]} == expected
    # A setting concerns a step with all its parts, whether or not a feature has them.
    assert all(changed[step] == prints[step].keys() & new_prints[step] for step in both if changed[step])
    if not OTHER_PARTS.intersection(places):
        assert {step for step in both if versions[step] != new_versions[step]} == expected


OWN_PROMPTS = {"labeling.prompts": "own", "ablation": None}
RESULTS = {
    *("feature_scores", "metric_sanity", "benchmark_verdicts", "chance_comparison", "feature_claims"),
    *("scores_by_negatives", "decile_curves", "reliability", "benchmark_agreement", "score_summary"),
    *("method_comparison", "tier_costs", "tier_report", "most_distant_report", "feature_pages", "experiment_report"),
}
"""What follows from any score."""
OF_LABELS = {"label_specificity", "label_distances"}
"""What follows from labels without being scored."""
OF_TIERS = {
    "labels_tiers",
    *(f"scores_{benchmark}/{part}" for benchmark in BENCHMARKS for part in ("tiers", "tiers.shuffled_1")),
}
ALL_PARTS = [
    *(f"{method}{of}" for method in ("baez", "eleuther_acts_top5", "tiers", "right") for of in ("", ".shuffled_1")),
    *("generic", "empty"),
]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    fill(equipment_of(own_prompts(), str(folder)))
    return folder


@pytest.fixture
def copied(stored, tmp_path):
    """A copy to write to."""
    shutil.copytree(stored, tmp_path, dirs_exist_ok=True)
    return equipment_of(own_prompts(), str(tmp_path))


def own_prompts(**changes):
    return Experiment.model_validate(merged(BASE, OWN_PROMPTS | changes))


def stale(equipment, *features):
    """`step`, or `step/part`, of what is not fresh: of any feature, or of those given and over all of them."""
    return {
        "/".join(filter(None, (step.name, found.part)))
        for step, standings in build_chain(equipment.experiment).standings(equipment)
        for found in standings
        if found.state is not State.FRESH and (not features or found.feature in (*features, None))
    }


def scores(parts, benchmarks=BENCHMARKS):
    return {f"scores_{benchmark}/{part}" for benchmark in benchmarks for part in parts}


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        # The own prompt of baez says how long a label may be, that of eleuther_acts_top5 does not.
        (
            "labeling.maximum_words",
            7,
            {"labels_baez", *scores(["baez", "baez.shuffled_1"]), *RESULTS, *OF_LABELS},
        ),
        (
            "scoring.judge",
            {"kind": "smollm2_likelihood", "examples_per_prompt": 5},
            {*scores(ALL_PARTS, ["detection", "fuzz_random"]), *RESULTS},
        ),
        ("scoring.embedder", {"prompt": "delphi"}, {*scores(ALL_PARTS, ["embedding"]), *RESULTS}),
        ("statistics", {"margin": 0.03}, RESULTS - {"feature_scores"} | {"label_specificity"}),
        ("budget", {"max_usd": 3.0}, set()),
    ],
)
def test_what_follows_from_a_stale_table_is_stale_and_nothing_else(stored, setting, value, expected):
    assert stale(equipment_of(own_prompts(), str(stored))) == set()
    assert stale(equipment_of(own_prompts(**{setting: value}), str(stored))) == expected


def test_a_changed_record_makes_its_own_feature_stale_and_controls_that_are_judged_with_its_label(copied):
    feature, partner = REAL
    said = dict.fromkeys(["modelId", "layer", "index"], "1") | {"feature": feature, "activations": []}
    record = pl.DataFrame([said], schema=FeatureRecords.create_empty().schema)
    rewrite(copied, Address(table="feature_records", feature=feature), record)
    over_all = {"feature_tiers", *RESULTS, *OF_LABELS}
    of_feature = {"example_splits", "nla_explanations", "correlation_scores", *LABELS}
    own_parts = [part for part in ALL_PARTS if not part.startswith("right")]
    assert stale(copied, feature) == {*of_feature, *scores(own_parts), *over_all}
    # Whose tier is what follows from all features.
    shuffled = scores(["baez.shuffled_1", "eleuther_acts_top5.shuffled_1"])
    assert stale(copied, partner) == {*shuffled, *OF_TIERS, *over_all}
    assert stale(copied, *PLANTED) == {*OF_TIERS, *over_all}


def test_a_persons_label_makes_that_label_stale_and_its_scores(copied):
    feature, partner = REAL
    copied.store.write(review_address(feature), ReviewedLabels.create_empty(), schema=ReviewedLabels, fingerprint="")
    over_all = {*RESULTS, *OF_LABELS} - {"label_distances"}
    assert stale(copied, feature) == {"labels_tiers", *scores(["tiers"]), *over_all}
    assert stale(copied, partner) == {*scores(["tiers.shuffled_1"]), *over_all}
    assert stale(copied, *PLANTED) == over_all


def test_a_label_that_is_made_anew_and_comes_out_the_same_leaves_its_scores_fresh(copied):
    changed = equipment_of(own_prompts(**{"labeling.maximum_words": 7}), copied.data)
    chain = build_chain(changed.experiment)
    step = chain["labels_baez"]
    for address in chain.addresses(step, changed, [*REAL, *PLANTED]):
        fingerprint = chain.fingerprint(step, changed, address.feature, address.part)
        changed.store.write(address, step.schema.create_empty(), schema=step.schema, fingerprint=fingerprint)
    assert stale(changed) == set()


def test_a_changed_roster_makes_records_of_features_that_stay_no_staler_than_their_draws(copied):
    rewrite(copied, Address(table="feature_sample"), roster(partners=1).with_columns(n_examples=pl.lit(31)))
    found = stale(copied)
    assert "feature_records" not in found
    assert "example_splits" in found
