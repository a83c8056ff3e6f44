"""The pace of an engine over real HTTP, on a clock that passes only while somebody waits."""

from baez_pipeline.tables import Outcome
from baez_pipeline_tests.nla.asking import DAWN, Clock, peak
from baez_pipeline_tests.nla_service import FakeNla, in_turn, turned_away


def test_no_hour_holds_more_requests_than_the_service_allows(explained, caplog):
    clock, times = Clock(), []
    fake = FakeNla(on_request=lambda: times.append(clock()), faults=in_turn(None, turned_away(500)))
    peaks = [peak(position=position) for position in range(3, 11)]
    with caplog.at_level("INFO"):
        said = explained(fake, *peaks, clock=clock, requests_per_hour=3)
    assert all(explanation.outcome is Outcome.OK for explanation in said)
    assert len(times) == len(peaks) + 1, "a try that failed counts too"
    assert times[0] == times[1] == 1000.0, "the first ones go at once"
    for start in times:
        assert sum(start <= time < start + 3600 for time in times) <= 3
    assert "the service allows 3 requests an hour" in caplog.text


def test_a_kept_answer_takes_no_turn(explained):
    fake = FakeNla()
    peaks = [peak(position=position) for position in range(3, 6)]
    explained(fake, *peaks, requests_per_hour=3)
    clock = Clock()
    explained(fake, *peaks, *peaks, clock=clock, requests_per_hour=1)
    assert clock.waits == []


def test_the_services_own_count_is_heeded_although_another_process_used_it_up(explained):
    clock, fake = Clock(), FakeNla(left_this_hour=1)
    clock.then = lambda: setattr(fake, "left_this_hour", 120)
    said = explained(fake, peak(), peak(position=DAWN), clock=clock, requests_per_hour=120)
    assert all(explanation.outcome is Outcome.OK for explanation in said)
    assert (clock.waits, fake.requests) == ([30.0], 2)


def test_a_limit_that_is_reached_is_waited_for(explained):
    clock, fake = Clock(), FakeNla(left_this_hour=0)
    clock.then = lambda: setattr(fake, "left_this_hour", 120)
    (said,) = explained(fake, peak(), clock=clock)
    assert (said.outcome, clock.waits, fake.requests) == (Outcome.OK, [30.0], 2)
