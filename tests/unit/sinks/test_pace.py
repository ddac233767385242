"""Backoff, Retry-After and the breaker, on a clock of the test's own."""

from __future__ import annotations

import random

import pytest

from sinks.channel import MAX_WAIT_S
from sinks.pace import Pace, Schedule

SCHEDULE = Schedule(base_s=1.0, most_s=8.0, failures_to_open=3, cool_down_s=10.0, most_cool_down_s=40.0)


class Always(random.Random):
    """Chance at its highest."""

    def uniform(self, a: float, b: float) -> float:
        return b


@pytest.fixture
def pace() -> Pace:
    return Pace(SCHEDULE, Always())


def test_waits_double_up_to_a_limit() -> None:
    patient = Pace(Schedule(base_s=1.0, most_s=8.0, failures_to_open=100), Always())
    assert [patient.failed(0.0) for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_jitter_is_full() -> None:
    waits = {Pace(SCHEDULE, random.Random(seed)).failed(0.0) for seed in range(200)}
    assert min(waits) < 0.05
    assert 0.95 < max(waits) <= 1.0


def test_success_forgets_the_failures(pace: Pace) -> None:
    pace.failed(0.0)
    pace.failed(0.0)
    pace.succeeded(5.0)
    assert pace.wait_s(5.0) == 0.0
    assert pace.failed(5.0) == 1.0
    assert pace.state(5.0) == "closed"


def test_the_breaker_opens_lets_one_probe_pass_and_closes(pace: Pace) -> None:
    for _ in range(SCHEDULE.failures_to_open):
        assert pace.state(0.0) == "closed"
        pace.failed(0.0)
    assert pace.state(0.0) == "open"
    assert pace.wait_s(0.0) == pytest.approx(10.0)
    assert pace.state(10.0) == "half_open"
    assert pace.wait_s(10.0) == 0.0
    pace.begin()
    assert pace.wait_s(10.0) > 0, "one probe at a time"
    pace.succeeded(11.0)
    assert (pace.state(11.0), pace.wait_s(11.0)) == ("closed", 0.0)


def test_a_probe_that_fails_doubles_the_cool_down(pace: Pace) -> None:
    now, waits = 0.0, []
    for _ in range(SCHEDULE.failures_to_open):
        pace.failed(now)
    for _ in range(4):
        now += pace.wait_s(now)
        pace.begin()
        waits.append(pace.failed(now))
    assert waits == [20.0, 40.0, 40.0, 40.0]


def test_calls_that_end_while_it_is_open_do_not_open_it_again(pace: Pace) -> None:
    for _ in range(10):
        pace.failed(0.0)
    assert pace.wait_s(0.0) == pytest.approx(10.0)


@pytest.mark.parametrize(("asked", "least"), [(3.0, 3.0), (1e9, MAX_WAIT_S), (None, 0.0)])
def test_retry_after_is_kept_and_capped(pace: Pace, asked: float | None, least: float) -> None:
    wait = pace.throttled(0.0, asked)
    assert least <= wait <= least + 1.0
    assert pace.wait_s(0.0) == wait
    assert pace.state(0.0) == "closed", "a channel that throttles is well"


def test_throttled_without_a_time_backs_off(pace: Pace) -> None:
    assert [pace.throttled(0.0, None) for _ in range(3)] == [1.0, 2.0, 4.0]


def test_a_channel_may_ask_for_a_pause_after_success(pace: Pace) -> None:
    pace.succeeded(0.0, 2.5)
    assert pace.wait_s(1.0) == pytest.approx(1.5)
    pace.succeeded(3.0, 1e9)
    assert pace.wait_s(3.0) == MAX_WAIT_S
