"""Whose variants are judged again when the roster changes: of those features alone of which it says something else."""

import polars as pl
import pytest

from baez_pipeline.experiment import Experiment
from baez_pipeline.steps import State, build_chain
from baez_pipeline.steps.step import Unit
from baez_pipeline.steps.survey import Survey
from baez_pipeline.store import Address
from baez_pipeline_tests.steps.made_up_store import PLANTED, REAL, equipment_of, fill, rewrite, roster
from baez_pipeline_tests.steps.settings_changed import BASE


@pytest.fixture(scope="module")
def stale_with(tmp_path_factory):
    """The features whose variants are judged again with another roster."""
    equipment = equipment_of(Experiment.model_validate(BASE), str(tmp_path_factory.mktemp("data")))
    fill(equipment)
    chain = build_chain(equipment.experiment)

    def found(changed):
        rewrite(equipment, Address(table="feature_sample"), changed)
        survey = Survey(chain, equipment)
        standings = {each: survey.standing(chain["ablation_scores"], Unit(each)).state for each in (*REAL, *PLANTED)}
        assert set(standings.values()) <= {State.FRESH, State.STALE}
        return [feature for feature, state in standings.items() if state is State.STALE]

    return found


def test_one_more_feature_has_no_other_judged_again(stale_with):
    more = roster().filter(feature=REAL[0]).with_columns(feature=pl.lit("l20_000003"), draw=pl.lit(2, pl.Int64))
    assert stale_with(pl.concat([roster(), more])) == []


def test_other_donors_and_another_rule_have_their_features_judged_again(stale_with):
    donors = pl.when(feature=REAL[1]).then(pl.lit([8, 7])).otherwise("donors")
    assert stale_with(roster().with_columns(donors=donors.cast(roster().schema["donors"]))) == [REAL[1]]
    rule = pl.when(feature=PLANTED[0]).then(pl.lit("another")).otherwise("rule")
    assert stale_with(roster().with_columns(rule=rule)) == [PLANTED[0]]


def test_another_donor_has_all_planted_ones_judged_again(stale_with):
    donor = pl.when(pool="donor").then(pl.lit(8)).otherwise("feature_index").cast(pl.Int64)
    assert stale_with(roster().with_columns(feature_index=donor)) == list(PLANTED)
