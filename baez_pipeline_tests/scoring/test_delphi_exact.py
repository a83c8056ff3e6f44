"""With every switch on delphi's side our results are those of delphi's own classes, run by themselves."""

import asyncio
import random

import polars as pl
import pytest
import torch

from baez_pipeline import embedding
from baez_pipeline.answers import Answers
from baez_pipeline.draws import seed_of
from baez_pipeline.embedding import SentenceEmbedder
from baez_pipeline.experiment import HttpJudge, MiniLMEmbedder, Scoring
from baez_pipeline.llm.chat import Purpose
from baez_pipeline.llm.delphi_client import DelphiClient, FailedAnswerError
from baez_pipeline.llm.delphi_import import (
    ActivatingExample,
    DetectionScorer,
    EmbeddingScorer,
    FuzzingScorer,
    Latent,
    LatentRecord,
    Logprobs,
    NonActivatingExample,
    Response,
    Top_Logprob,
)
from baez_pipeline.llm.http_chat import HttpChat
from baez_pipeline.scoring import judge_labels, open_benchmark
from baez_pipeline.scoring.classifier import AskedJudge
from baez_pipeline.scoring.detection import Detection
from baez_pipeline.scoring.feature_scores import feature_scores
from baez_pipeline.scoring.fuzz import Fuzz
from baez_pipeline.tables import Outcome
from baez_pipeline_tests.openai_faults import turned_away
from baez_pipeline_tests.openai_server import FakeOpenAI
from baez_pipeline_tests.scoring.planted_rows import labels_table, music_splits
from baez_pipeline_tests.scoring.scripted_judge import Scripted, music_or_not
from baez_pipeline_tests.served import served

LABEL = "music and songs"
PER_QUESTION = 4
"""Of ten examples: the last question is about two."""
SCORERS = {
    "detection": (DetectionScorer, {}),
    "fuzz_contrastive": (FuzzingScorer, {}),
    "fuzz_random": (FuzzingScorer, {"fuzz_type": "active"}),
}


def splits(*, first_is_silent: bool = False) -> pl.DataFrame:
    """Music, with weak activations beside the peaks, and a negative from a silent context."""
    rows = music_splits().filter(pl.col("role") != "train").to_dicts()
    for row in rows:
        row["activations"] = [value or 0.2 * (row["role"] == "test") for value in row["activations"]]
    silent = rows[5] if first_is_silent else rows[8]
    silent |= {"donor_activations": None, "donor_index": None, "negative_kind": "random"}
    return pl.DataFrame(rows, schema=music_splits().schema)


def record(rows: pl.DataFrame) -> LatentRecord:
    """delphi's record of them, made without any code of ours."""
    made = LatentRecord(latent=Latent("", 0), explanation=LABEL)
    for row in rows.iter_rows(named=True):
        values = row["activations"] if row["role"] == "test" else row["donor_activations"]
        common = {
            "tokens": torch.zeros(len(row["tokens"])),
            "activations": torch.tensor(values or [0.0] * len(row["tokens"])),
            "str_tokens": row["tokens"],
        }
        if row["role"] == "test":
            made.test.append(ActivatingExample(**common))
        else:
            made.not_active.append(NonActivatingExample(**common))
    return made


def of_delphi(name: str, client, rows: pl.DataFrame) -> list[tuple]:
    """Text, truth, answer and probability of every example, and whether it was right, in delphi's order."""
    scorer, settings = SCORERS[name]
    seed = seed_of(1, "order of examples", "toy_000001")
    made = scorer(client, n_examples_shown=PER_QUESTION, log_prob=True, temperature=0.0, seed=seed, **settings)
    found = asyncio.run(made(record(rows))).score
    return [
        ("".join(each.str_tokens), each.activating, each.prediction, each.probability, each.correct) for each in found
    ]


def ours(name: str, client, rows: pl.DataFrame) -> pl.DataFrame:
    judge = AskedJudge(
        identity="scripted", client=lambda purpose: client, examples_per_prompt=PER_QUESTION, reading="delphi"
    )
    benchmark = Detection(judge) if name == "detection" else Fuzz(name, judge, "delphi")
    ((*_, table),) = judge_labels(benchmark, labels_table(LABEL), rows, seed=1, concurrency=1)
    return table


def same(name: str, client, rows: pl.DataFrame) -> pl.DataFrame:
    """Our table, after it was held against delphi's results."""
    state = random.getstate()
    delphis = of_delphi(name, client, rows)
    random.setstate(state)
    table = ours(name, client, rows)
    assert random.getstate() == state
    texts = {row["example"]: "".join(row["tokens"]) for row in rows.iter_rows(named=True)}
    columns = table.select("example", "truth", "answer", "probability", right=pl.col("answer") == pl.col("truth"))
    assert [(texts[example], *rest) for example, *rest in columns.iter_rows()] == delphis
    accuracy = sum(correct or 0 for *_, correct in delphis) / len(delphis)
    assert feature_scores(table, failures="wrong")["accuracy"].item() == pytest.approx(accuracy)
    return table


