"""delphi's classifiers with scripted answers: what counts as an answer, and whose it is."""

import asyncio
import random

import pytest

from baez_pipeline.llm.chat import Purpose
from baez_pipeline.llm.delphi_client import FailedAnswerError
from baez_pipeline.llm.delphi_import import DetectionScorer, Logprobs, Response, Top_Logprob
from baez_pipeline.scoring.classifier import AnswersAsValues, AskedJudge, judge_by_asking
from baez_pipeline.scoring.examples import shown_examples
from baez_pipeline.tables import Outcome
from baez_pipeline_tests.scoring.planted_rows import music_splits
from baez_pipeline_tests.scoring.scripted_judge import Scripted, music_or_not


class _Scorer(AnswersAsValues, DetectionScorer):
    pass


def judge(client, examples_per_prompt: int = 10, seed: int = 1):
    examples = shown_examples(music_splits(), marks=False)
    judge = AskedJudge(identity="scripted", client=lambda purpose: client, examples_per_prompt=examples_per_prompt)
    return asyncio.run(judge_by_asking(_Scorer, judge, "music", examples, seed=seed, purpose=Purpose()))


@pytest.mark.parametrize("examples_per_prompt", [1, 3, 7, 10, 20])
def test_every_example_gets_its_own_answer_whatever_the_batches(examples_per_prompt):
    client = Scripted(lambda examples: str(music_or_not(examples)))
    judgements = judge(client, examples_per_prompt)
    assert [judgement.answer for judgement in judgements] == [judgement.example.truth for judgement in judgements]
    assert len(judgements) == 10
    assert [judgement.shown for judgement in judgements] == [text for asked in client.questions for text in asked]
    assert {judgement.outcome for judgement in judgements} == {Outcome.OK}


def test_the_last_list_of_the_right_length_is_the_answer():
    def answer(examples):
        right = music_or_not(examples)
        return (
            f"The suffix [-ing] and [0,1] ... {[1 - value for value in right]}. No: {right}. Of [10] examples [2, 2]."
        )

    assert all(judgement.answer == judgement.example.truth for judgement in judge(Scripted(answer)))


@pytest.mark.parametrize(
    "answer",
    ["", "[2,2,2,2,2,2,2,2,2,2]", "[1,0,1]", "[1,0,1,0,1,0,1,0,1,0", "yes", "[a,b]", "[[1,0],[1]]", '["1"]', "[" * 500],
)
def test_an_answer_without_such_a_list_is_an_outcome_and_no_answer(answer):
    judgements = judge(Scripted(lambda examples: answer))
    assert len(judgements) == 10
    for judgement in judgements:
        assert judgement.outcome is Outcome.UNPARSABLE
        assert "no list of exactly 10 numbers 0 or 1" in judgement.detail
        assert (judgement.answer, judgement.probability) == (None, None)


def test_a_failed_call_fails_its_own_examples_and_no_others():
    def answer(examples):
        if any("river" in example for example in examples):
            raise FailedAnswerError(Outcome.TIMED_OUT, "No answer within 60 s.")
        return str(music_or_not(examples))

    judgements = judge(Scripted(answer), examples_per_prompt=2)
    failed = [judgement for judgement in judgements if judgement.outcome is not Outcome.OK]
    assert len(failed) == 2
    assert {(each.outcome, each.detail, each.answer) for each in failed} == {
        (Outcome.TIMED_OUT, "No answer within 60 s.", None)
    }


def test_the_order_follows_from_the_seed_and_leaves_the_global_generator_alone():
    def order(seed):
        return [judgement.example.example for judgement in judge(Scripted(lambda e: str(music_or_not(e))), seed=seed)]

    state = random.getstate()
    assert order(1) == order(1) != order(2)
    assert random.getstate() == state


def digits(text: str) -> list[Logprobs]:
    return [
        Logprobs(token=each, top_logprobs=[Top_Logprob(token="1", logprob=-0.1), Top_Logprob(token="0", logprob=-2.5)])
        for each in text
    ]


def test_probabilities_come_from_delphis_reading_of_the_tokens():
    client = Scripted(
        lambda examples: Response(text=str([1] * len(examples)), logprobs=digits("[" + "1" * len(examples) + "]"))
    )
    assert [judgement.probability for judgement in judge(client, 4)] == pytest.approx([0.9168] * 10, abs=1e-4)


def test_digits_before_the_list_are_not_taken_for_answers():
    client = Scripted(
        lambda examples: Response(
            text=f"Of 10: {[1] * len(examples)}", logprobs=digits("Of 10: [" + "1" * len(examples) + "]")
        )
    )
    assert [judgement.probability for judgement in judge(client)] == pytest.approx([0.9168] * 10, abs=1e-4)


@pytest.mark.parametrize(
    ("after", "tokens"),
    [(" 10 of 10", "1" * 10 + "1010"), ("", "1" * 9 + "0"), ("", "1" * 9), ("", ["11"] * 5)],
    ids=["digits after the list", "a token that says something else", "a token missing", "two answers in one token"],
)
def test_where_it_cannot_be_told_which_token_is_which_answer_there_is_no_probability(after, tokens):
    client = Scripted(lambda examples: Response(text=f"{[1] * len(examples)}{after}", logprobs=digits(tokens)))
    judgements = judge(client)
    assert {(judgement.answer, judgement.probability, judgement.outcome) for judgement in judgements} == {
        (True, None, Outcome.OK)
    }


def test_a_list_in_an_object_is_read_as_well():
    client = Scripted(lambda examples: f'{{"answers": {music_or_not(examples)}}}')
    assert all(judgement.answer == judgement.example.truth for judgement in judge(client))


@pytest.mark.parametrize(
    "after", ["as in the template [{{}: 1}]", "[" + "1+" * 6000 + "1]", "[" + "-" * 200_000 + "1]"]
)
def test_nothing_that_a_model_writes_beside_its_list_does_harm(after):
    judgements = judge(Scripted(lambda examples: f"{music_or_not(examples)} {after}"))
    assert all(judgement.answer == judgement.example.truth for judgement in judgements)
