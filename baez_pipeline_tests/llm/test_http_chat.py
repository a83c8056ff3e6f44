"""Chat over HTTP with an endpoint that answers well: what is sent, what is kept, what is asked at once."""

import asyncio
import gc
from dataclasses import replace

import pytest

from baez_pipeline.llm.chat import Purpose
from baez_pipeline.llm.delphi_client import DelphiClient
from baez_pipeline.llm.delphi_import import DetectionScorer
from baez_pipeline.scoring.answer_list import list_schema, problem_of
from baez_pipeline.tables import Outcome
from baez_pipeline_tests.llm.asking import ask_all, question, questions
from baez_pipeline_tests.openai_faults import always, in_turn, says, turned_away

JUDGED = "Latent explanation: music\n\nText examples:\n\nExample 0: The music of it.\nExample 1: A boat.\n"
SCHEMA = list_schema(2)


def test_the_answer_comes_with_its_tokens(asking):
    asking.fake.answer = lambda body: f"You said: {body['messages'][-1]['content']}"
    completion = asking.ask(question("Hello, endpoint!"))
    assert (completion.text, completion.outcome, completion.detail) == (
        "You said: Hello, endpoint!",
        Outcome.OK,
        None,
    )
    (usage,) = asking.fake.answered
    assert (completion.tokens_in, completion.tokens_out) == (usage.tokens_in, usage.tokens_out)


def test_what_is_sent(asking):
    request = question(temperature=0.5, stop=("\n",), seed=3, purpose=Purpose(asset="labels_baez"))
    asking.ask(request, max_tokens_field="max_completion_tokens", extra={"reasoning": {"effort": "low"}})
    assert asking.fake.bodies == [
        {
            "model": "fake-1",
            "messages": [{"role": "user", "content": "Which one?"}],
            "temperature": 0.5,
            "max_completion_tokens": 20,
            "stop": ["\n"],
            "reasoning": {"effort": "low"},
        }
    ]


def test_no_temperature_is_sent_where_the_endpoints_own_is_wanted(asking):
    asking.ask(question(temperature=None))
    assert "temperature" not in asking.fake.bodies[0]


def test_an_answer_that_was_begun_goes_on(asking):
    asking.fake.answer = lambda _: " harbours"
    begun = {"role": "assistant", "content": "[EXPLANATION]:"}
    request = question(problem=lambda text: None if text == "[EXPLANATION]: harbours" else "odd")
    request = replace(request, messages=(*request.messages, begun))
    assert asking.ask(request).text == "[EXPLANATION]: harbours"
    assert asking.fake.bodies[0]["messages"][-1] == begun


