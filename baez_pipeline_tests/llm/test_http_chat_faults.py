"""Chat over HTTP with an endpoint that fails: every fault is an outcome, a recovered answer or a sentence."""

import asyncio
import socket

import pytest

from baez_pipeline.errors import AccessError, BudgetError, ServiceError
from baez_pipeline.llm.chat import Completion
from baez_pipeline.llm.http_chat import GIVE_UP_AFTER
from baez_pipeline.tables import Outcome
from baez_pipeline_tests.llm.asking import ask_all, judged, question, questions
from baez_pipeline_tests.openai_faults import (
    EMPTY,
    FILTERED,
    REFUSED,
    TOO_LONG,
    altered,
    always,
    cut,
    drips,
    error_with_200,
    hangs,
    in_turn,
    instead,
    says,
    truncated_json,
    turned_away,
)


class TestWhatPasses:
    @pytest.mark.parametrize(
        "fault",
        [
            turned_away(429),
            turned_away(429, retry_after=0.01),
            turned_away(408),
            turned_away(500),
            turned_away(502),
            turned_away(503, retry_after=0.01),
            turned_away(529),
            cut(),
            truncated_json(),
            instead("<html>Bad gateway</html>", media_type="text/html"),
            instead(""),
            instead("null"),
            instead("{}"),
            instead("[1]"),
            altered(choices=[]),
            altered(choices=None),
            error_with_200(502),
            error_with_200(429),
            EMPTY,
            says(" \n"),
            says(None),
            says("[1, 0]"),
            says("[1, 0, 1, 1]"),
            says("I would rather not say."),
            TOO_LONG,
        ],
    )
    def test_is_asked_again_until_it_is_answered(self, asking, fault):
        asking.fake.faults = in_turn(fault)
        completion = asking.ask(judged())
        assert (completion.text, completion.outcome, completion.detail) == ("[1, 0, 1]", Outcome.OK, None)
        assert asking.fake.requests == 2

    @pytest.mark.parametrize("fault", [hangs(), drips()])
    def test_what_does_not_end_is_asked_again_after_its_time(self, asking, fault):
        asking.fake.faults = in_turn(fault)
        assert asking.ask(judged(), timeout_seconds=1).text == "[1, 0, 1]"
        assert asking.fake.requests == 2

    def test_a_list_in_the_preamble_does_no_harm(self, asking):
        asking.fake.faults = in_turn(says("The suffix [1] hints at it: [1, 0, 1]"))
        assert asking.ask(judged()).text == "The suffix [1] hints at it: [1, 0, 1]"
        assert asking.fake.requests == 1

    def test_the_model_is_shown_its_answer_and_what_is_wrong_with_it(self, asking):
        asking.fake.faults = in_turn(says("[1, 0]"))
        asking.ask(judged())
        first, second = (body["messages"] for body in asking.fake.bodies)
        assert second[: len(first)] == first
        assert second[len(first)] == {"role": "assistant", "content": "[1, 0]"}
        assert "no list of exactly 3 numbers" in second[-1]["content"]

    def test_a_cut_answer_is_none_where_it_has_to_be_whole(self, asking):
        asking.fake.faults = in_turn(says("[EXPLANATION]: references to the fou", finish_reason="length"))
        answer = asking.ask(question(whole=True))
        assert (answer.outcome, asking.fake.requests) == (Outcome.OK, 2)
        assert "the answer was cut at 20 tokens" in asking.fake.bodies[1]["messages"][-1]["content"]

    def test_after_an_empty_answer_the_question_says_so(self, asking):
        asking.fake.faults = in_turn(EMPTY)
        assert asking.ask().outcome is Outcome.OK
        (message,) = asking.fake.bodies[1]["messages"]
        assert message["content"].endswith("(An earlier answer was empty. Do answer.)")

    def test_an_answer_that_broke_off_at_the_provider_is_none(self, asking):
        broken = altered(choices=[{"message": {"content": "[1, 0, 1]"}, "finish_reason": "error"}])
        asking.fake.faults = in_turn(broken)
        assert asking.ask(judged()).outcome is Outcome.OK
        assert asking.fake.requests == 2

    def test_an_answer_that_was_cut_is_one_where_any_will_do(self, asking):
        asking.fake.faults = in_turn(TOO_LONG)
        assert asking.ask().outcome is Outcome.OK


