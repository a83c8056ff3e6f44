import asyncio
import functools
import time

import pytest

from baez_pipeline.errors import BudgetError
from baez_pipeline.llm.in_flight import as_finished


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
