import polars as pl
import pytest

from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import Sample
from baez_pipeline.features import LocalSae, draw_roster
from baez_pipeline_tests.tiny_sae import WIDTH, write_tiny_sae


@pytest.fixture
def source(tmp_path):
    return LocalSae.open(write_tiny_sae(tmp_path, dead={1, 5, 9}, rare={2, 6}))


def roster(source, seed=7, **sample):
    return draw_roster(source, Sample(**{"features": 5, "donors": 12, **sample}), seed=seed)


def test_every_draw_is_kept_with_its_reason(source):
    drawn = roster(source, features=35).filter(pool="sampled")
    assert drawn["draw"].to_list() == list(range(drawn.height))
    by_index = dict(drawn.select("feature_index", "outcome").iter_rows())
    assert {by_index[i] for i in {1, 5, 9} & set(by_index)} == {"dead"}
    assert {by_index[i] for i in {2, 6} & set(by_index)} == {"too_few_examples"}
    missed = drawn.filter(pl.col("outcome") != "kept")
    assert missed.height >= 4
    assert missed["detail"].null_count() == 0
    assert missed["donors"].null_count() == missed.height


def test_asking_for_more_features_moves_neither_the_earlier_ones_nor_their_donors(source):
    few, many = roster(source, features=5), roster(source, features=20)
    earlier = few.filter(pool="sampled")
    assert many.filter(pool="sampled").head(earlier.height).equals(earlier)
    assert few.filter(pool="donor").equals(many.filter(pool="donor"))


def test_the_seed_decides_the_draw(source):
    assert roster(source).equals(roster(source))
    assert not roster(source, seed=8).equals(roster(source))


def test_a_feature_is_never_its_own_donor(source):
    for row in roster(source, features=20).filter(pool="sampled", outcome="kept").iter_rows(named=True):
        assert row["feature_index"] not in row["donors"]
        assert len(row["donors"]) >= 11


def test_draws_come_from_the_whole_width(source):
    drawn = roster(source, features=WIDTH - 5).filter(pool="sampled")
    assert set(drawn.filter(outcome="kept")["feature_index"]) == set(range(WIDTH)) - {1, 5, 9, 2, 6}


def test_too_few_usable_features_is_a_sentence(source):
    with pytest.raises(SourceError, match=r"only 35 features with at least 15 .* asks for 36"):
        roster(source, features=36)
