"""The database of answers: what is kept, what is counted, and that several processes can share it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from baez_pipeline.answers import Answers, Asked
from baez_pipeline.errors import AnswersError, BudgetError
from baez_pipeline.tables import Ledger, Outcome

PROCESSES = 3
TEST_DATABASE = "BAEZ_TEST_DATABASE"
ASKED = Asked(
    experiment="e",
    asset="labels_baez",
    feature="f1",
    method="baez",
    model="fake-1",
    asked_at=1_000_000_000.5,
    seconds=0.25,
    tries=1,
    tokens_in=10,
    tokens_cached=4,
    tokens_out=2,
    usd=0.25,
    usd_at_most=0.25,
    outcome=Outcome.OK,
    detail=None,
)


def open_in(url: str) -> None:
    Answers(url)


def settle_many(url: str, worker: str, number: int) -> None:
    answers = Answers(url)
    for index in range(number):
        request = answers.hold("e", 0.25, max_usd=1000, seconds=60)
        key = f"{worker} {index}"
        answers.settle(request, replace(ASKED, feature=key), key=key, body=key.encode())
        answers.keep(f"of all {index}", worker.encode())


def hold_many(url: str, number: int, max_usd: float) -> int:
    answers = Answers(url)
    held = 0
    for _ in range(number):
        try:
            answers.hold("e", 0.25, max_usd=max_usd, seconds=60)
        except BudgetError:
            continue
        held += 1
    return held


@pytest.fixture(scope="module")
def processes():
    """Started once: a new interpreter imports for a second or two."""
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        yield pool


@pytest.fixture
def sqlite_url(tmp_path):
    return f"sqlite:///{tmp_path / 'answers.sqlite'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, sqlite_url):
    if request.param == "sqlite":
        yield sqlite_url
        return
    server = os.environ.get(TEST_DATABASE)
    if not server:
        pytest.skip(f"{TEST_DATABASE} names no PostgreSQL database, such as postgresql+psycopg://user@host/database")
    engine, schema = sa.create_engine(server), f"test_{uuid.uuid4().hex}"
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA {schema}"))
    own = sa.make_url(server).update_query_dict({"options": f"-csearch_path={schema}"})
    yield own.render_as_string(hide_password=False)
    with engine.begin() as connection:
        connection.execute(sa.text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


@pytest.fixture
def answers(url):
    return Answers(url)


class TestAnswers:
    def test_a_kept_answer_is_there_for_a_later_process(self, url, answers, processes):
        processes.apply(settle_many, (url, "elsewhere", 1))
        assert answers.kept("elsewhere 0") == b"elsewhere 0"
        assert Answers(url).kept("elsewhere 0") == b"elsewhere 0"
        assert answers.kept("elsewhere 1") is None

    def test_any_bytes_come_back_as_they_were(self, answers):
        body = bytes(range(256)) * 1000
        answers.keep("k", body)
        answers.keep("empty", b"")
        assert (answers.kept("k"), answers.kept("empty")) == (body, b"")

    def test_of_two_answers_to_one_question_the_first_stays(self, answers):
        answers.keep("k", b"first")
        answers.keep("k", b"second")
        answers.settle(answers.hold("e", 0, max_usd=None, seconds=1), ASKED, key="k", body=b"third")
        assert answers.kept("k") == b"first"
        assert answers.ledger("e").height == 1

    def test_processes_that_write_at_once_lose_nothing(self, url, answers, processes):
        workers = ["a", "b", "c"]
        processes.starmap(settle_many, [(url, worker, 40) for worker in workers], chunksize=1)
        keys = sorted(f"{worker} {index}" for worker in workers for index in range(40))
        assert [answers.kept(key) for key in keys] == [key.encode() for key in keys]
        assert sorted(answers.ledger("e")["feature"]) == keys
        assert all(answers.kept(f"of all {index}") in (b"a", b"b", b"c") for index in range(40))
        spent = answers.spent("e")
        assert (spent.usd, spent.usd_held, spent.questions) == (30.0, 0.0, 120)

    def test_processes_can_open_a_new_database_at_once(self, tmp_path, url, processes):
        if url.startswith("postgresql"):
            processes.map(open_in, [url] * PROCESSES, chunksize=1)
        for number in range(10):
            new = f"sqlite:///{tmp_path / f'{number}.sqlite'}"
            processes.map(open_in, [new] * PROCESSES, chunksize=1)
            assert Answers(new).kept("nothing") is None

    def test_threads_share_one_instance(self, answers):
        def keep(name: int) -> None:
            for index in range(20):
                answers.keep(f"{name} {index}", b"x")

        threads = [threading.Thread(target=keep, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(answers.kept(f"{name} {index}") == b"x" for name in range(4) for index in range(20))


class TestBudget:
    def test_processes_that_hold_at_once_never_hold_more_than_the_budget(self, url, answers, processes):
        held = processes.starmap(hold_many, [(url, 30, 10.0)] * PROCESSES, chunksize=1)
        assert sum(held) == 40
        assert answers.spent("e").usd_held == 10.0

    def test_the_sentence_says_what_is_spent_and_how_to_go_on(self, answers):
        answers.settle(answers.hold("e", 0.25, max_usd=1, seconds=60), ASKED, key=None, body=None)
        answers.hold("e", 0.5, max_usd=1, seconds=60)
        with pytest.raises(BudgetError) as refusal:
            answers.hold("e", 0.5, max_usd=1, seconds=60)
        for part in ("experiment e ", "$0.2500 spent", "$0.5000 held", "$0.5000 for the next", "$1.", "run again"):
            assert part in str(refusal.value)
        answers.hold("e", 0.5, max_usd=2, seconds=60)

    def test_money_is_free_again_when_the_question_is_settled_for_less_or_released(self, answers):
        settled = answers.hold("e", 0.5, max_usd=1, seconds=60)
        released = answers.hold("e", 0.5, max_usd=1, seconds=60)
        answers.settle(settled, ASKED, key=None, body=None)
        answers.release(released)
        assert answers.spent("e").usd_held == 0
        answers.hold("e", 0.75, max_usd=1, seconds=60)

    def test_answers_lost_on_the_way_count_at_the_most_they_can_have_cost(self, answers):
        lost = replace(ASKED, usd=0.0, usd_at_most=0.75, outcome=Outcome.TIMED_OUT)
        answers.settle(answers.hold("e", 0.75, max_usd=1, seconds=60), lost, key=None, body=None)
        with pytest.raises(BudgetError):
            answers.hold("e", 0.5, max_usd=1, seconds=60)
        spent = answers.spent("e")
        assert (spent.usd, spent.usd_at_most, spent.usd_held, spent.questions, spent.tries) == (0.0, 0.75, 0.0, 1, 1)

    def test_what_a_killed_process_held_counts_as_spent_after_its_time(self, answers):
        answers.hold("e", 1.0, max_usd=2, seconds=0)
        spent = answers.spent("e")
        assert (spent.usd, spent.usd_at_most, spent.usd_held) == (0.0, 1.0, 0.0)
        answers.hold("e", 1.0, max_usd=2, seconds=60)
        with pytest.raises(BudgetError):
            answers.hold("e", 1.0, max_usd=2, seconds=60)

    def test_money_of_a_question_that_has_to_wait_longer_stays_held(self, answers):
        request = answers.hold("e", 1.0, max_usd=1.0, seconds=0)
        answers.prolong([request], seconds=60)
        assert answers.spent("e").usd_held == 1.0

    def test_each_experiment_has_its_own(self, answers):
        answers.hold("e", 1.0, max_usd=1, seconds=60)
        answers.hold("other", 1.0, max_usd=1, seconds=60)
        assert answers.spent("third").usd_held == 0

    def test_without_a_budget_nothing_is_held(self, answers):
        answers.hold("e", 1e9, max_usd=None, seconds=60)
        assert answers.spent("e").usd_held == 0


class TestSettling:
    def test_a_row_that_cannot_be_written_leaves_no_answer_and_frees_no_money(self, answers):
        answers.settle(first := answers.hold("e", 0.5, max_usd=None, seconds=60), ASKED, key=None, body=None)
        with pytest.raises(AnswersError, match="failed"):
            answers.settle(first, ASKED, key="k", body=b"x")
        held = answers.hold("e", 0.5, max_usd=10, seconds=60)
        with pytest.raises(AnswersError, match="failed"):
            answers.settle(held, replace(ASKED, usd=None), key="k", body=b"x")
        assert answers.kept("k") is None
        assert (answers.spent("e").questions, answers.spent("e").usd_held) == (1, 0.5)

    def test_a_kill_leaves_every_answer_with_its_row(self, sqlite_url):
        endless = f"import sys; from {__name__} import settle_many; settle_many(sys.argv[1], 'w', 10**9)"
        process = subprocess.Popen([sys.executable, "-c", endless, sqlite_url])
        answers = Answers(sqlite_url)
        try:
            while answers.spent("e").questions < 20:
                assert process.poll() is None
                time.sleep(0.01)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        rows = answers.ledger("e")["feature"].to_list()
        assert all(answers.kept(key) == key.encode() for key in rows)
        assert answers.kept(f"w {len(rows)}") is None
        assert answers.spent("e").usd_held <= 0.25


class TestLedger:
    def test_rows_are_of_the_schema_in_the_order_of_asking(self, answers):
        later = replace(ASKED, asked_at=ASKED.asked_at + 1, outcome=Outcome.REFUSED, detail="no", tokens_cached=None)
        for asked in (later, ASKED, replace(ASKED, experiment="other")):
            answers.settle(answers.hold("e", 0, max_usd=None, seconds=60), asked, key=None, body=None)
        ledger = answers.ledger("e")
        assert Ledger.is_valid(ledger)
        assert ledger["outcome"].to_list() == ["ok", "refused"]
        first, second = ledger.drop("request", "outcome").rows(named=True)
        assert first == {
            "experiment": "e",
            "asset": "labels_baez",
            "feature": "f1",
            "method": "baez",
            "model": "fake-1",
            "asked_at": datetime.fromtimestamp(1_000_000_000.5, UTC),
            "seconds": 0.25,
            "tries": 1,
            "tokens_in": 10,
            "tokens_cached": 4,
            "tokens_out": 2,
            "usd": 0.25,
            "usd_at_most": 0.25,
            "detail": None,
        }
        assert (second["tokens_cached"], second["detail"]) == (None, "no")

    def test_nobody_asked_is_no_row(self, answers):
        assert answers.ledger("e").height == 0
        assert answers.spent("e").questions == 0

    @pytest.mark.parametrize("detail", ["a zero \0 byte", "half a pair \ud800", "\U0001f600"])
    def test_any_detail_that_a_service_can_send_is_written(self, answers, detail):
        request = answers.hold("e", 0, max_usd=None, seconds=60)
        answers.settle(request, replace(ASKED, detail=detail), key=None, body=None)
        assert answers.ledger("e").height == 1
