"""Marks of negatives: distributed like those of test examples, and on tokens that the feature is silent on."""

import random
from collections import Counter

import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from baez_pipeline.scoring import judge_labels
from baez_pipeline.scoring.classifier import AskedJudge
from baez_pipeline.scoring.examples import ACTIVE, SAME_TEXT, ShownExample
from baez_pipeline.scoring.fuzz import Fuzz
from baez_pipeline.scoring.likelihood_judge import read_marks
from baez_pipeline.scoring.marking import marked_like, marked_positions, same_texts, with_marks_checked
from baez_pipeline_tests.scoring.planted_rows import labels_table, music_splits, split_row, splits_table
from baez_pipeline_tests.scoring.scripted_judge import Scripted

LENGTH = 32
PATTERNS = [[24], [24, 25], [3, 24], [24], [20, 21, 22]]
"""Marked positions of five test examples."""


def shown(example: str, values: list[float], *, kind: str = ACTIVE, tokens: list[str] | None = None) -> ShownExample:
    tokens = tokens or [f" w{place}" for place in range(len(values))]
    return ShownExample(example=example, kind=kind, tokens=tokens, token_ids=[], activations=values)


def at(*places: int, length: int = LENGTH) -> list[float]:
    return [float(place in places) for place in range(length)]


def positives() -> list[ShownExample]:
    return [shown(f"test-{index}", at(*pattern)) for index, pattern in enumerate(PATTERNS)]


def drawn(each: ShownExample) -> random.Random:
    return random.Random(each.example)


def negatives(number: int, length: int = LENGTH) -> list[ShownExample]:
    # Lent ones, with the donor's peak somewhere else.
    return [shown(f"negative-{i}", at(5, length=length), kind="other_peak") for i in range(number)]


def places(found: list[ShownExample]) -> list[list[int]]:
    return [[place for place, value in enumerate(each.activations) if value] for each in found]


def test_counts_and_places_of_marks_are_those_of_the_test_examples():
    found = Counter(map(tuple, places(marked_like(positives(), negatives(2000), drawn))))
    assert set(found) == set(map(tuple, PATTERNS))
    assert found[24,] / 2000 == pytest.approx(2 / 5, abs=0.05)
    assert all(
        found[tuple(pattern)] / 2000 == pytest.approx(1 / 5, abs=0.04) for pattern in PATTERNS if len(pattern) > 1
    )


def test_places_are_carried_over_in_proportion_to_the_window():
    (found,) = marked_like([shown("test", at(31))], negatives(1, length=9), drawn)
    assert places([found]) == [[8]]
    found = marked_like([shown("test", at(10, length=11))], negatives(1), drawn)
    assert places(found) == [[31]]


def test_an_examples_marks_do_not_depend_on_the_other_examples():
    together = marked_like(positives(), negatives(20), drawn)
    assert places(marked_like(positives(), negatives(20)[7:8], drawn)) == places(together[7:8])


def test_in_the_same_text_a_mark_moves_to_the_nearest_silent_token():
    test = shown("test", [0.0] * 22 + [0.1, 0.1, 1.0, 0.1, 0.1] + [0.0] * 5)
    found = Counter()
    for index in range(200):
        (marked,) = marked_like([test], same_texts([test]), lambda each, index=index: random.Random(index))
        assert marked.kind == SAME_TEXT
        found.update(places([marked])[0])
    # Weakly active tokens are none that the feature is silent on; left and right are as near.
    assert set(found) == {21, 27}
    assert min(found.values()) > 60


def test_as_many_tokens_are_marked_when_several_have_to_move():
    test = shown("test", at(10, 11, 12))
    (marked,) = marked_like([test], same_texts([test]), drawn)
    (chosen,) = places([marked])
    assert len(chosen) == 3
    assert not set(chosen) & {10, 11, 12}
    assert set(chosen) <= set(range(7, 16))


def test_the_rest_of_an_active_word_is_marked_last():
    tokens = [" the", " sym", "phon", "y", " ends"]
    test = shown("test", [0.0, 1.0, 0.0, 0.0, 0.0], tokens=tokens)
    for index in range(20):
        (marked,) = marked_like([test], same_texts([test]), lambda each, index=index: random.Random(index))
        assert places([marked]) == [[0]]
    alone = shown("test", [1.0, 0.0], tokens=[" sym", "phony"])
    (marked,) = marked_like([alone], same_texts([alone]), drawn)
    assert places([marked]) == [[1]]


