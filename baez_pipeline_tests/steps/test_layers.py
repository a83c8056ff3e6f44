"""Features of two shipped layers from the draw to the end of the command, with the real embedder."""

import polars as pl
import pytest

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import load_experiment
from baez_pipeline.features.roster import IS_PLANTED
from baez_pipeline.steps import State, build_chain, run_step

FILE = """
name = "two_layers"
source = { kind = "local_sae", layers = [1, 25] }
sample = { features = 5, donors = 20, minimum_examples = 15 }
split = { train = 2, test = 2, negatives = { random = 1, hard = 0, other_peak = 0 } }
controls = { planted_per_kind = 1 }
tiers = { window = 2, examples = 6, shifts = 2 }
statistics = { resamples = 100 }
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The experiment file, and its equipment after the last step."""
    folder = tmp_path_factory.mktemp("layers")
    file = folder / "two_layers.toml"
    file.write_text(FILE)
    equipment = Equipment(load_experiment(str(file)), str(folder / "data"))
    chain = build_chain(equipment.experiment)
    for step in chain:
        run_step(chain, step, equipment, chain.kept_features(equipment) if step.per_feature else ())
    return file, chain, equipment


@pytest.fixture
def told(ran, baez, monkeypatch):
    """What a command says of the experiment."""
    file, _, equipment = ran
    monkeypatch.setenv("BAEZ_DATA", equipment.data)
    return lambda *command: baez(*command, str(file))


def read(ran, name):
    _, chain, equipment = ran
    features = chain.kept_features(equipment)
    return equipment.store.read(chain.addresses(chain[name], equipment, features), schema=chain[name].schema)


def test_every_real_feature_counts_in_one_layer_and_planted_ones_in_none(ran):
    counts = read(ran, "layer_profile").filter(measure="input", among="all")
    assert counts["layer"].to_list() == [1, 25]
    assert counts["n_features"].sum() == read(ran, "feature_tiers").filter(~IS_PLANTED).height == 5


def test_no_step_of_the_chain_writes_labels(ran):
    _, chain, equipment = ran
    assert [step.name for step in chain if not step.per_feature] == [
        "feature_sample",
        "feature_tiers",
        "layer_profile",
        "layer_trends",
        "layer_report",
    ]
    assert {standing.state for _, found in chain.standings(equipment) for standing in found} == {State.FRESH}


def test_dagster_shows_the_tables_at_first_sight(ran):
    _, chain, equipment = ran
    assert "| layer | features | input | output |" in chain["layer_profile"].markdown(equipment)
    assert "| measure | change | rho |" in chain["layer_trends"].markdown(equipment)


def test_the_report_prints_tables_verdict_and_where_the_picture_is(told, ran):
    code, said = told("report")
    assert code == 0
    assert "Share of all features (95 % intervals)" in said
    assert "that input gives way to output is" in said
    picture = ran[2].store.read_page("layer_profile.png")
    assert picture.startswith(b"\x89PNG") and said.endswith("layer_profile.png")
    pages = read(ran, "layer_report")
    assert pages.filter(pl.col("page") == "layer_profile.png")["bytes"].item() == len(picture)


@pytest.mark.parametrize("command", ["export", "plan"])
def test_a_command_about_labels_says_that_there_are_none(told, command):
    code, said = told(command)
    assert (code, "Traceback" in said) == (1, False)
    assert "two_layers sorts features of several layers into tiers and labels none" in said


def test_a_check_asks_for_nothing_that_only_labels_need(told):
    code, said = told("check")
    assert code == 0
    assert "layers-topk-res-2k" in said
    assert "verbalizer" not in said and "label writer" not in said
