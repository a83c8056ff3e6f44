"""Chat in batches with an endpoint that answers: who gets which answer, what is sent again, what it costs."""

import asyncio
import logging
from typing import Any

import pytest

from baez_pipeline.answers import Answers
from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import BudgetError
from baez_pipeline.experiment import Experiment, HttpWriter, Labeling, Scoring
from baez_pipeline.llm import batch_lines
from baez_pipeline.llm.batch_chat import BatchChat
from baez_pipeline.llm.chat import Completion, Purpose, Request
from baez_pipeline.llm.http_chat import HttpChat
from baez_pipeline.llm.in_flight import as_finished
from baez_pipeline.tables import Outcome
from baez_pipeline_tests.llm.batch_asking import ask_all, give_up_when, odd, question, questions, settings_of
from baez_pipeline_tests.openai_batches import expires
from baez_pipeline_tests.openai_faults import in_turn, says, turned_away


class TestOneBatch:
    def test_every_question_gets_its_own_answer_whatever_the_order_of_the_lines(self, batching):
        asked = questions(12)
        completions = batching.ask(*asked)
        assert [completion.text for completion in completions] == [
            f"You said: {request.messages[0]['content']}" for request in asked
        ]
        assert all(completion.outcome is Outcome.OK for completion in completions)
        assert batching.sizes() == [12]

    def test_what_is_sent_is_what_a_single_request_would_be(self, batching):
        request = question(temperature=0.5, stop=("\n",), logprobs=True)
        extra = {"reasoning": {"effort": "low"}}
        batching.ask(request, extra=extra, logprobs=True)
        single = settings_of(batching.base_url, extra=extra, logprobs=True)
        over_http = HttpChat(single, Answers(f"{batching.url}.other"), experiment="e", max_usd=None, key=None)
        asyncio.run(over_http.complete(request))
        in_batch, alone = batching.fake.openai.bodies
        assert in_batch == alone
        assert in_batch["reasoning"] == {"effort": "low"}

    def test_answers_are_shared_with_single_requests(self, batching):
        first = batching.ask(*questions(3), logprobs=True)
        single = settings_of(batching.base_url, logprobs=True)
        over_http = HttpChat(single, batching.answers, experiment="e", max_usd=None, key=None)
        assert ask_all(over_http, questions(3)) == first
        assert batching.fake.openai.requests == 3

    def test_nothing_answered_is_asked_again(self, batching):
        first = batching.ask(*questions(4))
        assert batching.ask(*questions(4)) == first
        assert batching.ask(*questions(5))[:4] == first
        assert batching.sizes() == [4, 1]

    def test_the_same_question_is_in_it_once(self, batching):
        completions = batching.ask(*[question(purpose=Purpose(feature=str(index))) for index in range(5)])
        assert {completion.text for completion in completions} == {"You said: Which one?"}
        assert batching.fake.questions == 1

    def test_all_jobs_of_a_step_are_in_it(self, batching):
        chat = batching.chat()

        async def two_questions(index: int) -> str:
            first = await chat.complete(question(f"first of {index}"))
            return first.text + (await chat.complete(question(f"second of {index}"))).text

        jobs = [lambda index=index: two_questions(index) for index in range(6)]
        assert len(set(as_finished(jobs, limit=chat.concurrency))) == 6
        assert batching.sizes() == [6, 6]

    def test_a_beginning_is_gone_on_from(self, batching):
        batching.fake.openai.answer = lambda _: " harbours"
        messages = ({"role": "user", "content": "Which?"}, {"role": "assistant", "content": "[LABEL]:"})
        (completion,) = batching.ask(Request(messages=messages))
        assert completion.text == "[LABEL]: harbours"

    def test_a_file_takes_only_so_much(self, batching, monkeypatch):
        longest = batch_lines.size_of_line(batch_lines.body_of_line(batching.chat()._settings, *_asked("a" * 50)))
        monkeypatch.setattr(batch_lines, "MOST_BYTES", 3 * longest)
        completions = batching.ask(*[question(f"{index:02}{'a' * 48}") for index in range(8)])
        assert all(completion.outcome is Outcome.OK for completion in completions)
        assert batching.sizes() == [3, 3, 2]
        assert max(map(len, batching.fake.files)) <= 3 * longest

    def test_progress_is_said_when_it_changes(self, batching, caplog):
        caplog.set_level(logging.INFO, logger="baez_pipeline")
        batching.fake.looks = 3
        batching.ask(*questions(6))
        said = [message for message in caplog.messages if " answered" in message]
        assert said == [f"batch batch_1: {done} of 6 answered, 0 failed, 0 min" for done in (0, 2, 4, 6)]


def _asked(text: str) -> tuple[Any, Request]:
    request = question(text)
    return request.messages, request


