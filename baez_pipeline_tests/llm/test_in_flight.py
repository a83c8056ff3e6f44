import asyncio
import functools
import threading
import time

import pytest

from baez_pipeline.errors import BudgetError, TableError
from baez_pipeline.llm.in_flight import as_finished, together


async def job(number, *, seconds, begun, fails=None):
    begun.append(number)
    await asyncio.sleep(seconds)
    if fails:
        raise fails
    return number


def jobs(begun, *, failing, error, count=6):
    return [
        functools.partial(job, number, seconds=0.05 if number == failing else 0.15, begun=begun)
        if number != failing
        else functools.partial(job, number, seconds=0.05, begun=begun, fails=error)
        for number in range(count)
    ]


def test_what_is_in_flight_when_a_job_stops_the_run_is_given_before_the_error():
    begun, given = [], []
    with pytest.raises(BudgetError):
        for result in as_finished(jobs(begun, failing=1, error=BudgetError("spent")), limit=3):
            given.append(result)
    assert begun == [0, 1, 2]
    assert sorted(given) == [0, 2]


def test_any_other_error_cancels_what_is_in_flight():
    begun, given = [], []
    with pytest.raises(ZeroDivisionError):
        given.extend(as_finished(jobs(begun, failing=1, error=ZeroDivisionError()), limit=3))
    assert begun == [0, 1, 2]
    assert given == []


def test_never_more_jobs_at_once_than_the_limit():
    running, most = 0, 0

    async def counted(number):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return number

    results = list(as_finished([functools.partial(counted, number) for number in range(20)], limit=4))
    assert sorted(results) == list(range(20))
    assert most == 4


def test_jobs_go_on_while_the_caller_works_on_a_result():
    begun = []
    results = as_finished([functools.partial(job, number, seconds=0.01, begun=begun) for number in range(3)], limit=1)
    next(results)
    deadline = time.monotonic() + 5
    while len(begun) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert begun == [0, 1, 2]
    assert sorted(results) == [1, 2]


def test_who_stops_reading_cancels_what_is_in_flight_and_waits_for_its_end():
    ended = []

    async def careful(number):
        try:
            await asyncio.sleep(0.02 if number == 0 else 30)
        finally:
            ended.append(number)

    results = as_finished([functools.partial(careful, number) for number in range(3)], limit=3)
    next(results)
    results.close()
    assert sorted(ended) == [0, 1, 2]


class TestTogether:
    """Several who ask at the same time."""

    def test_the_jobs_of_all_run_at_once(self):
        first, second = asyncio.Event(), asyncio.Event()

        async def meet(own, other):
            own.set()
            await asyncio.wait_for(other.wait(), timeout=10)
            return "met"

        meetings = [functools.partial(meet, first, second), functools.partial(meet, second, first)]
        assert list(together([as_finished([meeting], limit=1) for meeting in meetings])) == ["met", "met"]

    def test_what_one_opens_before_it_asks_is_open_before_the_next_begins(self):
        said = []

        def reader(name):
            said.append(f"{name} opens")
            time.sleep(0.02)
            said.append(f"{name} is open")
            yield from as_finished([functools.partial(job, name, seconds=0.05, begun=[])], limit=1)

        assert sorted(together([reader("a"), reader("b"), reader("c")])) == ["a", "b", "c"]
        assert said == ["a opens", "a is open", "b opens", "b is open", "c opens", "c is open"]

    def test_when_one_stops_the_run_the_others_give_what_is_in_flight_and_begin_no_more(self):
        begun, last_word = [], asyncio.Event()

        async def go_on(number):
            begun.append(number)
            await asyncio.wait_for(last_word.wait(), timeout=10)
            await asyncio.sleep(0.05)
            return number

        async def stop():
            while len(begun) < 2:
                await asyncio.sleep(0.01)
            last_word.set()
            raise BudgetError("spent")

        given = []
        others = as_finished([functools.partial(go_on, number) for number in range(6)], limit=2)
        with pytest.raises(BudgetError, match="spent"):
            for result in together([others, as_finished([stop], limit=1)]):
                given.append(result)
        assert sorted(given) == begun == [0, 1]

    def test_an_error_before_anything_is_asked_stops_the_others_too(self):
        begun, threads = [], []

        async def go_on(number):
            begun.append(number)
            while not threads or threads[0].is_alive():
                await asyncio.sleep(0.01)
            return number

        def damaged():
            while not begun:
                time.sleep(0.01)
            threads.append(threading.current_thread())
            raise TableError("damaged")
            yield

        given = []
        others = as_finished([functools.partial(go_on, number) for number in range(6)], limit=1)
        with pytest.raises(TableError, match="damaged"):
            for result in together([others, damaged()]):
                given.append(result)
        assert given == begun == [0]

    def test_any_other_error_and_who_stops_reading_cancel_what_is_in_flight(self):
        begun, ended = [], []

        async def careful(number):
            begun.append(number)
            try:
                await asyncio.sleep(30)
            finally:
                ended.append(number)

        async def first(error):
            while len(begun) < 2:
                await asyncio.sleep(0.01)
            if error:
                raise error
            return "first"

        def readers(error=None):
            begun.clear()
            ended.clear()
            return [
                as_finished([functools.partial(careful, number) for number in range(2)], limit=2),
                as_finished([functools.partial(first, error), functools.partial(careful, 2)], limit=1),
            ]

        with pytest.raises(ZeroDivisionError):
            list(together(readers(ZeroDivisionError())))
        assert sorted(ended) == [0, 1]
        results = together(readers())
        assert next(results) == "first"
        results.close()
        assert sorted(ended) == sorted(begun)
        assert {0, 1} <= set(ended)
        assert not [thread for thread in threading.enumerate() if "(read)" in thread.name]
