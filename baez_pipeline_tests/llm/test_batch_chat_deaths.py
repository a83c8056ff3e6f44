"""Chat in batches in several processes, one after the other and at once: nothing is lost, or paid twice."""

import asyncio
import signal
import subprocess
import sys
import time

import pytest

from baez_pipeline.answers.batches import Batches
from baez_pipeline.errors import ServiceError
from baez_pipeline.llm.chat import Completion
from baez_pipeline.llm.endpoint_chat import body_of
from baez_pipeline.tables import Outcome
from baez_pipeline_tests.llm.batch_asking import ask_elsewhere, give_up_when, odd, question, questions


@pytest.fixture
def elsewhere(batching):
    """Starts another process that asks, and kills it when something has happened."""
    processes = []

    def killed_when(happened, number: int) -> None:
        ask = f"{ask_elsewhere.__name__}({batching.url!r}, {batching.base_url!r}, {number})"
        code = f"from {ask_elsewhere.__module__} import {ask_elsewhere.__name__}; {ask}"
        process = subprocess.Popen([sys.executable, "-c", code])
        processes.append(process)
        until = time.monotonic() + 15
        while not happened():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()

    yield killed_when
    for process in processes:
        process.kill()
        process.wait()


class TestAfterADeath:
    def test_a_batch_is_taken_up_and_not_submitted_again(self, batching, elsewhere):
        batching.fake.stands_still = True
        elsewhere(lambda: batching.fake.looked, 20)
        assert batching.answers.ledger("e").height == 0
        batching.fake.stands_still = False
        completions = batching.ask(*questions(20))
        assert [completion.outcome for completion in completions] == ["ok"] * 20
        assert batching.sizes() == [20]
        ledger = batching.answers.ledger("e")
        assert ledger.height == 20
        assert ledger["usd"].sum() == pytest.approx(batching.bill())
        assert batching.answers.spent("e").usd_held == 0

    def test_a_submission_whose_answer_it_never_read_is_found(self, batching, elsewhere):
        batching.fake.submissions = ["made, not confirmed"]
        elsewhere(lambda: batching.fake.batches, 5)
        completions = batching.ask(*questions(5))
        assert [completion.outcome for completion in completions] == ["ok"] * 5
        assert batching.sizes() == [5]
        assert batching.answers.ledger("e").height == 5

    def test_a_submission_that_it_never_made_is_made_once(self, batching, elsewhere):
        batching.fake.submissions = ["not made"]
        elsewhere(lambda: batching.fake.files and not batching.fake.submissions, 5)
        assert len(batching.unsettled()) == 1
        completions = batching.ask(*questions(5))
        assert [completion.outcome for completion in completions] == ["ok"] * 5
        assert batching.sizes() == [5]
        assert (batching.unsettled(), batching.answers.spent("e").usd_held) == ([], 0)

    def test_answers_that_nobody_asks_for_any_more_are_kept_and_in_the_ledger(self, batching):
        give_up_when(lambda: batching.fake.looked, batching.chat(), questions(3))
        batching.end_batches()
        batching.ask(question("something else"))
        ledger = batching.answers.ledger("e")
        assert ledger.height == 4
        assert ledger["usd"].sum() == pytest.approx(batching.bill())
        assert [completion.text for completion in batching.ask(*questions(3))] == [
            f"You said: Which one is number {index}?" for index in range(3)
        ]
        assert batching.fake.questions == 4

    def test_an_answer_that_was_kept_unread_is_asked_for_again_if_it_is_of_no_use(self, batching):
        batching.fake.openai.answer = lambda _: "no"
        request = question(problem=odd)
        give_up_when(lambda: batching.fake.looked, batching.chat(), [request])
        batching.end_batches()
        batching.ask(question("something else"))
        assert batching.chat().is_kept(request)
        batching.fake.openai.answer = lambda _: "really"
        (completion,) = batching.ask(request)
        assert completion.text == "really"
        assert batching.ask(request) == [completion]
        assert batching.fake.questions == 3

    def test_only_a_part_is_settled_and_the_rest_is_later(self, batching, monkeypatch):
        monkeypatch.setattr("baez_pipeline.llm.batch_chat.MOST_AT_ONCE", 2)
        settle = Batches.settle
        chunks = []

        def settle_once(batches, settled):
            chunks.append(settled)
            if len(chunks) > 1:
                raise ServiceError("the process ends here")
            settle(batches, settled)

        monkeypatch.setattr(Batches, "settle", settle_once)
        assert all(isinstance(result, ServiceError) for result in batching.ask(*questions(5)))
        monkeypatch.setattr(Batches, "settle", settle)
        assert batching.answers.ledger("e").height == 2
        assert [completion.outcome for completion in batching.ask(*questions(5))] == ["ok"] * 5
        assert batching.answers.ledger("e").height == 5
        assert len(batching.fake.batches) == 1


class TestSeveralClients:
    def test_what_one_has_submitted_another_waits_for(self, batching):
        async def one_after_the_other() -> list[Completion]:
            first, second = batching.chat(), batching.chat()
            tasks = [asyncio.create_task(first.complete(request)) for request in questions(4)]
            while not batching.fake.looked:
                await asyncio.sleep(0.01)
            tasks += [asyncio.create_task(second.complete(request)) for request in questions(6)]
            await asyncio.sleep(0.2)
            batching.fake.stands_still = False
            return await asyncio.gather(*tasks)

        batching.fake.stands_still = True
        completions = asyncio.run(one_after_the_other())
        assert [completion.outcome for completion in completions] == ["ok"] * 10
        assert completions[4:8] == completions[:4]
        assert sorted(len(batch.lines) for batch in batching.fake.batches) == [2, 4]
        ledger = batching.answers.ledger("e")
        assert ledger.height == 6
        assert ledger["usd"].sum() == pytest.approx(batching.bill())

    def test_what_was_answered_while_a_batch_was_collected_is_not_submitted(self, batching):
        chat, request = batching.chat(), question()

        async def answered_elsewhere() -> Completion:
            asking = asyncio.create_task(chat.complete(request))
            await asyncio.sleep(0)
            batching.answers.keep(chat.key_of(request), body_of(Completion(text="kept")))
            return await asking

        assert asyncio.run(answered_elsewhere()).text == "kept"
        assert batching.fake.questions == 0
        assert (batching.unsettled(), batching.answers.spent("e").usd_held) == ([], 0)

    def test_a_client_works_in_one_event_loop_after_the_other(self, batching):
        chat = batching.chat()
        for index in range(3):
            assert asyncio.run(chat.complete(question(f"loop {index}"))).outcome is Outcome.OK
        assert len(batching.fake.batches) == 3
