"""The clock of the log: a tick per partition, held back while the partition catches up.

A grace period is what keeps a sale that was read before its receipt from crying wolf. It runs by ticks; so a tick must
not be written while the receipt may still stand unread in the log, as after a restart, when hours of one topic may be
read before a minute of another. A partition's clock ticks only when all that stood in its inputs one interval ago has
been read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topics.catalogue import INPUTS, MOVEMENTS, REPORTS, REROUTED

Ends = Mapping[str, int | None]
"""Topic -> where its log ended when it was last fetched; None: nobody knows yet."""

TOLD_BY_OTHERS = tuple(topic.name for topic in (*MOVEMENTS, REPORTS, REROUTED))
"""Inputs in which the end of a disagreement may stand."""


class Clock:
    """Decides, per partition, whether to tick. `strike` is called once an interval."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[Any, dict[str, int]]] = {}

    def may_tick(self, number: int, owner: Any, positions: Mapping[str, int], ends: Ends) -> bool:
        """Has all been read that stood in the log at the last call? `owner` changes with each assignment."""
        known = {topic: end for topic in TOLD_BY_OTHERS if (end := ends.get(topic)) is not None}
        before = self._before.get(number)
        self._before[number] = (owner, known)
        if before is None or before[0] is not owner or len(before[1]) < len(TOLD_BY_OTHERS):
            return False
        return all(positions.get(topic, 0) >= end for topic, end in before[1].items())


def strike(app: Any, runtime: Any, clock: Clock, now_ms: int) -> None:
    """Put a tick into the window of each partition that has caught up."""
    ends = highwaters(app)
    for number, ledger in list(runtime.ledgers.items()):
        writer = runtime.writers.get(number)
        if writer is None or writer.ledger is not ledger:
            continue
        positions = {topic: _position(app, ledger, topic, number) for topic in TOLD_BY_OTHERS}
        if clock.may_tick(number, ledger, positions, {topic: ends.get((topic, number)) for topic in TOLD_BY_OTHERS}):
            ledger.strike(now_ms)
            writer.add(0)


def _position(app: Any, ledger: Any, topic: str, number: int) -> int:
    """Up to where a topic is folded; of one of which nothing was read yet, where its log begins."""
    position: int | None = ledger.positions.get(topic)
    return position if position is not None else int(app.consumer._expected.get((topic, number), 0))


def highwaters(app: Any) -> dict[tuple[str, int], int]:
    """(topic, partition) -> the end of its log, as far as it is known."""
    names = {topic.name for topic in INPUTS}
    try:
        assigned = [tp for tp in app.consumer.assignment() if tp.topic in names]
        found = {(tp.topic, tp.partition): app.consumer.highwater(tp) for tp in assigned}
    except Exception:  # between two assignments aiokafka knows no highwater and says so in several ways
        return {}
    return {place: end for place, end in found.items() if end is not None}
