"""Which features a selection means."""

import pytest

from baez_pipeline.errors import ExperimentError
from baez_pipeline.orchestration.selection import Unfinished, chosen_features, chunks

KEPT = ["a", "b", "c", "d", "e"]


def chosen(words, *, failed=(), missing=()):
    found = chosen_features(words, KEPT, lambda: Unfinished(failed=frozenset(failed), missing=frozenset(missing)))
    return "".join(found.features), found.redo_failed


def never_asked():
    raise AssertionError("the tables of all features were looked at for nothing")


@pytest.mark.parametrize(
    ("words", "features"),
    [
        ("all", "abcde"),
        ("d", "d"),
        ("d, a,b", "abd"),
        ("b..d", "bcd"),
        ("b .. d", "bcd"),
        ("c..c", "c"),
        ("a..b,e", "abe"),
        ("e+a", "ae"),
    ],
)
def test_keys_and_ranges_are_taken_in_the_order_of_the_partitions(words, features):
    found = chosen_features(words, KEPT, never_asked)
    assert ("".join(found.features), found.redo_failed) == (features, False)


def test_failed_ones_are_asked_again_and_missing_ones_are_not():
    assert chosen("failed", failed="ce", missing="a") == ("ce", True)
    assert chosen("missing", failed="ce", missing="ab") == ("ab", False)
    assert chosen("failed+missing", failed="ce", missing="ab") == ("abce", True)
    assert chosen("missing,d..e", missing="a") == ("ade", False)
    assert chosen("failed") == ("", True)


def test_a_file_names_features_one_a_line(tmp_path):
    file = tmp_path / "features.txt"
    file.write_text("d\na\n\nb, c\n")
    assert chosen(f"@{file}") == ("abcd", False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("x", "Feature x is not one of the experiment's: its roster keeps a to e"),
        ("a..x", "Feature x is not one of the experiment's"),
        ("d..b", r"The range d..b ends before it begins: expected b..d"),
        (" , ", "The selection of features is ' , '. Expected: all; keys"),
        ("@nowhere.txt", "nowhere.txt, a file of feature keys, cannot be read"),
    ],
)
def test_a_selection_that_means_nothing_is_a_sentence(words, said):
    with pytest.raises(ExperimentError, match=said):
        chosen(words)


def test_a_run_takes_no_more_than_its_share():
    assert list(chunks(KEPT, 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(chunks([], 2)) == []