class TestWhatStays:
    @pytest.mark.parametrize(
        ("fault", "outcome", "requests", "detail"),
        [
            (turned_away(429), Outcome.ERROR, 3, "429"),
            (turned_away(503), Outcome.ERROR, 3, "503"),
            (turned_away(400, "temperature is not supported"), Outcome.ERROR, 1, "temperature is not supported"),
            (turned_away(413), Outcome.ERROR, 1, "413"),
            (error_with_200(502), Outcome.ERROR, 3, "Provider returned error"),
            (cut(), Outcome.ERROR, 3, "broke"),
            (truncated_json(), Outcome.ERROR, 3, "no chat completion"),
            (turned_away(403, "Your input was flagged"), Outcome.REFUSED, 1, "flagged"),
            (REFUSED, Outcome.REFUSED, 1, "I will not answer that"),
            (FILTERED, Outcome.REFUSED, 1, "refused"),
            (EMPTY, Outcome.EMPTY, 2, "empty"),
            (says("[1, 0]"), Outcome.UNPARSABLE, 2, "no list of exactly 3"),
            (TOO_LONG, Outcome.UNPARSABLE, 2, "cut at 20 tokens"),
        ],
    )
    def test_is_an_outcome_with_its_reason(self, asking, fault, outcome, requests, detail):
        asking.fake.faults = always(fault)
        completion = asking.ask(judged())
        assert (completion.text, completion.outcome) == ("", outcome)
        assert detail in completion.detail
        assert asking.fake.requests == requests
        last = asking.answers.ledger("e").row(-1, named=True)
        assert (last["outcome"], last["detail"]) == (outcome, completion.detail)

    @pytest.mark.parametrize("fault", [hangs(), drips()])
    def test_what_never_ends_has_timed_out(self, asking, fault):
        asking.fake.faults = always(fault)
        completion = asking.ask(timeout_seconds=0.3, tries=2)
        assert (completion.text, completion.outcome) == ("", Outcome.TIMED_OUT)
        assert "0.3 s" in completion.detail
        assert asking.fake.requests == 2

    @pytest.mark.parametrize("settings", [{"tries": 1}, {"tries": 4}])
    def test_a_request_is_tried_as_often_as_the_experiment_says(self, asking, settings):
        asking.fake.faults = always(turned_away(500))
        asking.ask(**settings)
        assert asking.fake.requests == settings["tries"]

    @pytest.mark.parametrize("asks", [1, 3])
    def test_a_question_is_asked_as_often_as_the_experiment_says(self, asking, asks):
        asking.fake.faults = always(says("[1, 0]"))
        asking.ask(judged(), asks=asks)
        assert asking.fake.requests == asks

    def test_others_go_on(self, asking):
        asking.fake.faults = lambda _, body: turned_away(500) if "number 1?" in str(body["messages"]) else None
        completions = ask_all(asking.chat(), questions(5))
        assert [completion.outcome for completion in completions] == ["ok", "error", "ok", "ok", "ok"]


class TestWaiting:
    @pytest.mark.parametrize("status", [429, 503])
    def test_as_long_as_the_endpoint_asks_for(self, asking, status):
        asking.fake.faults = in_turn(turned_away(status, retry_after=0.3))
        asking.ask()
        first, second = asking.fake.arrived
        assert second - first >= 0.3

    def test_until_the_moment_that_it_names(self, asking):
        asking.fake.faults = in_turn(turned_away(429, retry_after=2, as_date=True))
        asking.ask()
        first, second = asking.fake.arrived
        assert second >= int(first + 2)

    def test_nobody_asks_while_the_endpoint_is_at_its_limit(self, asking):
        asking.fake.faults = in_turn(turned_away(429, retry_after=0.4))
        chat = asking.chat()

        async def one_after_the_other() -> None:
            first, *later = questions(4)
            waiting = asyncio.create_task(chat.complete(first))
            while not asking.fake.requests:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            await asyncio.gather(waiting, *map(chat.complete, later))

        asyncio.run(one_after_the_other())
        first, *others = asking.fake.arrived
        assert len(others) == 4
        assert min(others) - first >= 0.4

    def test_longer_after_each_try(self, asking):
        asking.fake.faults = always(turned_away(500))
        asking.ask(tries=5)
        arrived = asking.fake.arrived
        # 0.01 s, doubled three times, less the quarter by which waits are scattered.
        assert arrived[4] - arrived[3] >= 0.01 * 8 * 0.75


