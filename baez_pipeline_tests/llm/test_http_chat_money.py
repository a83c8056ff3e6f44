"""Chat over HTTP with prices: the ledger agrees with the endpoint, and the budget holds."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from baez_pipeline.errors import BudgetError
from baez_pipeline.llm.chat import Completion, Purpose
from baez_pipeline.scoring.answer_list import list_schema
from baez_pipeline.tables import Ledger
from baez_pipeline_tests.llm.asking import ask_all, cancelled_when_asked, judged, question, questions
from baez_pipeline_tests.openai_faults import (
    EMPTY,
    REFUSED,
    altered,
    always,
    cut,
    hangs,
    in_turn,
    says,
    truncated_json,
    turned_away,
)

FAULTS = [turned_away(429), None, cut(), EMPTY, turned_away(500), truncated_json(), REFUSED, None, says("[1]"), None]


def agrees_with_the_endpoint(asking) -> None:
    ledger, answered = asking.answers.ledger("e"), asking.fake.answered
    assert Ledger.is_valid(ledger)
    assert ledger["tries"].sum() == asking.fake.requests
    assert ledger["tokens_in"].sum() == sum(usage.tokens_in for usage in answered)
    assert ledger["tokens_cached"].sum() == sum(usage.cached for usage in answered)
    assert ledger["tokens_out"].sum() == sum(usage.tokens_out for usage in answered)
    spent = asking.answers.spent("e")
    assert (spent.questions, spent.tries) == (ledger.height, asking.fake.requests)
    assert spent.usd == pytest.approx(ledger["usd"].sum())
    assert spent.usd <= asking.usd() + 1e-9
    assert spent.usd_at_most >= asking.usd() - 1e-9
    assert spent.usd_held == 0


class TestLedger:
    def test_a_question_is_a_row(self, asking):
        begun = datetime.now(UTC)
        asking.ask(question(purpose=Purpose(asset="labels_baez", feature="f1", method="baez")))
        (row,) = asking.answers.ledger("e").rows(named=True)
        assert (row["asset"], row["feature"], row["method"], row["model"]) == ("labels_baez", "f1", "baez", "fake-1")
        assert (row["tries"], row["outcome"], row["detail"]) == (1, "ok", None)
        assert begun - timedelta(seconds=1) < row["asked_at"] < datetime.now(UTC)
        assert row["usd"] == row["usd_at_most"] == pytest.approx(asking.usd())
        agrees_with_the_endpoint(asking)

    def test_an_answer_that_is_kept_costs_nothing_and_is_no_row(self, asking):
        for _ in range(3):
            asking.ask()
        assert asking.answers.ledger("e").height == 1
        agrees_with_the_endpoint(asking)

    def test_cached_tokens_are_counted_at_their_price(self, asking):
        system = {"role": "system", "content": " ".join(["You are careful."] * 20)}
        for text in ("One?", "Two?"):
            request = question(text)
            asking.ask(replace(request, messages=(system, *request.messages)))
        first, second = asking.answers.ledger("e").rows(named=True)
        assert (first["tokens_cached"], second["tokens_cached"]) == (0, 80)
        assert second["usd"] < first["usd"]
        assert asking.answers.spent("e").usd == pytest.approx(asking.usd())

    @pytest.mark.parametrize("concurrency", [1, 8])
    def test_it_agrees_with_the_endpoint_whatever_goes_wrong(self, asking, concurrency):
        asking.fake.faults = lambda number, _: FAULTS[number % len(FAULTS)]
        chat = asking.chat(concurrency=concurrency, tries=4)
        results = ask_all(chat, [*questions(30), judged()])
        assert all(isinstance(result, Completion) for result in results)
        agrees_with_the_endpoint(asking)

    def test_a_question_that_is_asked_again_is_a_row_of_its_own(self, asking):
        asking.fake.faults = in_turn(says("[1]"))
        asking.ask(judged())
        assert asking.answers.ledger("e")["outcome"].to_list() == ["unparsable", "ok"]
        agrees_with_the_endpoint(asking)

    @pytest.mark.parametrize("fault", [hangs(), cut(), truncated_json()])
    def test_an_answer_that_was_lost_counts_at_the_most_it_can_have_cost(self, asking, fault):
        asking.fake.faults = always(fault)
        asking.ask(timeout_seconds=0.3, tries=2)
        spent = asking.answers.spent("e")
        assert spent.usd == 0
        assert spent.usd_at_most >= asking.usd() > 0
        assert spent.tries == 2

    def test_an_answer_without_token_counts_counts_at_the_most_it_can_have_cost(self, asking):
        asking.fake.faults = always(altered(usage=None))
        asking.ask()
        spent = asking.answers.spent("e")
        assert spent.usd_at_most >= asking.usd() > spent.usd == 0

    def test_a_run_that_is_cancelled_leaves_its_rows_and_holds_nothing(self, asking):
        asking.fake.faults = always(hangs())
        asyncio.run(cancelled_when_asked(asking.chat(max_usd=10.0), question(), asking.fake))
        spent = asking.answers.spent("e")
        assert (spent.questions, spent.tries, spent.usd_held) == (1, 1, 0)
        assert spent.usd_at_most >= asking.usd() > 0


class TestBudget:
    def test_it_is_never_exceeded_and_a_higher_one_asks_only_for_the_rest(self, asking):
        enough = ask_all(asking.chat(), questions(5)) and asking.usd()
        asking.fake.delay_seconds = 0.01
        asked = [question(f"What is number {index}?") for index in range(30)]
        limit = enough * 3
        results = ask_all(asking.chat(max_usd=limit), asked)
        assert {type(result) for result in results} == {Completion, BudgetError}
        assert asking.usd() <= limit
        assert asking.answers.spent("e").usd_held == 0
        answered = sum(isinstance(result, Completion) for result in results)
        assert asking.fake.requests == 5 + answered
        assert all(isinstance(result, Completion) for result in ask_all(asking.chat(max_usd=100.0), asked))
        assert asking.fake.requests == 35

    @pytest.mark.parametrize("fault", [cut(), truncated_json(), altered(usage=None)])
    def test_answers_that_are_lost_are_within_it(self, asking, fault):
        asking.fake.faults = lambda number, _: fault if number % 2 else None
        results = ask_all(asking.chat(max_usd=1.5), questions(40))
        assert any(isinstance(result, BudgetError) for result in results)
        assert asking.usd() <= 1.5
        assert asking.answers.spent("e").usd_at_most <= 1.5

    def test_a_schema_is_within_it(self, asking):
        requests = [question(str(index), schema=list_schema(5), max_tokens=1) for index in range(40)]
        results = ask_all(asking.chat(max_usd=0.5, answers="json_schema"), requests)
        assert any(isinstance(result, BudgetError) for result in results)
        assert asking.usd() <= 0.5

    def test_questions_wait_for_each_other_when_there_is_enough_for_one_at_a_time(self, asking):
        asking.fake.delay_seconds = 0.01
        results = ask_all(asking.chat(max_usd=0.25, concurrency=8), questions(4))
        assert all(isinstance(result, Completion) for result in results), results
        assert asking.fake.most_in_flight == 1

    def test_a_model_that_costs_nothing_needs_none(self, asking):
        free = {"usd_per_million_in": 0, "usd_per_million_cached_in": 0, "usd_per_million_out": 0}
        asking.ask(max_usd=0.0, **free)
        assert asking.answers.spent("e").usd_at_most == 0

    def test_what_others_of_the_experiment_have_spent_counts(self, asking):
        ask_all(asking.chat(), questions(5))
        with pytest.raises(BudgetError):
            asking.ask(max_usd=asking.usd())
        assert asking.fake.requests == 5
