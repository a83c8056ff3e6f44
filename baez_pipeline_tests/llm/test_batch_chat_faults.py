"""Chat in batches with an endpoint that fails: lines, whole batches, and the requests about them."""

import logging
import socket
import threading
import time
import traceback

import pytest

from baez_pipeline.errors import AccessError, ServiceError
from baez_pipeline.llm.chat import Completion
from baez_pipeline.tables import Outcome
from baez_pipeline_tests.llm.batch_asking import ask_all, give_up_when, open_chat, question, questions
from baez_pipeline_tests.openai_batches import is_cancelled, leaves_out, refused
from baez_pipeline_tests.openai_faults import EMPTY, REFUSED, always, in_turn, instead, turned_away
from baez_pipeline_tests.served import served


class TestLinesThatFail:
    @pytest.mark.parametrize(
        ("fault", "outcome", "detail"),
        [
            (turned_away(400, "max_tokens is too large"), Outcome.ERROR, "max_tokens is too large"),
            (turned_away(403, "It was flagged."), Outcome.REFUSED, "flagged"),
            (REFUSED, Outcome.REFUSED, "I will not answer that"),
            (EMPTY, Outcome.EMPTY, "empty"),
            (instead('{"choices": 5}'), Outcome.ERROR, "no chat completion"),
            (instead('["odd"]'), Outcome.ERROR, "no chat completion"),
            (instead('{"error": {"code": 400, "message": "odd"}}'), Outcome.ERROR, "odd"),
        ],
    )
    def test_are_outcomes_and_the_others_are_answered(self, batching, fault, outcome, detail):
        batching.fake.openai.faults = lambda _, body: fault if "number 1?" in str(body) else None
        completions = batching.ask(*questions(3))
        assert [completion.outcome for completion in completions] == ["ok", outcome, "ok"]
        assert completions[1].text == ""
        assert detail in completions[1].detail
        batching.fake.openai.faults = in_turn()
        assert [completion.outcome for completion in batching.ask(*questions(3))] == ["ok"] * 3

    def test_one_that_is_in_no_file_may_have_been_paid_for(self, batching):
        batching.fake.faults = [leaves_out(1)]
        completions = batching.ask(*questions(3))
        assert sorted(completion.outcome for completion in completions) == ["error", "ok", "ok"]
        spent = batching.answers.spent("e")
        assert spent.usd < batching.bill() <= spent.usd_at_most

    def test_the_key_is_in_no_message(self, batching, caplog):
        caplog.set_level(logging.INFO, logger="baez_pipeline")
        batching.fake.openai.key = "sk-secret"
        batching.fake.statuses = [500]
        batching.fake.openai.faults = always(turned_away(400))
        (completion,) = batching.ask(question(), key="sk-secret")
        assert "***" in completion.detail
        assert "sk-secret" not in completion.detail + caplog.text
        database = batching.folder / "answers.sqlite"
        assert not any(b"sk-secret" in file.read_bytes() for file in database.parent.iterdir())


class TestWholeBatches:
    @pytest.mark.parametrize(
        ("fault", "error", "said"),
        [
            (refused("model_not_found", "No model fake-1."), AccessError, ["No model fake-1", "base_url"]),
            (refused("insufficient_quota", "Quota exceeded."), AccessError, ["Quota exceeded", "credit"]),
            (refused("invalid_json_line", "Not JSON.", line=2), ServiceError, ["batch_1", "line 2", "Not JSON"]),
            (is_cancelled(answered=0), ServiceError, ["batch_1", "cancelled", "run again"]),
        ],
    )
    def test_that_are_not_run_are_a_sentence_and_cost_nothing(self, batching, fault, error, said):
        batching.fake.faults = [fault]
        results = batching.ask(*questions(2))
        assert [type(result) for result in results] == [error] * 2
        for part in (*said, batching.base_url):
            assert part in str(results[0])
        assert batching.answers.ledger("e").height == 0
        assert (batching.answers.spent("e").usd_held, batching.unsettled()) == (0, [])
        assert [completion.outcome for completion in batching.ask(*questions(2))] == ["ok"] * 2

    def test_what_a_cancelled_one_has_answered_is_kept(self, batching):
        batching.fake.faults = [is_cancelled(answered=2)]
        results = batching.ask(*questions(5))
        assert [type(result) for result in results] == [Completion] * 2 + [ServiceError] * 3
        assert batching.answers.ledger("e").height == 2
        batching.ask(*questions(5))
        assert batching.sizes() == [5, 3]

    def test_one_with_too_many_tokens_is_cut_until_it_is_taken(self, batching):
        batching.fake.faults = [refused("token_limit_exceeded", "Enqueued token limit reached.")] * 2
        completions = batching.ask(*questions(8))
        assert [completion.outcome for completion in completions] == ["ok"] * 8
        assert batching.sizes() == [8, 4, 2, 2, 2, 2]
        assert set(batching.answers.ledger("e")["tries"]) == {1}

    def test_a_single_question_with_too_many_tokens_says_so(self, batching):
        batching.fake.faults = [refused("token_limit_exceeded", "Enqueued token limit reached.")] * 5
        (result,) = batching.ask(question())
        assert isinstance(result, ServiceError)
        assert "Enqueued token limit reached" in str(result)
        assert len(batching.fake.batches) == 1


