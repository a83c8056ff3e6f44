"""Does a label find its own feature? With the real MiniLM."""

import numpy as np
import polars as pl
import pytest

from baez_pipeline.embedding import SentenceEmbedder
from baez_pipeline.scoring import specificity
from baez_pipeline.scoring.specificity import label_specificity, mean_label_cosine, shown_texts
from baez_pipeline_tests.scoring.planted_rows import MUSIC, music_splits, split_row, splits_table

TEXTS = {
    "toy_000001": MUSIC[:3],
    "toy_000002": [" The river flows north into the great lake", " A stream runs down to the sea"],
    "toy_000003": [" Voters elected a new president", " The party lost the election"],
    "toy_000004": [" The cell divides and copies its genes"],
}


def labels(*rows: tuple[str, str], method: str = "baez") -> pl.DataFrame:
    return pl.DataFrame(
        [{"feature": feature, "method": method, "label": label} for feature, label in rows], orient="row"
    )


def texts(by_feature: dict[str, list[str]]) -> pl.DataFrame:
    return pl.DataFrame({"feature": list(by_feature), "text": list(by_feature.values())}).explode("text")


def test_a_right_label_finds_its_feature_and_a_wrong_one_does_not():
    asked = labels(
        ("toy_000001", "music and songs"), ("toy_000002", "rivers and lakes"), ("toy_000003", "genes of a cell")
    )
    found = label_specificity(asked, texts(TEXTS), SentenceEmbedder())
    assert found["first"].to_list() == [True, True, False]
    assert found["reciprocal_rank"].to_list()[:2] == [1.0, 1.0]
    assert found["reciprocal_rank"][2] <= 0.5
    assert set(found["n_candidates"]) == {4}
    assert found["words"].to_list() == [3, 3, 4]
    assert found["feature"].equals(asked["feature"])


def test_ranks_are_those_of_all_mean_cosines():
    embedder = SentenceEmbedder()
    asked = labels(*((feature, "water, and who governs it") for feature in TEXTS))
    cosines = {
        feature: float(np.mean([embedder.embed(["water, and who governs it"])[0] @ v for v in embedder.embed(own)]))
        for feature, own in TEXTS.items()
    }
    order = sorted(cosines, key=cosines.get, reverse=True)
    found = label_specificity(asked, texts(TEXTS), embedder)
    expected = [1 / (order.index(feature) + 1) for feature in TEXTS]
    assert found["reciprocal_rank"].to_list() == pytest.approx(expected)


def test_features_with_the_same_texts_share_their_rank():
    twins = TEXTS | {"toy_000005": TEXTS["toy_000001"]}
    (found,) = label_specificity(labels(("toy_000001", "music")), texts(twins), SentenceEmbedder()).to_dicts()
    assert (found["reciprocal_rank"], found["first"]) == (1 / 1.5, False)


def test_labels_are_ranked_the_same_however_many_are_multiplied_at_once(monkeypatch):
    asked = labels(*((feature, label) for feature in TEXTS for label in ("music", "rivers", "the", "")))
    together = label_specificity(asked, texts(TEXTS), SentenceEmbedder())
    monkeypatch.setattr(specificity, "_LABELS_AT_ONCE", 3)
    assert label_specificity(asked, texts(TEXTS), SentenceEmbedder()).equals(together)


def test_labels_are_ranked_the_same_however_many_features_are_multiplied_at_once(monkeypatch):
    asked = labels(*((feature, label) for feature in TEXTS for label in ("music", "rivers", "the", "")))
    twins = texts(TEXTS | {"toy_000005": TEXTS["toy_000001"], "toy_000006": TEXTS["toy_000002"]})
    together = label_specificity(asked, twins, SentenceEmbedder())
    monkeypatch.setattr(specificity, "_FEATURES_AT_ONCE", 2)
    assert label_specificity(asked, twins, SentenceEmbedder()).equals(together)


def test_no_labels_give_an_empty_table():
    assert label_specificity(labels(("toy_000001", "music")).head(0), texts(TEXTS), SentenceEmbedder()).height == 0


def test_texts_are_the_shown_windows_of_test_examples():
    blank = split_row("toy_000001", "blank", ["<bos>", " "], 1, role="test", rank=9)
    found = shown_texts(pl.concat([music_splits(), splits_table([blank])]))
    assert found["text"].to_list() == MUSIC
    assert set(found["feature"]) == {"toy_000001"}


def test_labels_that_are_all_alike_have_a_cosine_of_one():
    embedder = SentenceEmbedder()
    assert mean_label_cosine(["music"] * 3, embedder) == pytest.approx(1, abs=1e-6)
    music, rivers, votes = embedder.embed(["music", "rivers", "votes"])
    expected = (music @ rivers + music @ votes + rivers @ votes) / 3
    assert mean_label_cosine(["music", "rivers", "votes"], embedder) == pytest.approx(expected, abs=1e-6)
    assert mean_label_cosine(["music"], embedder) is None
