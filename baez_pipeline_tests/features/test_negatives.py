import functools

import polars as pl
import pytest

from baez_pipeline.experiment import Split
from baez_pipeline.features import LocalSae
from baez_pipeline_tests.features.records import active, negatives_of, row, silent, with_rows, write_source
from baez_pipeline_tests.tiny_sae import write_tiny_sae

DONORS = (4, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17)
CANNOT_TELL = {"is_silent": lambda context: None}


@pytest.fixture
def source(tmp_path):
    return LocalSae.open(write_tiny_sae(tmp_path))


def split(*, train=5, test=10, window=32, **negatives):
    kinds = {"random": 0, "hard": 0, "other_peak": 0}
    return Split(train=train, test=test, window=window, negatives=kinds | negatives)


def with_silent(source, *rows):
    return with_rows(source.record(3), lambda there: [*there, *rows])


def names(negatives, kind=None):
    return (negatives if kind is None else negatives.filter(negative_kind=kind))["example"].to_list()


# other_peak: donors' examples


def test_other_peaks_are_donors_examples_around_their_peaks_one_per_donor(source):
    negatives = negatives_of(source, 3, DONORS, split(other_peak=10))
    assert negatives["donor_index"].to_list() == [4, 7, 8, 10, 11, 12, 13, 14, 15, 16]
    assert negatives["negative_kind"].unique().to_list() == ["other_peak"]
    assert negatives["peak_position"].unique().to_list() == [30]
    assert negatives["peak_activation"].to_list() == negatives["donor_activations"].list.max().to_list()
    assert negatives["activations"].list.max().to_list() == [0.0] * 10
    assert negatives["window_start"].unique().to_list() == [6]


def test_a_context_in_which_the_feature_is_active_is_left_out(source):
    # Feature 3 is active in 4-0, which only the bitmap tells.
    every = negatives_of(source, 3, (4, 7), split(random=60))
    assert "4-0" not in names(every)
    assert every.height == 39
    assert every["silent"].all()


def test_without_verification_nothing_is_asked_and_nothing_left_out(source):
    def asked(context):
        raise AssertionError(context)

    negatives = negatives_of(source, 3, (4, 7), split(random=60, verified_silent=False), is_silent=asked)
    assert "4-0" in names(negatives)
    assert negatives.height == 40
    assert negatives["silent"].null_count() == 40


def test_adding_donors_behind_does_not_move_random_and_other_peaks(source):
    asked = split(random=5, other_peak=5)
    assert negatives_of(source, 3, DONORS[:10], asked).equals(negatives_of(source, 3, DONORS, asked))


# random: the own record's silent contexts, then donors'


def test_own_silent_contexts_come_first_among_the_random_ones(source):
    record = with_silent(source, *(silent(f"z{i}") for i in range(7)))
    negatives = negatives_of(source, 3, DONORS, split(random=10, other_peak=2), record=record)
    own, lent = negatives.head(7), negatives.filter(negative_kind="random").tail(3)
    assert sorted(names(own)) == [f"z{i}" for i in range(7)]
    assert own["donor_index"].null_count() == own["donor_activations"].null_count() == 7
    assert own["silent"].all()
    assert own["peak_activation"].to_list() == [0.0] * 7
    assert lent["donor_index"].to_list() == [4, 7, 8]
    assert negatives["rank"].to_list() == list(range(1, 13))
    assert negatives["negative_kind"].to_list() == ["random"] * 10 + ["other_peak"] * 2


def test_each_donor_lends_one_random_context_before_any_lends_a_second(source):
    negatives = negatives_of(source, 3, (7, 8, 10), split(random=7))
    assert negatives["donor_index"].to_list() == [7, 8, 10, 7, 8, 10, 7]
    assert negatives["example"].n_unique() == 7


def test_a_random_place_is_drawn_among_words_at_which_the_donor_is_silent_too(source):
    record = with_silent(source, *(silent(f"z{i}", count=90) for i in range(5)))

    def places(seed):
        drawn = negatives_of(source, 3, DONORS, split(random=40), record=record, seed=seed)
        return dict(drawn.select("example", "peak_position").iter_rows())

    assert places(0) == places(0)
    shared = places(0).keys() & places(1).keys()
    assert sum(places(0)[name] != places(1)[name] for name in shared) > len(shared) / 2
    assert len(set(places(0).values())) > 15
    # Neither the BOS nor the donor's peak.
    assert not {0, 30} & {place for name, place in places(0).items() if not name.startswith("z")}
    assert 0 not in places(0).values()


def test_a_donor_that_is_active_everywhere_is_shown_away_from_its_peak(tmp_path):
    dense = row("dense", ["<bos>", " a", " b", " c"], [1.0, 5.0, 9.0, 2.0])
    source = write_source(tmp_path, {0: [active(f"e{i}", 9.0 - i) for i in range(3)], 1: [dense]})
    for seed in range(6):
        negatives = negatives_of(source, 0, (1,), split(train=1, test=2, random=1), seed=seed)
        assert negatives["peak_position"].item() in (1, 3)
        assert negatives["peak_activation"].item() in (5.0, 2.0)


