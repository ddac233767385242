"""The memory: the last `memory.records` records of each input partition's log, and nothing else.

It knows resends (same source and event id) and, for a count that arrives late, the movements stamped after it. It is
never written anywhere: it is read back from the log. A record at offset o is remembered while its topic was read up to
o + limit or before, exactly, wherever batches begin and end. Of what is forgotten only the newest stamps are kept
(`forgotten`), which are part of the partition's position record.

What it answers depends on the *set* of remembered records alone, never on the order in which they came: at a start the
topics are read back one by one, so that what was second then may be first now. Therefore a resend is remembered just
like the record that it repeats (and counts once, with the earlier stamp), and a record that was refused is not
remembered at all: it must not speak for its event id or its number. The offsets of the refused (`voided`) are written
down with the position, since the log cannot tell them from the others.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from streams.core.stock import Place

Effects = tuple[tuple[Place, int], ...]
Identity = tuple[str, str]

MAX_VOIDED = 10_000
"""Offsets of refused records that are written down per topic. Past it, records older than all of them are forgotten."""


class Forgotten(NamedTuple):
    """The newest stamps (microseconds) among what was forgotten: of all records, and of those that moved a balance."""

    any: int = 0
    balance: int = 0


@dataclass(slots=True)
class Remembered:
    """One record of the log that was not refused. `effects`: the balances that it moves; a resend has them too.

    fingerprint: of the known fields; comparable within one process only (text hashes differently in the next one),
    which is as far as a memory lives. quantity: what it said, to be shown beside what contradicts it.
    """

    offset: int
    identity: Identity
    fingerprint: int
    sku: str
    quantity: int
    sequence: int | None
    stamp: int
    effects: Effects


class PartitionMemory:
    """The memory of one partition number, over all its input topics."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.forgotten = Forgotten()
        self.voided: dict[str, list[int]] = {}
        self._logs: dict[str, deque[Remembered]] = {}
        self._ids: dict[Identity, Remembered] = {}
        self._repeats: dict[Identity, list[Remembered]] = {}
        self._moves: dict[str, dict[Identity, Remembered]] = {}
        self._sequences: dict[tuple[str, str, int], int] = {}

    def __len__(self) -> int:
        return sum(map(len, self._logs.values()))

    def advance(self, topic: str, offset: int) -> None:
        """This topic was read up to `offset` (exclusive): forget what is more than `limit` before it.

        `add` and `void` do so for their own record; call it for records that never come here (dead letters, rerouted),
        with their offset + 1, and for nothing else: then batches cannot matter, nor can gaps between offsets.
        """
        first = offset - self.limit
        self._forget_before(topic, first)
        voided = self.voided.get(topic)
        if voided and voided[0] < first:
            del voided[: bisect_left(voided, first)]

    def find(self, identity: Identity) -> Remembered | None:
        """A remembered record with this source and event id. All that have it have the same content."""
        return self._ids.get(identity)

    def add(self, topic: str, record: Remembered) -> None:
        """Remember a record that was applied, or that repeats one."""
        log = self._logs.get(topic)
        if log is None:
            log = self._logs[topic] = deque()
        log.append(record)
        identity = record.identity
        if self._ids.setdefault(identity, record) is not record:
            self._repeats.setdefault(identity, []).append(record)
        elif record.effects:
            moves = self._moves.get(record.sku)
            if moves is None:
                self._moves[record.sku] = {identity: record}
            else:
                moves[identity] = record
        if record.sequence is not None:
            number = (identity[0], record.sku, record.sequence)
            self._sequences[number] = self._sequences.get(number, 0) + 1
        if log[0].offset <= record.offset - self.limit:
            self.advance(topic, record.offset + 1)

    def void(self, topic: str, offset: int) -> None:
        """The record at `offset` was refused after decoding: it is not remembered, now or when the log is read back."""
        offsets = self.voided.setdefault(topic, [])
        offsets.append(offset)
        self.advance(topic, offset + 1)
        if len(offsets) > MAX_VOIDED:
            del offsets[0]
            self._forget_before(topic, offsets[0])

    def is_void(self, topic: str, offset: int) -> bool:
        """Was this record refused when it was first read, or forgotten since for want of room in `voided`?"""
        offsets = self.voided.get(topic)
        if not offsets:
            return False
        if offset < offsets[0]:
            return len(offsets) >= MAX_VOIDED
        found = bisect_left(offsets, offset)
        return found < len(offsets) and offsets[found] == offset

    def moved_after(self, sku: str, place: Place, stamp: int) -> int:
        """Units by which remembered movements stamped after `stamp` changed the balance of a place."""
        return sum(
            delta
            for record in self._moves.get(sku, {}).values()
            if record.stamp > stamp and self._first_stamp(record) > stamp
            for where, delta in record.effects
            if where == place
        )

    def knows_sequence(self, source: str, sku: str, sequence: int) -> bool:
        """Does a remembered record of this source and SKU carry this number?"""
        return (source, sku, sequence) in self._sequences

    def restore(self, forgotten: Forgotten, voided: Mapping[str, Iterable[int]]) -> None:
        """What the position record says of it, before the log is read back."""
        self.forgotten = forgotten
        self.voided = {topic: sorted(offsets) for topic, offsets in voided.items()}

    def lost(self, stamp: int) -> None:
        """Records stamped up to `stamp` should be remembered, but Kafka's retention removed them before they were read
        back: they are forgotten."""
        self.forgotten = Forgotten(max(self.forgotten.any, stamp), max(self.forgotten.balance, stamp))

    def _first_stamp(self, record: Remembered) -> int:
        """A resend of what claims to come from the future has a later stamp, since the broker's time bounds it."""
        repeats = self._repeats.get(record.identity) if self._repeats else None
        return record.stamp if repeats is None else min(record.stamp, *(repeat.stamp for repeat in repeats))

    def _forget_before(self, topic: str, first: int) -> None:
        log = self._logs.get(topic)
        while log and log[0].offset < first:
            self._forget(log.popleft())

    def _forget(self, record: Remembered) -> None:
        identity, stamp = record.identity, record.stamp
        if identity in self._repeats:
            self._forget_repeated(record)
        else:
            del self._ids[identity]
            if record.effects:
                self._forget_move(record)
        if record.sequence is not None:
            self._forget_sequence((identity[0], record.sku, record.sequence))
        newest = self.forgotten
        if stamp > newest.any or (record.effects and stamp > newest.balance):
            balance = max(newest.balance, stamp) if record.effects else newest.balance
            self.forgotten = Forgotten(max(newest.any, stamp), balance)

    def _forget_move(self, record: Remembered) -> None:
        moves = self._moves[record.sku]
        if len(moves) == 1:
            del self._moves[record.sku]
        else:
            del moves[record.identity]

    def _forget_sequence(self, number: tuple[str, str, int]) -> None:
        left = self._sequences[number] - 1
        if left:
            self._sequences[number] = left
        else:
            del self._sequences[number]

    def _forget_repeated(self, record: Remembered) -> None:
        """Others with this identity are remembered: one of them speaks for it from now on."""
        repeats = self._repeats[record.identity]
        if self._ids[record.identity] is record:
            speaker = self._ids[record.identity] = repeats.pop()
            if speaker.effects:
                self._moves[speaker.sku][speaker.identity] = speaker
        else:
            repeats[:] = [other for other in repeats if other is not record]
        if not repeats:
            del self._repeats[record.identity]
