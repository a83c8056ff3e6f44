"""Scores by kind of negatives and by strength, against numbers worked out by hand."""

import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from baez_pipeline.scoring.breakdowns import decile_rates, scores_against, scores_by_negatives
from baez_pipeline.scoring.feature_scores import feature_scores
from baez_pipeline_tests.scoring.judged_rows import judged_table


def row(kind: str, answer: bool, probability: float, *, relative: float | None = None, **fields) -> dict:
    truth = kind == "active"
    return {
        "truth": truth,
        "kind": kind,
        "answer": answer,
        "probability": probability,
        "relative_activation": relative if relative is not None else (1.0 if truth else None),
    } | fields


def similarity(kind: str, value: float, *, relative: float | None = None) -> dict:
    numbers = {"answer": None, "probability": None, "similarity": value}
    return row(kind, False, 0, relative=relative, benchmark="embedding") | numbers


JUDGED = judged_table(
    [
        row("active", True, 0.8),
        row("active", False, 0.4),
        row("random", False, 0.1),
        row("random", False, 0.2),
        row("hard", True, 0.6),
        row("hard", True, 0.9),
        row("active", True, 0.8, feature="toy_000002"),
        row("random", False, 0.3, feature="toy_000002"),
        row("hard", False, 0.3, feature="toy_000002", outcome="unparsable"),
    ]
)


def test_against_one_kind_of_negatives_the_others_have_no_part():
    easy = scores_against(JUDGED, "random")
    assert easy.select("feature", "auroc", "true_negative_rate", "true_positive_rate").rows() == [
        ("toy_000001", 1.0, 1.0, 0.5),
        ("toy_000002", 1.0, 1.0, 1.0),
    ]
    hard = scores_against(JUDGED, "hard").row(0, named=True)
    assert (hard["auroc"], hard["true_negative_rate"]) == (0.25, 0.0)


def test_a_feature_without_negatives_of_a_kind_has_no_score_against_it():
    assert scores_against(JUDGED, "other_peak").height == 0
    assert scores_against(JUDGED.filter(pl.col("feature") == "toy_000002"), "hard")["true_negative_rate"].item() is None


def test_failed_judgements_of_a_kind_are_counted_with_it():
    hard = scores_against(JUDGED, "hard").filter(feature="toy_000002").row(0, named=True)
    assert (hard["n_failed"], hard["auroc"], hard["balanced_accuracy"]) == (1, None, None)
    wrong = scores_against(JUDGED, "hard", failures="wrong").filter(feature="toy_000002")
    assert wrong["true_negative_rate"].item() == 0.0


def test_all_kinds_together_say_which_they_are():
    found = scores_by_negatives(JUDGED)
    assert found.group_by("negatives").len().sort("negatives").rows() == [("hard", 2), ("random", 2)]
    assert found.drop("negatives").columns == feature_scores(JUDGED).columns


def test_test_examples_are_told_by_their_strength():
    strengths = [0.05, 0.1, 0.1001, 0.95, 1.0]
    answers = [False, True, True, True, False]
    rows = [row("active", answer, 0.5, relative=at) for at, answer in zip(strengths, answers, strict=True)]
    table = judged_table([*rows, row("active", True, 0.5, relative=0.95, outcome="timed_out"), row("hard", True, 0.5)])
    assert decile_rates(table).select("decile", "metric", "n_examples", "value").rows() == [
        (1, "true_positive_rate", 2, 0.5),
        (2, "true_positive_rate", 1, 1.0),
        (10, "true_positive_rate", 2, 0.5),
    ]


def test_for_embedding_a_deciles_value_is_its_auroc_against_all_negatives():
    similar = {10: [0.9, 0.5], 3: [0.4, 0.3, 0.3]}
    negatives = [0.3, 0.45, 0.1]
    rows = [similarity("active", value, relative=at / 10 - 0.01) for at, values in similar.items() for value in values]
    rows += [similarity("random", value) for value in negatives]
    found = decile_rates(judged_table(rows)).select("decile", pl.struct("metric", "value")).rows()
    for decile, values in similar.items():
        expected = roc_auc_score([1] * len(values) + [0] * 3, values + negatives)
        assert dict(found)[decile] == {"metric": "auroc", "value": pytest.approx(expected)}


def test_only_own_labels_have_a_curve():
    table = judged_table([row("active", True, 0.9), row("active", True, 0.9, shuffle=1)])
    assert decile_rates(table)["n_examples"].to_list() == [1]