class TestTheEndpoint:
    def test_errors_while_it_is_waited_for_do_no_harm(self, batching):
        batching.fake.statuses = [500, 503, 429, 500]
        (completion,) = batching.ask(question())
        assert completion.outcome is Outcome.OK
        assert len(batching.fake.batches) == 1

    def test_a_wrong_key_is_said(self, batching):
        batching.fake.openai.key = "sk-right"
        results = batching.ask(*questions(2), key="sk-wrong", key_variable="FAKE_KEY")
        assert [type(result) for result in results] == [AccessError] * 2
        assert "FAKE_KEY" in str(results[0])
        assert batching.unsettled() == []

    @pytest.mark.parametrize("line", [None, turned_away(401)])
    def test_the_key_is_in_no_traceback(self, batching, line):
        batching.fake.openai.key = "sk-right" if line is None else "sk-sent"
        batching.fake.openai.faults = lambda *_: line
        (result,) = batching.ask(question(), key="sk-sent")
        assert isinstance(result, AccessError)
        assert "***" in str(result)
        assert "sk-sent" not in "".join(traceback.format_exception(result))

    def test_one_without_a_batch_api_is_said(self, batching):
        (result,) = batching.ask(question(), base_url=f"{batching.base_url}/nowhere")
        assert isinstance(result, AccessError)
        assert "mode to requests" in str(result)

    def test_one_that_cannot_be_reached_is_said(self, batching):
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"
        (result,) = batching.ask(question(), base_url=address)
        assert isinstance(result, ServiceError)
        assert address in str(result)
        assert batching.answers.spent("e").usd_held == 0

    def test_one_that_goes_away_leaves_its_batch_to_a_new_run(self, batching):
        batching.fake.stands_still = True
        results: list[Completion | BaseException] = []
        with served(batching.fake.app) as address:
            chat = open_chat(batching.url, f"{address}/v1")
            thread = threading.Thread(target=lambda: results.extend(ask_all(chat, questions(2))))
            thread.start()
            while not batching.fake.looked:
                time.sleep(0.01)
        thread.join()
        assert [type(result) for result in results] == [ServiceError] * 2
        assert "batch_1 goes on by itself" in str(results[0])
        assert batching.answers.spent("e").usd_held > 0

    def test_a_batch_that_it_does_not_know_is_said(self, batching):
        batching.fake.stands_still = True
        give_up_when(lambda: batching.fake.looked, batching.chat(), questions(2))
        batching.fake.batches.clear()
        (result,) = batching.ask(questions(2)[0])
        assert isinstance(result, AccessError)
        assert "batch_1" in str(result)
        assert batching.fake.questions == 0

    @pytest.mark.parametrize("fate", ["made, not confirmed", "error, but made"])
    def test_a_submission_that_is_not_confirmed_is_found_and_not_repeated(self, batching, fate):
        batching.ask(*questions(3))
        batching.ask(question("of another batch"))
        batching.fake.submissions = [fate]
        completions = batching.ask(*questions(6))
        assert [completion.outcome for completion in completions] == ["ok"] * 6
        assert batching.sizes() == [3, 1, 3]
        assert batching.answers.ledger("e").height == 7

    def test_a_submission_that_was_not_made_is_repeated(self, batching):
        batching.fake.submissions = ["not made"]
        (completion,) = batching.ask(question())
        assert completion.outcome is Outcome.OK
        assert len(batching.fake.batches) == 1
        assert batching.unsettled() == []

    def test_submissions_that_are_never_made_are_given_up(self, batching):
        batching.fake.submissions = ["not made"] * 3
        (result,) = batching.ask(question(), timeout_seconds=0.1)
        assert isinstance(result, ServiceError)
        assert "3 submissions" in str(result)
        assert batching.answers.spent("e").usd_held == 0