def test_a_mark_needs_a_token_with_text():
    test = shown("test", at(2, length=4), tokens=[" a", " ", " b", ""])
    (marked,) = marked_like([test], same_texts([test]), drawn)
    assert places([marked]) == [[0]]


def test_a_text_that_is_too_short_has_fewer_marks_or_a_problem():
    many = shown("test", at(1, 2, 3, 4))
    (two,) = marked_like([many], [shown("negative", [0.0, 0.0], kind="random")], drawn)
    assert places([two]) == [[0, 1]]
    full = shown("test", [1.0, 1.0])
    (none,) = marked_like([full], same_texts([full]), drawn)
    assert (places([none]), none.problem) == ([[]], "The shown window has no token that could be marked wrongly.")


def test_a_test_example_without_an_active_token_has_that_for_a_problem_and_is_no_pattern():
    checked = with_marks_checked([shown("silent", at()), *positives()])
    assert [each.problem is None for each in checked] == [False, *[True] * 5]
    assert "nothing to mark" in checked[0].problem
    assert all(map(any, places(marked_like(checked, negatives(50), drawn))))


def test_marked_in_a_test_example_is_what_delphi_marks():
    strong_and_weak = shown("test", [0.31, 0.29, 1.0, 0.0, 0.5])
    assert marked_positions(strong_and_weak) == [0, 2, 4]


def rich_splits() -> pl.DataFrame:
    """Twenty test examples with many weak activations beside the peak, twenty silent contexts as negatives."""
    rows = []
    for index in range(20):
        peak = 8 + (index * 5) % 20
        tokens = [f" w{place}" for place in range(LENGTH)]
        values = [0.1 * (abs(place - peak) < 4) for place in range(LENGTH)]
        values[peak] = 1.0
        rows.append(
            split_row("toy_000001", f"test-{index}", tokens, peak, role="test", rank=index + 1)
            | {"activations": values}
        )
        negative = split_row("toy_000001", f"negative-{index}", tokens, 3, role="negative", rank=index + 1)
        rows.append(negative | {"donor_activations": None, "donor_index": None, "negative_kind": "random"})
    return splits_table(rows)


@pytest.mark.parametrize("name", ["fuzz_contrastive", "fuzz_random"])
def test_delphis_marks_tell_negatives_without_a_label_and_ours_do_not(name):
    """The audit's rows 38 and 39 in one number: how well does the count of marks separate the two kinds?"""

    def separation(marking) -> float:
        client = Scripted(lambda examples: str([1] * len(examples)))
        judge = AskedJudge(identity="scripted", client=lambda purpose: client, examples_per_prompt=50)
        benchmark = Fuzz(name, judge, marking)
        ((*_, table),) = judge_labels(benchmark, labels_table("any"), rich_splits(), seed=1, concurrency=1)
        tokens = [sum(end - start for start, end in read_marks(text)[1]) for text in table["shown"]]
        return roc_auc_score(~table["truth"].to_numpy(), tokens)

    assert separation("delphi") > 0.95
    assert separation("like_positives") == pytest.approx(0.5, abs=0.1)


def test_the_seed_the_feature_and_the_example_decide_about_the_marks():
    fuzz = Fuzz(
        "fuzz_contrastive",
        AskedJudge(identity="-", client=lambda purpose: None, examples_per_prompt=5),
        "like_positives",
    )

    def marks(splits: pl.DataFrame, seed: int) -> dict[str, list[float]]:
        return {each.example: each.activations for each in fuzz.examples(splits, seed=seed) if not each.truth}

    state = random.getstate()
    splits = rich_splits()
    assert marks(splits, 1) == marks(splits.sample(fraction=1, shuffle=True, seed=3), 1)
    assert marks(splits, 1) != marks(splits, 2)
    assert marks(splits, 1) != marks(splits.with_columns(feature=pl.lit("toy_000002")), 1)
    fewer = marks(splits.filter(pl.col("example") != "negative-0"), 1)
    assert fewer == {name: values for name, values in marks(splits, 1).items() if name != "negative-0"}
    assert random.getstate() == state


def test_every_label_meets_the_same_marks():
    client = Scripted(lambda examples: str([1] * len(examples)))
    judge = AskedJudge(identity="scripted", client=lambda purpose: client, examples_per_prompt=50)
    found = judge_labels(
        Fuzz("fuzz_random", judge, "like_positives"),
        labels_table("one", "other"),
        music_splits(),
        seed=1,
        concurrency=1,
    )
    one, other = (table["shown"].to_list() for *_, table in found)
    assert one == other