class TestKeys:
    def test_the_key_is_sent_as_a_bearer(self, asking):
        asking.fake.key = "sk-1"
        assert asking.ask(key="sk-1").outcome is Outcome.OK

    def test_without_one_none_is_sent_whatever_the_environment_holds(self, asking, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
        assert asking.ask().outcome is Outcome.OK
        assert asking.fake.with_key == [False]


class TestWhatIsKept:
    def test_nothing_answered_is_asked_again(self, asking):
        asked = [*questions(10), question(JUDGED, logprobs=True, schema=SCHEMA)]
        first = ask_all(asking.chat(logprobs=True, answers="json_schema"), asked)
        assert asking.fake.requests == 11
        assert ask_all(asking.chat(logprobs=True, answers="json_schema"), asked) == first
        assert asking.fake.requests == 11
        assert asking.answers.ledger("e").height == 11

    @pytest.mark.parametrize(
        "fault", [turned_away(500), turned_away(400), says(""), says(None, refusal="No."), says("odd")]
    )
    def test_failures_are_not_kept(self, asking, fault):
        asking.fake.faults = always(fault)
        request = question(problem=lambda text: "It is odd" if text == "odd" else None)
        assert asking.ask(request).outcome is not Outcome.OK
        asked, asking.fake.faults = asking.fake.requests, in_turn()
        assert asking.ask(request).outcome is Outcome.OK
        assert asking.fake.requests == asked + 1

    @pytest.mark.parametrize(
        ("fields", "settings"),
        [
            ({"text": "Another?"}, {}),
            ({"temperature": 0.5}, {}),
            ({"temperature": None}, {}),
            ({"max_tokens": 21}, {}),
            ({"seed": 1}, {}),
            ({"stop": ("\n",)}, {}),
            ({}, {"model": "fake-2"}),
            ({}, {"extra": {"top_p": 0.5}}),
            ({"logprobs": True}, {"logprobs": True}),
            ({"schema": SCHEMA}, {"answers": "json_schema"}),
        ],
    )
    def test_what_may_change_an_answer_is_asked_anew(self, asking, fields, settings):
        asking.fake.models = ("fake-1", "fake-2")
        asking.ask(question())
        asking.ask(question(**fields), **settings)
        assert asking.fake.requests == 2

    @pytest.mark.parametrize(
        ("fields", "settings"),
        [
            ({"purpose": Purpose(asset="a", feature="f", method="m")}, {}),
            ({"problem": lambda text: None}, {}),
            ({"logprobs": True, "schema": SCHEMA}, {}),
            ({}, {"usd_per_million_in": 7.0, "usd_per_million_cached_in": None, "usd_per_million_out": 7.0}),
            ({}, {"concurrency": 1, "timeout_seconds": 4, "tries": 1, "asks": 1}),
            ({}, {"key": "sk-1", "key_variable": "SOME_KEY"}),
            ({}, {"max_usd": 100.0}),
        ],
    )
    def test_what_cannot_change_an_answer_is_not(self, asking, fields, settings):
        asking.ask(question())
        asking.ask(question(**fields), **settings)
        assert asking.fake.requests == 1

    def test_the_same_model_at_another_address_is_not_asked_again(self, asking):
        asking.ask()
        asking.ask(base_url=asking.base_url.replace("127.0.0.1", "localhost"))
        assert asking.fake.requests == 1

    def test_a_kept_answer_that_can_no_longer_be_used_is_asked_for_again(self, asking):
        asking.fake.answer = lambda body: f"Answer {asking.fake.requests}"
        asking.ask()
        request = question(problem=lambda text: "It is old" if text == "Answer 1" else None)
        assert asking.ask(request).text == "Answer 2"
        assert asking.ask(request).text == "Answer 2"
        assert asking.fake.requests == 2


class TestLogProbabilities:
    def test_they_arrive_token_by_token(self, asking):
        completion = asking.ask(question(JUDGED, logprobs=True), logprobs=True)
        assert [choice.token for choice in completion.choices] == ["[", "1", ",", " 0", "]"]
        assert completion.choices[3].alternatives == pytest.approx({" 0": -0.10536, " 1": -2.30259}, abs=1e-5)

    def test_delphi_reads_them(self, asking):
        client = DelphiClient(asking.chat(logprobs=True))
        message = {"role": "user", "content": JUDGED}
        response = asyncio.run(client.generate([message], logprobs=True, top_logprobs=5))
        read = DetectionScorer(client, n_examples_shown=2)._parse_logprobs(response.logprobs)
        assert read == pytest.approx([0.9, 0.1])

    @pytest.mark.parametrize("asked", [True, False])
    def test_they_are_not_asked_for_unless_both_want_them(self, asking, asked):
        completion = asking.ask(question(JUDGED, logprobs=asked), logprobs=not asked)
        assert completion.choices == ()
        assert "logprobs" not in asking.fake.bodies[0]


class TestSchemas:
    def test_one_is_sent_when_the_experiment_wants_it(self, asking):
        request = question(JUDGED, schema=SCHEMA, problem=lambda text: problem_of(text, 2))
        completion = asking.ask(request, answers="json_schema")
        assert completion.text == '{"answers": [1, 0]}'
        sent = asking.fake.bodies[0]["response_format"]
        assert (sent["type"], sent["json_schema"]["schema"]) == ("json_schema", SCHEMA)

    def test_none_is_sent_otherwise(self, asking):
        assert asking.ask(question(JUDGED, schema=SCHEMA)).text == "[1, 0]"
        asking.ask(question(), answers="json_schema")
        assert all("response_format" not in body for body in asking.fake.bodies)


class TestManyAtOnce:
    def test_as_many_are_in_flight_as_may_be_and_never_more(self, asking):
        asking.fake.delay_seconds = 0.03
        chat = asking.chat(concurrency=4)

        async def several(requests) -> None:
            await asyncio.gather(*map(chat.complete, requests))

        async def everything() -> None:
            await asyncio.gather(*(several(questions(40)[start : start + 10]) for start in range(0, 40, 10)))

        asyncio.run(everything())
        assert asking.fake.most_in_flight == 4
        assert asking.fake.requests == 40

    def test_one_question_of_many_is_sent_once(self, asking):
        asking.fake.delay_seconds = 0.03
        completions = ask_all(asking.chat(), [question(purpose=Purpose(feature=str(index))) for index in range(10)])
        assert {completion.text for completion in completions} == {"I have read it."}
        assert asking.fake.requests == 1

    def test_a_client_works_in_one_event_loop_after_the_other_and_leaves_nothing_open(self, asking, caplog):
        chat = asking.chat()
        for request in questions(3):
            assert asyncio.run(chat.complete(request)).outcome is Outcome.OK
        assert all(completion.outcome is Outcome.OK for completion in ask_all(chat, questions(8)))
        assert asking.fake.requests == 8

        async def collect_what_is_left() -> None:
            gc.collect()
            await asyncio.sleep(0.05)

        del chat
        asyncio.run(collect_what_is_left())
        assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
