"""The steps of the tier protocol on a tiny SAE, with the real embedder."""

import polars as pl
import pytest

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Controls, Experiment, LocalSaeSource, Negatives, Sample, Split, Tiers
from baez_pipeline.features.roster import IS_PLANTED
from baez_pipeline.steps import Chain, State, build_chain, run_step
from baez_pipeline.tables import CorrelationScores, FeatureTiers
from baez_pipeline.tiers.routing import route
from baez_pipeline_tests.tiny_sae import write_tiny_sae

NAMES = ("feature_sample", "feature_records", "correlation_scores", "feature_tiers")
SETTINGS = Tiers(window=1, examples=6, shifts=2)


def experiment_of(folder, *, features=2, tiers=SETTINGS):
    return Experiment(
        name="tiny",
        source=LocalSaeSource(path=folder / "sae"),
        sample=Sample(features=features, donors=2, minimum_examples=8),
        split=Split(train=2, test=2, negatives=Negatives(random=1, hard=0, other_peak=0)),
        controls=Controls(planted_per_kind=2),
        tiers=tiers,
    )


def run(experiment, folder):
    """The chain, a new process's equipment, and which features each step made."""
    equipment = Equipment(experiment, str(folder / "data"))
    whole = build_chain(experiment)
    chain = Chain([whole[name] for name in NAMES])
    made = {}
    for step in chain:
        features = chain.kept_features(equipment) if step.per_feature else ()
        made[step.name] = set(run_step(chain, step, equipment, features).made)
    return chain, equipment, made


def table(chain, equipment, name):
    features = chain.kept_features(equipment)
    return equipment.store.read(chain.addresses(chain[name], equipment, features), schema=chain[name].schema)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Two features, then three."""
    folder = tmp_path_factory.mktemp("tiers")
    write_tiny_sae(folder / "sae")
    chain, equipment, _ = run(experiment_of(folder), folder)
    before = {name: table(chain, equipment, name) for name in NAMES[2:]}
    return before, *run(experiment_of(folder, features=3), folder), folder


def test_every_feature_gets_scores_and_a_tier(ran):
    _, chain, equipment, _, _ = ran
    scores, tiers = (table(chain, equipment, name) for name in NAMES[2:])
    kept = chain.kept_features(equipment)
    assert scores.select("feature", "window").sort("feature").height == 3 * len(kept)
    assert tiers["feature"].to_list() == kept
    assert CorrelationScores.is_valid(scores)
    assert FeatureTiers.is_valid(tiers)


def test_a_feature_more_leaves_the_others_scores_as_they_were(ran):
    before, chain, equipment, made, _ = ran
    after = table(chain, equipment, "correlation_scores")
    known = before["correlation_scores"]["feature"].unique().to_list()
    assert after.filter(pl.col("feature").is_in(known)).equals(before["correlation_scores"])
    (added,) = made["correlation_scores"]
    assert added not in known
    assert made["feature_tiers"] == {None}


def test_planted_features_are_routed_by_themselves(ran):
    _, chain, equipment, _, _ = ran
    scores, tiers = (table(chain, equipment, name) for name in NAMES[2:])
    for pool in (IS_PLANTED, ~IS_PLANTED):
        assert tiers.filter(pool).equals(route(scores.filter(pool), SETTINGS))
    assert tiers.filter(IS_PLANTED).height == 2


def test_a_planted_keyword_is_of_tier_one_by_its_input_window(ran):
    _, chain, equipment, _, _ = ran
    planted = table(chain, equipment, "feature_tiers").filter(IS_PLANTED)
    assert planted["tier"].to_list() == [1, 1]
    assert planted["window"].to_list() == ["input", "input"]


def test_another_mode_routes_anew_and_scores_nothing_anew(ran):
    *_, folder = ran
    article = SETTINGS.model_copy(update={"mode": "article", "tau": 0.5})
    experiment = experiment_of(folder, features=3, tiers=article)
    equipment = Equipment(experiment, str(folder / "data"))
    chain = Chain([build_chain(experiment)[name] for name in NAMES])
    states = {step.name: {found.state for found in standings} for step, standings in chain.standings(equipment)}
    assert states["correlation_scores"] == {State.FRESH}
    assert states["feature_tiers"] == {State.STALE}


def test_the_page_of_the_tiers_counts_them(ran):
    _, chain, equipment, _, _ = ran
    shown = chain["feature_tiers"].markdown(equipment).splitlines()
    assert shown[0] == "| tier | features | share |"
    assert sum(int(line.split("|")[2]) for line in shown[2:]) == len(chain.kept_features(equipment))


def test_without_a_table_tiers_there_are_no_such_steps(tmp_path):
    names = {step.name for step in build_chain(experiment_of(tmp_path, tiers=None))}
    assert not names & {"correlation_scores", "feature_tiers"}
