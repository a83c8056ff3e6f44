import itertools
from collections import Counter

import polars as pl
import pytest

from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import Split
from baez_pipeline.features.designs import can_split, train_and_test
from baez_pipeline_tests.features.records import active, examples_of


def strengths(count):
    """Examples e00, e01, ... with peaks count, count - 1, ..., 1, each from a document of its own."""
    return examples_of(*(active(f"e{i:02}", float(count - i)) for i in range(count)))


def from_documents(letters):
    """Examples from the documents that letters name, the strongest first."""
    return examples_of(*(active(f"e{i:02}", 100.0 - i, document=f"set: {letter}") for i, letter in enumerate(letters)))


def chosen(examples, *, seed=0, feature="f", **split):
    return train_and_test(examples, Split(**split), feature=feature, seed=seed)


def peaks(chosen, role):
    return chosen.filter(role=role)["peak_activation"].to_list()


def letters(chosen, role):
    return "".join(source[-1] for source in chosen.filter(role=role)["dataSource"])


def test_top_takes_the_strongest_for_train_and_the_ranks_after_them_for_test():
    rows = chosen(strengths(30), train=5, test=10)
    assert peaks(rows, "train") == [30.0, 29.0, 28.0, 27.0, 26.0]
    assert peaks(rows, "test") == [float(25 - i) for i in range(10)]
    assert rows["rank"].to_list() == list(range(1, 16))
    assert rows["relative_activation"][1] == pytest.approx(29 / 30)


