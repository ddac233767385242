"""When the next call to a channel may go out: backoff, Retry-After and circuit breaker in one place. Pure.

After a failure the wait doubles, with full jitter, so that many sinks do not come back in step. After some failures in
a row the breaker opens: nothing goes out for a cool-down, then a single probe decides.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from sinks.channel import MAX_WAIT_S

State = Literal["closed", "half_open", "open"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long to wait, in seconds."""

    base_s: float = 0.25
    most_s: float = 60.0
    failures_to_open: int = 5
    cool_down_s: float = 2.0
    most_cool_down_s: float = 60.0

    def backoff_s(self, failures: int, chance: random.Random) -> float:
        """Full jitter: anything up to base * 2^(failures - 1), at most `most_s`."""
        return chance.uniform(0.0, min(self.most_s, self.base_s * 2.0 ** min(failures - 1, 30)))


class Pace:
    """The state of one endpoint. All times are of one monotonic clock, and arguments."""

    def __init__(self, schedule: Schedule, chance: random.Random) -> None:
        self._schedule = schedule
        self._chance = chance
        self._not_before = 0.0
        self._open_until: float | None = None
        self._opened = 0
        self._probing = False
        self._failures = 0
        self._throttles = 0

    def wait_s(self, now: float) -> float:
        """Seconds until a call may go out; 0: now. While a probe is out, the others look again in a moment."""
        if self._probing:
            return max(0.05, self._schedule.base_s)
        return max(0.0, self._not_before - now, (self._open_until or 0.0) - now)

    def begin(self) -> None:
        """A call goes out. The first one after a cool-down is the probe."""
        if self._open_until is not None:
            self._probing = True

    def succeeded(self, now: float, wait_s: float = 0.0) -> None:
        """The channel answered as it should, and wants to be left alone for `wait_s`."""
        self._probing = False
        self._open_until = None
        self._failures = self._throttles = self._opened = 0
        if wait_s > 0:
            self._not_before = max(self._not_before, now + min(wait_s, MAX_WAIT_S))

    def throttled(self, now: float, retry_after_s: float | None) -> float:
        """The channel asked for patience; it is well otherwise. Returns the wait in seconds."""
        self._probing = False
        self._open_until = None
        self._throttles += 1
        wait = min(retry_after_s, MAX_WAIT_S) if retry_after_s is not None else 0.0
        # On top of what it asked for, or all waiters would return at the same instant.
        wait += self._schedule.backoff_s(1 if retry_after_s is not None else self._throttles, self._chance)
        self._not_before = max(self._not_before, now + wait)
        return wait

    def failed(self, now: float, wait_s: float = 0.0) -> float:
        """No answer, or a bad one (with a Retry-After, maybe). Returns the wait in seconds."""
        self._failures += 1
        wait = min(wait_s, MAX_WAIT_S) + self._schedule.backoff_s(self._failures, self._chance)
        if self._probing or (self._open_until is None and self._failures >= self._schedule.failures_to_open):
            self._probing = False
            cool_down = min(self._schedule.most_cool_down_s, self._schedule.cool_down_s * 2.0 ** min(self._opened, 30))
            self._opened += 1
            wait = cool_down * self._chance.uniform(0.5, 1.0)
            self._open_until = now + wait
        self._not_before = max(self._not_before, now + wait)
        return wait

    def state(self, now: float) -> State:
        """Of the breaker."""
        if self._open_until is None:
            return "closed"
        return "half_open" if self._probing or now >= self._open_until else "open"
