"""Labels judged on every benchmark, with the real models, delphi and tables."""

import polars as pl
import pytest

from baez_pipeline.embedding import SentenceEmbedder
from baez_pipeline.errors import TableError
from baez_pipeline.experiment import LikelihoodJudge, Scoring
from baez_pipeline.scoring import judge_labels, open_benchmark
from baez_pipeline.scoring.feature_scores import feature_scores
from baez_pipeline_tests.scoring.planted_rows import labels_table, music_splits, split_row, splits_table

RIGHT, WRONG = "music and songs", "history and politics"


def opened(benchmark: str, settings: Scoring | None = None):
    return open_benchmark(benchmark, settings or Scoring(), chat=None, embedder=SentenceEmbedder)


def judge(benchmark: str, labels: pl.DataFrame, splits: pl.DataFrame, settings: Scoring | None = None, seed: int = 1):
    judged = judge_labels(opened(benchmark, settings), labels, splits, seed=seed, concurrency=1)
    return [(feature, table) for feature, _, table in judged]


@pytest.fixture(scope="module")
def detected() -> list[pl.DataFrame]:
    return [table for _, table in judge("detection", labels_table(RIGHT, WRONG), music_splits())]


@pytest.fixture(scope="module")
def fuzzed() -> list[pl.DataFrame]:
    return [table for _, table in judge("fuzz", labels_table(RIGHT, WRONG), music_splits())]


@pytest.fixture(params=["detected", "fuzzed"])
def judged(request) -> list[pl.DataFrame]:
    return request.getfixturevalue(request.param)


def test_every_test_example_and_negative_has_its_judgement(judged):
    for table in judged:
        assert sorted(table["example"]) == sorted(
            [*(f"test-{rank}" for rank in range(2, 7)), *(f"negative-{rank}" for rank in range(1, 6))]
        )
        assert (table["truth"] == table["example"].str.starts_with("test")).all()
        assert set(table["outcome"]) == {"ok"}
        assert table["answer"].null_count() == table["probability"].null_count() == 0
        assert (table["answer"] == (table["probability"] > 0.5)).all()


def test_a_right_label_is_told_from_a_wrong_one(judged):
    right, wrong = (feature_scores(table).row(0, named=True)["auroc"] for table in judged)
    assert right > 0.9
    assert wrong < 0.6


def test_examples_are_asked_about_in_the_same_order_for_every_label(judged):
    assert judged[0]["example"].to_list() == judged[1]["example"].to_list()
    assert judged[0]["truth"].to_list() != sorted(judged[0]["truth"])


def test_fuzz_marks_the_peak_of_positives_and_the_donors_of_negatives(fuzzed):
    shown = dict(fuzzed[0].select("example", "shown").rows())
    assert shown["test-2"] == " The band recorded a new<< song>> for the album"
    assert shown["negative-1"] == " The<< river>> flows north into the great lake"


def test_the_batch_size_changes_no_answer(detected):
    def answers(table: pl.DataFrame) -> pl.DataFrame:
        return table.select("example", "answer", "shown", pl.col("probability").round(4))

    settings = Scoring(judge=LikelihoodJudge(examples_per_prompt=4))
    ((_, in_three),) = judge("detection", labels_table(RIGHT), music_splits(), settings)
    assert answers(in_three).equals(answers(detected[0]))


def test_the_same_seed_gives_the_same_table_to_the_last_bit_and_another_one_another_order(detected):
    ((_, again),) = judge("detection", labels_table(RIGHT), music_splits())
    ((_, other),) = judge("detection", labels_table(RIGHT), music_splits(), seed=2)
    assert again.equals(detected[0])
    assert again["example"].to_list() != other["example"].to_list()
    assert again.sort("example").equals(other.sort("example"))


@pytest.mark.parametrize("benchmark", ["detection", "fuzz", "embedding"])
def test_a_failed_label_is_never_scored(benchmark):
    ((feature, table),) = judge(benchmark, labels_table(None), music_splits())
    assert feature == "toy_000001"
    assert table.height == 10
    assert set(table["outcome"]) == {"no_label"}
    assert set(table["detail"]) == {"There is no label to score: No marker in the answer."}
    scores = feature_scores(table).row(0, named=True)
    assert (scores["n_answered"], scores["n_failed"]) == (0, 10)
    assert (scores["accuracy"], scores["auroc"], scores["gap"]) == (None, None, None)


def test_an_example_with_nothing_to_mark_fails_alone():
    silent = split_row("toy_000001", "silent", [" no", " peak"], 1, role="negative", rank=9) | {
        "donor_activations": [0, 0]
    }
    few = music_splits().filter((pl.col("rank") <= 2) & (pl.col("role") != "train"))
    ((_, table),) = judge("fuzz", labels_table(RIGHT), pl.concat([few, splits_table([silent])]))
    failed = table.filter(pl.col("outcome") != "ok")
    assert failed.select("example", "outcome", "answer").rows() == [("silent", "no_evidence", None)]
    assert table.height == 4


def test_fuzz_without_negatives_is_no_evidence():
    ((_, table),) = judge("fuzz", labels_table(RIGHT), music_splits().filter(pl.col("role") != "negative"))
    assert set(table["outcome"]) == {"no_evidence"}


def test_labels_come_back_one_by_one_in_their_order():
    labels = pl.concat([labels_table(None, feature=f"toy_00000{i}") for i in (3, 1, 2)])
    splits = pl.concat([music_splits(f"toy_00000{i}") for i in (1, 2, 3)])
    tables = judge_labels(opened("detection"), labels, splits, seed=1, concurrency=1)
    assert next(tables)[0] == "toy_000003"
    assert [feature for feature, _, _ in tables] == ["toy_000001", "toy_000002"]


def test_a_label_without_examples_is_one_sentence():
    with pytest.raises(TableError, match="neither test examples nor negatives of feature toy_000009"):
        judge("detection", labels_table(RIGHT, feature="toy_000009"), music_splits())


def test_identities_name_the_judge():
    identities = {name: opened(name).identity for name in ("detection", "fuzz", "embedding")}
    assert len(set(identities.values())) == 3
    assert identities["embedding"].startswith("all-minilm-l6-v2")
    assert identities["detection"].startswith("smollm2-135m-instruct")