def test_the_places_of_a_whole_context_are_drawn_too(source):
    negatives = negatives_of(source, 3, DONORS, split(random=10, window="whole"))
    assert negatives["peak_position"].n_unique() > 4
    assert negatives.select("window_start", "window_end").unique().rows() == [(1, 40)]


# hard: like the examples in their words


@pytest.fixture
def kitchen(tmp_path):
    """Feature 0 is active where there is butter in a recipe. Feature 1, a donor, has recipes and railways."""

    def text(*parts):
        return ["<bos>", *(token for part in parts for token in part)]

    def filler(name, count):
        return [f" {name}{i}" for i in range(count)]

    recipe = [" whisk", " flour", " sugar", " oven", " dough"]
    examples = [
        active(
            f"butter{i}", 9.0 - i, tokens=text(filler(f"b{i}x", 20), recipe, [" butter"], filler(f"b{i}y", 9)), place=26
        )
        for i in range(3)
    ]
    lent = [
        active("recipe at the end", 8.0, tokens=text(filler("p", 110), recipe, filler("q", 4)), place=3),
        active("recipe at the start", 7.0, tokens=text(filler("r", 4), recipe, filler("s", 110)), place=90),
        active("butter again", 6.0, tokens=text(filler("t", 40), recipe, [" butter"], filler("u", 60)), place=3),
        *(active(f"railway{i}", 5.0, tokens=text(filler(f"v{i}w", 90))) for i in range(20)),
    ]
    return write_source(tmp_path, {0: examples, 1: lent}, also_active=[(0, "butter again")])


def test_hard_ones_are_the_silent_contexts_that_share_most_words_with_the_examples(kitchen):
    negatives = negatives_of(kitchen, 0, (1,), split(train=1, test=2, hard=2, random=3))
    assert set(names(negatives, "hard")) == {"recipe at the end", "recipe at the start"}
    assert negatives["silent"].all()
    assert all(name.startswith("railway") or "recipe" in name for name in names(negatives))


def test_a_hard_context_is_shown_around_what_makes_it_like_the_examples(kitchen):
    hard = negatives_of(kitchen, 0, (1,), split(train=1, test=2, hard=2))
    for shown in hard.iter_rows(named=True):
        assert {" whisk", " dough"} <= set(shown["tokens"][shown["window_start"] : shown["window_end"]])
    assert hard["window_start"].n_unique() == 2
    whole = negatives_of(kitchen, 0, (1,), split(train=1, test=2, hard=2, window="whole"))
    assert names(whole) == names(hard)
    assert whole["window_start"].to_list() == [1, 1]


def test_own_silent_contexts_are_hard_ones_if_they_are_like_the_examples(kitchen):
    tokens = ["<bos>", " whisk", " flour", " sugar", " oven", " dough", " butter", " margarine"]
    record = with_rows(kitchen.record(0), lambda rows: [*rows, silent("own", tokens=tokens), silent("unlike")])
    hard = negatives_of(kitchen, 0, (1,), split(train=1, test=2, hard=1), record=record)
    assert hard.select("example", "donor_index", "silent").row(0) == ("own", None, True)


def test_no_hard_one_where_silence_cannot_be_told(kitchen):
    negatives = negatives_of(kitchen, 0, (1,), split(train=1, test=2, hard=2), **CANNOT_TELL)
    assert negatives["negative_kind"].to_list() == ["random", "random"]
    assert negatives["silent"].null_count() == 2


def test_what_shares_no_word_is_not_hard(tmp_path):
    rows_of = {feature: [active(f"{feature}-{i}", 9.0 - i) for i in range(4)] for feature in (0, 1)}
    negatives = negatives_of(write_source(tmp_path, rows_of), 0, (1,), split(train=1, test=2, hard=3))
    assert negatives["negative_kind"].to_list() == ["random"] * 3


def test_the_donors_order_does_not_matter_to_the_hard_ones(kitchen):
    one = negatives_of(kitchen, 0, (1, 2), split(train=1, test=2, hard=2))
    assert one.equals(negatives_of(kitchen, 0, (2, 1), split(train=1, test=2, hard=2)))


# All kinds together


def test_a_context_that_is_verified_comes_before_one_that_is_not(source):
    known = {"8-3", "10-5"}
    negatives = negatives_of(
        source, 3, DONORS, split(random=3, other_peak=2), is_silent=lambda name: True if name in known else None
    )
    assert set(names(negatives, "random")[:2]) == known
    assert negatives["silent"].to_list() == [True, True, None, None, None]
    assert len(names(negatives, "other_peak")) == 2


def test_unverified_ones_are_used_where_there_is_nothing_else_and_say_so(source):
    negatives = negatives_of(source, 3, DONORS, split(random=2, other_peak=3), **CANNOT_TELL)
    assert negatives["negative_kind"].to_list() == ["random"] * 2 + ["other_peak"] * 3
    assert negatives["silent"].null_count() == 5