class TestWhatStopsTheRun:
    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            (turned_away(401), "FAKE_KEY"),
            (turned_away(403), "FAKE_KEY"),
            (turned_away(402), "credit"),
            (turned_away(429, "You exceeded your quota.", "insufficient_quota"), "credit"),
            (error_with_200(402), "credit"),
            (turned_away(404), "base_url"),
        ],
    )
    def test_is_asked_once_and_said_in_a_sentence(self, asking, fault, said):
        asking.fake.faults = always(fault)
        with pytest.raises(AccessError) as stop:
            asking.ask(key_variable="FAKE_KEY")
        assert said in str(stop.value)
        assert asking.base_url in str(stop.value)
        assert asking.fake.requests == 1
        assert asking.answers.ledger("e")["outcome"].to_list() == ["error"]

    @pytest.mark.parametrize("dialect", ["openai", "openrouter"])
    def test_an_unknown_model_is_named_with_its_endpoint(self, asking, dialect):
        asking.fake.dialect = dialect
        with pytest.raises(AccessError, match="fake-7") as stop:
            asking.ask(model="fake-7")
        assert asking.base_url in str(stop.value)
        assert asking.fake.requests == 1

    def test_an_address_that_knows_no_chat(self, asking):
        with pytest.raises(AccessError, match="nowhere"):
            asking.ask(base_url=f"{asking.base_url}/nowhere")

    def test_a_wrong_key_names_the_variable_it_was_read_from(self, asking):
        asking.fake.key = "sk-right"
        with pytest.raises(AccessError, match="FAKE_KEY"):
            asking.ask(key="sk-wrong", key_variable="FAKE_KEY")

    def test_an_endpoint_that_cannot_be_reached(self, asking):
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            port = nobody.getsockname()[1]
        with pytest.raises(ServiceError, match=rf"127\.0\.0\.1:{port}/v1 cannot be reached"):
            asking.ask(base_url=f"http://127.0.0.1:{port}/v1")

    def test_an_endpoint_that_answers_nobody_any_more(self, asking):
        asking.fake.faults = lambda number, _: turned_away(500) if number > 5 else None
        chat = asking.chat(tries=1, concurrency=1)
        results = ask_all(chat, questions(5 + GIVE_UP_AFTER))
        assert [type(result) for result in results] == [Completion] * (4 + GIVE_UP_AFTER) + [ServiceError]
        assert f"{GIVE_UP_AFTER} questions in a row" in str(results[-1])

    def test_an_endpoint_that_answers_now_and_then_is_asked_on(self, asking):
        asking.fake.faults = lambda number, _: turned_away(500) if number % GIVE_UP_AFTER else None
        results = ask_all(asking.chat(tries=1, concurrency=1), questions(3 * GIVE_UP_AFTER))
        assert [result.outcome for result in results].count("ok") == 3

    @pytest.mark.parametrize("fault", [turned_away(401), turned_away(402), turned_away(500)])
    def test_what_waits_for_its_turn_is_not_sent_any_more(self, asking, fault):
        asking.fake.faults = always(fault)
        chat = asking.chat(concurrency=2, tries=1, key_variable="FAKE_KEY")
        said = ask_all(chat, questions(60))
        sent = asking.fake.requests
        assert sent <= GIVE_UP_AFTER + 2
        assert sum(isinstance(answer, ServiceError) for answer in said) >= 60 - sent
        assert all(isinstance(answer, ServiceError) for answer in ask_all(chat, questions(70)[60:]))
        assert asking.fake.requests == sent

    def test_an_endpoint_that_wants_to_be_left_alone_for_hours(self, asking):
        asking.fake.faults = always(turned_away(429, retry_after=86_400))
        with pytest.raises(ServiceError, match=r"no request for 24\.0 h: run again then"):
            asking.ask()
        assert asking.fake.requests == 1

    def test_a_database_that_fails_stops_everyone(self, asking):
        with asking.answers._engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TRIGGER full BEFORE INSERT ON ledger BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
            )
        results = ask_all(asking.chat(max_usd=0.15), questions(3))
        assert not any(isinstance(result, TimeoutError | Completion) for result in results), results
        assert any("disk is full" in str(result) for result in results if not isinstance(result, BudgetError))
