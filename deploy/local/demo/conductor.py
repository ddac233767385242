"""The beat that all source systems follow: the demo's clock goes on only while the pipeline keeps up.

So the sources stay in step with one another and with the worker on a slow machine, too. Without it a machine that is
busy with something else would let a topic fall far behind the others, and sources would truly disagree for as long as
it takes to catch up: a reason to open discrepancies, but none that is known beforehand.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from deploy.local.demo.script import Record

MAX_BEHIND = 6_000
"""Records that are sent, or due, and not yet published: about one second of the feed."""
MAX_BEHIND_ALONE = 18_000
"""The same while the worker is away: sources do not wait for a worker that has died, but not for ever either."""
LONGEST_STEP_MS = 250


class Conductor:
    """Says how far the feed's time may go. Time itself is an argument."""

    def __init__(self, feed: Iterable[Iterable[Record]]) -> None:
        self._due = sorted(record.due for records in feed for record in records)
        self._last: float | None = None
        self.now_ms = 0
        self.holds = False

    @property
    def over(self) -> bool:
        """Everything is due."""
        return self.now_ms >= self._due[-1]

    def beat(self, seconds: float, done: int, *, alone: bool = False) -> int:
        """The feed's time, in ms. `seconds`: a clock of ours; `done`: records that are published already."""
        passed = 0 if self._last is None else round(1000 * (seconds - self._last))
        self._last = seconds
        behind = bisect_right(self._due, self.now_ms) - done
        self.holds = behind > (MAX_BEHIND_ALONE if alone else MAX_BEHIND)
        if not self.holds:
            self.now_ms += min(passed, LONGEST_STEP_MS)
        return self.now_ms