@pytest.mark.parametrize(
    ("train", "of_each_tenth"), [(5, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]), (10, [1] * 10), (20, [2] * 10)]
)
def test_quantiles_take_evenly_from_each_tenth_of_the_peaks(train, of_each_tenth):
    rows = chosen(strengths(100), train=train, test=30, design="quantiles")

    def tenths(role):
        counts = Counter(int((100 - peak) // 10) for peak in peaks(rows, role))
        return [counts[tenth] for tenth in range(10)]

    assert tenths("train") == of_each_tenth
    assert tenths("test") == [3] * 10


def test_a_tenth_that_is_used_up_gives_way_to_its_neighbours():
    rows = chosen(strengths(15), train=5, test=10, design="quantiles")
    assert sorted(peaks(rows, "train") + peaks(rows, "test")) == [float(i) for i in range(1, 16)]
    assert max(peaks(rows, "train")) > 10 > 5 > min(peaks(rows, "train"))


def test_rank_is_by_peak_over_train_and_test_in_every_design():
    for design in ("quantiles", "importance"):
        rows = chosen(strengths(40), train=5, test=10, design=design)
        assert rows["rank"].to_list() == list(range(1, 16))
        assert rows["peak_activation"].is_sorted(descending=True)
        assert rows["relative_activation"].to_list() == pytest.approx([peak / 40 for peak in rows["peak_activation"]])
        assert rows["role"].to_list() != sorted(rows["role"].to_list(), reverse=True)


def test_importance_draws_in_proportion_to_the_peak():
    examples = examples_of(*(active(f"e{i}", strength) for i, strength in enumerate([6.0, 3.0, 1.0])))
    first = Counter(
        chosen(examples, train=1, test=1, design="importance", seed=seed).filter(role="train")["dataIndex"].item()
        for seed in range(300)
    )
    # Within four standard errors of 180, 90 and 30.
    assert abs(first["e0"] - 180) < 34
    assert abs(first["e1"] - 90) < 32
    assert abs(first["e2"] - 30) < 21


@pytest.mark.parametrize("design", ["quantiles", "importance"])
def test_a_drawn_design_is_the_seeds_and_the_features_own(design):
    def draw(seed, feature):
        return chosen(strengths(40), design=design, seed=seed, feature=feature)["dataIndex"].to_list()

    assert draw(0, "f") == draw(0, "f")
    assert len({tuple(draw(0, "f")), tuple(draw(1, "f")), tuple(draw(0, "g"))}) == 3


@pytest.mark.parametrize("design", ["top", "quantiles", "importance"])
def test_no_document_is_in_train_and_test(design):
    rows = chosen(from_documents("aabbccddeeffgghhiijjkkll"), train=5, test=10, design=design)
    assert rows.group_by("role").len().sort("len")["len"].to_list() == [5, 10]
    assert not set(letters(rows, "train")) & set(letters(rows, "test"))


def test_test_is_the_strongest_of_other_documents():
    rows = chosen(from_documents("abacbdefg"), train=2, test=3)
    assert (letters(rows, "train"), letters(rows, "test")) == ("ab", "cde")
    assert rows["rank"].to_list() == [1, 2, 3, 4, 5]
    assert rows.filter(role="test")["peak_activation"].to_list() == [97.0, 95.0, 94.0]


def test_train_passes_over_a_document_that_test_cannot_spare():
    # With the strongest example, of a, only four would be left for test; b, then c and the rest of b, leave five.
    rows = chosen(from_documents("abaacaaabd"), train=3, test=5)
    assert letters(rows, "train") == "bcb"
    assert letters(rows, "test") == "aaaaa"


def test_where_documents_may_be_shared_the_strongest_are_taken_whatever_their_document():
    rows = chosen(from_documents("a" * 15), train=5, test=10, documents="shared")
    assert letters(rows, "train") + letters(rows, "test") == "a" * 15


def test_a_document_that_the_source_does_not_name_is_the_context_itself():
    examples = examples_of(*(active(f"e{i}", 9.0 - i, document="the pile") for i in range(6)))
    assert can_split(examples, Split(train=2, test=4)) is None


def test_near_copies_are_left_out_unless_documents_may_be_shared():
    first = active("a", 9.0)
    copy = active("b", 8.0, tokens=[*first["tokens"][:-3], " x", " y", " z"])
    examples = examples_of(first, copy, active("c", 7.0), active("d", 6.0))
    assert chosen(examples, train=1, test=2)["dataIndex"].to_list() == ["a", "c", "d"]
    assert chosen(examples, train=1, test=3, documents="shared")["dataIndex"].to_list() == ["a", "b", "c", "d"]
    assert can_split(examples, Split(train=1, test=3)) == (
        "4 distinct activating examples, 3 without near copies; split.train = 1 and split.test = 3 need 4"
    )


def test_a_split_that_no_choice_of_documents_allows_is_a_sentence():
    examples = from_documents("aaaabbbb")
    assert can_split(examples, Split(train=4, test=4)) is None
    reason = can_split(examples, Split(train=3, test=5))
    assert "8 distinct activating examples, from 2 documents, 4 of them from 'set: a'" in reason
    assert 'split.documents = "shared"' in reason
    with pytest.raises(SourceError, match=r"Feature f has 8 distinct activating examples, from 2 documents"):
        chosen(examples, train=3, test=5)


def test_every_split_that_is_possible_is_found_and_no_other():
    examples, sizes = from_documents("aabbbbbcccccc"), (2, 5, 6)
    totals = {sum(some) for count in range(4) for some in itertools.combinations(sizes, count)}
    for train, test in itertools.product(range(1, 13), repeat=2):
        split = Split(train=train, test=test)
        possible = any(train <= total <= 13 - test for total in totals)
        assert (can_split(examples, split) is None) == possible
        if possible:
            rows = train_and_test(examples, split, feature="f", seed=0)
            assert not set(letters(rows, "train")) & set(letters(rows, "test"))


def test_few_examples_are_a_sentence():
    assert can_split(pl.DataFrame(schema=strengths(1).schema), Split(train=1, test=1)).startswith("0 distinct")
    with pytest.raises(SourceError, match=r"Feature f has 4 distinct activating examples; .* need 15"):
        chosen(strengths(4))