def well(examples: list[str]) -> str:
    return str(music_or_not(examples))


def after_a_bracket(examples: list[str]) -> str:
    return f"The suffix [-ing] tells: {music_or_not(examples)}" if "melody" in "".join(examples) else well(examples)


def after_another_list(examples: list[str]) -> str:
    return f"{[1 - value for value in music_or_not(examples)]} No: {music_or_not(examples)}"


def always_four(examples: list[str]) -> str:
    return str([*music_or_not(examples), 1, 1, 1][:PER_QUESTION])


def odd_values(examples: list[str]) -> str:
    return "[2, true, 0, null]"


def timed_out(examples: list[str]) -> str:
    if "melody" in "".join(examples):
        raise FailedAnswerError(Outcome.TIMED_OUT, "No answer within 60 s.")
    return well(examples)


def with_probabilities(examples: list[str]) -> Response:
    answers = always_four(examples)
    alternatives = [Top_Logprob(token="1", logprob=-0.4), Top_Logprob(token="0", logprob=-1.5)]
    return Response(text=answers, logprobs=[Logprobs(token=each, top_logprobs=alternatives) for each in answers])


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize(
    "answer", [well, after_a_bracket, after_another_list, always_four, odd_values, timed_out, with_probabilities]
)
def test_answers_are_read_and_counted_as_delphi_does(name, answer):
    table = same(name, Scripted(answer), splits())
    last_question = table.tail(2)
    if answer in (well, after_a_bracket, after_another_list, timed_out):
        assert set(last_question["outcome"]) == {"unparsable"}
    else:
        assert set(last_question["outcome"]) == {"ok"}


@pytest.mark.parametrize("name", ["fuzz_contrastive", "fuzz_random"])
@pytest.mark.parametrize("first_is_silent", [True, False])
def test_the_same_questions_are_asked_as_by_delphi(name, first_is_silent):
    rows = splits(first_is_silent=first_is_silent)
    of_delphis, of_ours = Scripted(always_four), Scripted(always_four)
    of_delphi(name, of_delphis, rows)
    ours(name, of_ours, rows)
    assert of_ours.questions == of_delphis.questions


def test_a_time_out_keeps_its_reason_beside_delphis_reading():
    table = same("detection", Scripted(timed_out), splits())
    failed = table.filter(pl.col("outcome") == "timed_out")
    assert (failed.height, set(failed["detail"])) == (PER_QUESTION, {"No answer within 60 s."})


def test_delphis_reading_asks_no_second_time_over_http(tmp_path):
    """Of three questions one fails on the way, one has a bracket too many, and the last one four answers to two."""

    def answer(body):
        return f"{'[-ing] ' if 'melody' in str(body['messages'][-1]) else ''}[1, 0, 1, 0]"

    def faults(_, body):
        return turned_away(500) if "guitar" in str(body["messages"][-1]) else None

    fake = FakeOpenAI(answer=answer, faults=faults)
    with served(fake.app) as address:
        settings = HttpJudge(
            model="fake-1", base_url=f"{address}/v1", usd_per_million_in=0, usd_per_million_out=0, tries=1, asks=3
        )
        answers = Answers(f"sqlite:///{tmp_path / 'answers.sqlite'}")
        chat = HttpChat(settings, answers, experiment="e", max_usd=None, key=None, backoff_seconds=0.01)
        table = same("detection", DelphiClient(chat, purpose=Purpose()), splits())
    assert table["outcome"].to_list() == ["error"] * 4 + ["unparsable"] * 4 + ["ok"] * 2
    # Three questions, asked by delphi and by us; answers are kept, whatever they hold, and failed calls are not.
    assert fake.requests == 3 + 1


def test_an_embedding_is_that_of_delphis_scorer_with_the_model_itself():
    rows = splits()
    scored = EmbeddingScorer(embedding._load()).call_sync(record(rows)).score
    settings = Scoring(embedder=MiniLMEmbedder(prompt="delphi"))
    benchmark = open_benchmark("embedding", settings, chat=None, embedder=SentenceEmbedder)
    ((*_, table),) = judge_labels(benchmark, labels_table(LABEL), rows, seed=1, concurrency=1)
    found = dict(table.select("shown", "similarity").rows())
    expected = {each.text: each.similarity for each in scored}
    assert found == pytest.approx(expected, abs=1e-5)
    assert len(found) == 10