class TestAskedAgain:
    def test_what_cannot_be_read_goes_with_its_reason_into_the_next_batch(self, batching):
        batching.fake.openai.faults = lambda _, body: None if "really" in str(body) else says("no")
        batching.fake.openai.answer = lambda _: "really"
        completions = batching.ask(question(problem=odd), question("other", problem=odd), question("any"))
        assert [completion.text for completion in completions] == ["really", "really", "no"]
        assert batching.sizes() == [3, 2]
        messages = batching.fake.batches[1].lines[0]["body"]["messages"]
        assert messages[1] == {"role": "assistant", "content": "no"}
        assert "It does not say really" in messages[2]["content"]

    def test_only_as_often_as_the_experiment_says(self, batching):
        batching.fake.openai.answer = lambda _: "no"
        (completion,) = batching.ask(question(problem=odd), asks=3)
        assert (completion.outcome, completion.detail) == (Outcome.UNPARSABLE, "It does not say really")
        assert len(batching.fake.batches) == 3
        assert batching.answers.ledger("e")["tries"].to_list() == [1, 1, 1]

    def test_what_expired_goes_into_the_next_batch_and_costs_nothing(self, batching):
        batching.fake.faults = [expires(answered=2)]
        completions = batching.ask(*questions(5))
        assert [completion.outcome for completion in completions] == ["ok"] * 5
        assert batching.sizes() == [5, 3]
        ledger = batching.answers.ledger("e")
        assert sorted(ledger["tries"]) == [1, 1, 2, 2, 2]
        assert ledger["usd"].sum() == pytest.approx(batching.bill())

    def test_what_expires_every_time_has_timed_out(self, batching):
        batching.fake.faults = [expires(answered=0)] * 3
        (completion,) = batching.ask(question())
        assert (completion.outcome, completion.detail) == (Outcome.TIMED_OUT, "no answer within the 24h of its batch")
        (row,) = batching.answers.ledger("e").rows(named=True)
        assert (row["tries"], row["usd"], row["usd_at_most"], row["outcome"]) == (3, 0, 0, "timed_out")

    def test_a_line_that_the_endpoint_could_not_answer_just_then(self, batching):
        batching.fake.openai.faults = in_turn(None, turned_away(500), turned_away(429))
        completions = batching.ask(*questions(4))
        assert [completion.outcome for completion in completions] == ["ok"] * 4
        assert batching.sizes() == [4, 2]


@pytest.mark.parametrize(("mode", "chat"), [("requests", HttpChat), ("batch", BatchChat)])
def test_the_experiment_file_says_how_a_model_is_asked(tmp_path, mode, chat):
    judge = settings_of("http://127.0.0.1:1/v1", mode=mode)
    writer = HttpWriter.model_validate(judge.model_dump(include=set(HttpWriter.model_fields)))
    experiment = Experiment(name="e", scoring=Scoring(judge=judge), labeling=Labeling(writer=writer))
    equipment = Equipment(experiment, str(tmp_path))
    assert (type(equipment.judge), type(equipment.writer)) == (chat, chat)
    assert "mode" not in judge.answer_settings()


class TestMoney:
    def test_half_the_price_of_single_requests_is_in_the_ledger(self, batching):
        purpose = Purpose(asset="labels_baez", feature="7", method="baez")
        batching.ask(*questions(4, purpose=purpose))
        ledger = batching.answers.ledger("e")
        assert ledger["usd"].sum() == pytest.approx(batching.bill())
        assert ledger["usd"].sum() > 0
        assert ledger.select("asset", "feature", "method", "tries", "outcome").unique().rows() == [
            ("labels_baez", "7", "baez", 1, "ok")
        ]
        spent = batching.answers.spent("e")
        assert (spent.usd_held, spent.questions) == (0, 4)

    def test_nothing_is_submitted_that_does_not_fit_the_budget(self, batching):
        results = batching.ask(*questions(3), max_usd=0.05)
        assert [type(result) for result in results] == [BudgetError] * 3
        assert "budget.max_usd is $0.05" in str(results[0])
        assert batching.fake.files == []
        assert batching.answers.spent("e").usd_held == 0

    def test_what_is_freed_by_one_batch_is_used_by_the_next(self, batching):
        results = batching.ask(*questions(6), max_usd=0.4)
        assert [type(result) for result in results] == [Completion] * 6
        assert len(batching.fake.batches) > 1
        assert batching.answers.spent("e").usd_at_most <= 0.4

    def test_what_does_not_fit_stops_the_run_after_the_rest_was_answered(self, batching):
        dear = question("a" * 1000)
        results = batching.ask(question(), dear, question("other"), max_usd=0.4)
        assert [type(result) for result in results] == [Completion, BudgetError, Completion]
        assert batching.fake.questions == 2

    def test_money_is_held_for_a_batch_that_nobody_waits_for(self, batching):
        batching.fake.stands_still = True
        give_up_when(lambda: batching.fake.looked, batching.chat(), questions(3))
        assert batching.answers.spent("e").usd_held > 0
        batching.end_batches()
        batching.ask(question("another"))
        assert batching.answers.spent("e").usd_held == 0
