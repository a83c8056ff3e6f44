import polars as pl
import pytest

from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import Controls, Sample, Split
from baez_pipeline.features import LocalSae, draw_roster
from baez_pipeline.features.sampling import partners_of
from baez_pipeline_tests.tiny_sae import WIDTH, WORDS, write_tiny_sae


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return LocalSae.open(write_tiny_sae(tmp_path_factory.mktemp("sae"), dead={1, 5, 9}, rare={2, 6}))


def roster(source, seed=7, controls=None, split=None, **sample):
    sample = Sample(**{"features": 5, "donors": 12, **sample})
    return draw_roster(source, sample, controls or Controls(), split or Split(), seed=seed)


def test_every_draw_is_kept_with_its_reason(source):
    drawn = roster(source, features=35).filter(pool="sampled")
    assert drawn["draw"].to_list() == list(range(drawn.height))
    by_index = dict(drawn.select("feature_index", "outcome").iter_rows())
    assert {by_index[i] for i in {1, 5, 9} & set(by_index)} == {"dead"}
    assert {by_index[i] for i in {2, 6} & set(by_index)} == {"too_few_examples"}
    missed = drawn.filter(pl.col("outcome") != "kept")
    assert missed.height >= 4
    assert missed["detail"].null_count() == 0
    assert missed["donors"].null_count() == missed["partners"].null_count() == missed.height


def test_asking_for_more_features_moves_neither_the_earlier_ones_nor_their_donors_nor_the_planted(source):
    few, many = roster(source, features=5), roster(source, features=20)
    earlier = few.filter(pool="sampled")
    assert many.filter(pool="sampled").head(earlier.height).drop("partners").equals(earlier.drop("partners"))
    assert few.filter(pool="donor").equals(many.filter(pool="donor"))
    assert few.filter(pool="planted", outcome="kept").height == 2
    assert few.filter(pool="planted").equals(many.filter(pool="planted"))


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


def test_a_feature_whose_documents_cannot_be_kept_apart_is_drawn_and_rejected(tmp_path):
    folder = write_tiny_sae(tmp_path)
    rows = pl.read_parquet(folder / "activations-0.parquet")
    in_one = pl.col("index").is_in(["3", "4"])
    document = pl.when(in_one).then(pl.lit("tiny: the only one")).otherwise("dataIndex")
    rows.with_columns(dataSource=document).write_parquet(folder / "activations-0.parquet")
    source = LocalSae.open(folder)
    drawn = roster(source, features=WIDTH - 2, donors=WIDTH)
    rejected = drawn.filter(pool="sampled", outcome="too_few_examples")
    assert set(rejected["feature_index"]) <= {3, 4}
    assert not {3, 4} & set(drawn.filter(pool="sampled", outcome="kept")["feature_index"])
    assert all("20 distinct activating examples, from 1 document" in detail for detail in rejected["detail"])
    # A donor lends texts, and is not split.
    assert {3, 4} <= set(drawn.filter(pool="donor", outcome="kept")["feature_index"])
    shared = roster(source, features=WIDTH, split=Split(documents="shared"))
    assert shared.filter(pool="sampled", outcome="kept").height == WIDTH


def test_planted_features_stand_in_the_roster_with_rule_label_donors_and_partners(source):
    drawn = roster(source)
    planted = drawn.filter(pool="planted")
    kept = planted.filter(outcome="kept")
    assert kept["feature"].to_list() == ["planted-keyword_000001", "planted-keyword_000002"]
    assert set(kept["right_label"]) < {f'the word "{word}"' for word in WORDS}
    assert [sorted(donors) for donors in kept["donors"]] == [
        sorted(drawn.filter(pool="donor", outcome="kept")["feature_index"])
    ] * 2
    assert [partners.to_list() for partners in kept["partners"]] == [[key] for key in kept["feature"].reverse()]
    left_out = planted.filter(pl.col("outcome") != "kept")
    assert set(left_out["planted"]) == {"bigram", "topic", "next_token", "opening_delimiter", "mixture"}
    assert left_out["detail"].null_count() == 0


def test_texts_in_which_nothing_can_be_planted_are_a_sentence(source):
    with pytest.raises(SourceError, match=r"Fewer than two features .* be planted in the 40 contexts .* donors"):
        roster(source, donors=2)


def test_partners_are_of_the_same_pool_and_nobody_is_the_partner_of_two(source):
    kept = roster(source, features=9, controls=Controls(shuffles=3)).filter(pl.col("pool") != "donor", outcome="kept")
    for _, pool in kept.group_by("pool"):
        assert set(pool["partners"].list.len()) == {3}
        assert set(pool["partners"].list.n_unique()) == {min(3, pool.height - 1)}
        for shuffle in range(3):
            partners = pool["partners"].list.get(shuffle)
            assert sorted(partners) == sorted(pool["feature"])
            assert not any(partners == pool["feature"])


def test_one_feature_more_changes_the_kth_partner_of_k_others():
    features = [f"feature {number}" for number in range(30)]
    before, after = (partners_of(names, shuffles=4, seed=3) for names in (features[:-1], features))
    for shuffle in range(4):
        changed = [name for name in features[:-1] if before[name][shuffle] != after[name][shuffle]]
        assert len(changed) == shuffle + 1
        assert [after[name][shuffle] for name in changed].count(features[-1]) == 1


def test_two_features_are_each_others_only_partner():
    assert partners_of(["one", "other"], shuffles=2, seed=0) == {"one": ["other"] * 2, "other": ["one"] * 2}


def test_a_feature_that_is_alone_has_no_partner():
    assert partners_of(["alone"], shuffles=2, seed=0) == {"alone": []}