def test_random_ones_make_up_for_a_kind_that_runs_short(source):
    negatives = negatives_of(source, 3, (7, 8), split(random=1, other_peak=5))
    assert negatives["negative_kind"].to_list() == ["random"] * 4 + ["other_peak"] * 2
    assert negatives["example"].n_unique() == 6


def test_fewer_contexts_than_asked_for_give_fewer_negatives_and_no_donor_none(source):
    assert negatives_of(source, 3, (7,), split(random=25)).height == 20
    assert negatives_of(source, 3, (), split(random=3, hard=3, other_peak=3)).is_empty()
    own = with_silent(source, silent("z0"))
    assert names(negatives_of(source, 3, (), split(random=1, hard=3), record=own)) == ["z0"]


def test_no_text_is_shown_twice_by_whomever_it_is_lent(tmp_path):
    shared = [active(f"s{i}", 5.0) for i in range(4)]
    again = [
        {**shared[0], "dataIndex": "copy"},
        {**shared[1], "tokens": shared[1]["tokens"][10:] + shared[1]["tokens"][:10]},
    ]
    rows_of = {0: [active(f"e{i}", 9.0 - i) for i in range(3)], 1: shared, 2: [*shared, *again], 3: shared}
    source = write_source(tmp_path, rows_of)
    negatives = negatives_of(source, 0, (1, 2, 3), split(train=1, test=2, random=5, other_peak=3))
    assert negatives.height == 4
    assert negatives["tokens"].n_unique() == 4


def test_a_donor_does_not_lend_a_text_of_the_feature_itself(source):
    donor_rows = source.record(4)["activations"][0].to_list()
    record = with_rows(
        source.record(3),
        lambda rows: [*rows[:16], *({**row, "dataIndex": f"own-{i}"} for i, row in enumerate(donor_rows))],
    )
    for asked in (split(other_peak=10), split(random=30), split(random=30, verified_silent=False)):
        assert 4 not in negatives_of(source, 3, DONORS, asked, record=record)["donor_index"].to_list()


def test_a_shown_window_that_lies_in_a_text_of_the_feature_is_none_of_its_negatives(tmp_path):
    own = active("own", 9.0)
    longer = active("longer", 5.0, tokens=[*own["tokens"], *(f" more{i}" for i in range(60))])
    source = write_source(tmp_path, {0: [own, active("e", 8.0), active("f", 7.0)], 1: [longer]})
    assert negatives_of(source, 0, (1,), split(train=1, test=2, other_peak=1)).is_empty()


def test_other_features_of_the_source_do_not_move_a_features_negatives(tmp_path):
    rows_of = {feature: [active(f"{feature}-{i}", 9.0 - i / 10) for i in range(16)] for feature in (0, 1, 2, 3, 4)}
    few = write_source(tmp_path / "few", rows_of)
    many = write_source(tmp_path / "many", rows_of | {9: [active(f"9-{i}", 9.0) for i in range(16)]})
    asked = Split()
    assert negatives_of(few, 0, (1, 2, 3, 4), asked).equals(negatives_of(many, 0, (1, 2, 3, 4), asked))


# The embedded SAE


@pytest.fixture(scope="module")
def embedded():
    return LocalSae.open()


DONORS_THERE = tuple(range(300, 316))


@pytest.mark.parametrize("feature", [101, 250])
def test_the_embedded_sae_itself_is_silent_in_every_negative_of_every_kind(embedded, feature):
    negatives = negatives_of(
        embedded, feature, DONORS_THERE, Split(negatives={"random": 5, "hard": 5, "other_peak": 5})
    )
    assert negatives["negative_kind"].to_list() == ["random"] * 5 + ["hard"] * 5 + ["other_peak"] * 5
    assert not any(embedded.is_silent(feature, name) is not True for name in names(negatives))
    assert negatives["silent"].all()
    assert negatives["example"].n_unique() == 15
    own = set(embedded.record(feature)["activations"][0].struct.field("dataIndex"))
    assert not own & set(names(negatives))


def test_hard_ones_of_the_embedded_sae_share_more_words_with_the_examples_than_random_ones(embedded):
    record = embedded.record(101)
    splits = functools.partial(negatives_of, embedded, 101, DONORS_THERE, record=record)
    rows = record["activations"][0].to_list()
    own = {token for row in rows for token in row["tokens"] if len(token) > 5}

    def shared(negatives):
        shown = [set(r["tokens"][r["window_start"] : r["window_end"]]) for r in negatives.iter_rows(named=True)]
        return sum(len({token for token in tokens if len(token) > 5} & own) for tokens in shown) / len(shown)

    assert shared(splits(split(hard=8))) > 1.3 * shared(splits(split(random=8)))


def test_negatives_are_the_same_each_time_and_others_by_another_seed(embedded):
    def drawn(seed):
        return negatives_of(embedded, 101, DONORS_THERE, Split(), seed=seed)

    assert drawn(0).equals(drawn(0))
    moved = drawn(0).join(drawn(1), on=["negative_kind", "rank"], suffix="_other")
    differ = moved.filter(pl.col("example") != pl.col("example_other"))
    assert set(differ["negative_kind"]) == {"random", "other_peak"}
