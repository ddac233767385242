"""The memory: the last `memory.records` records of each input partition's log, and nothing else.

It knows resends (same source and event id) and, for a count that arrives late, the movements stamped after it. It is
never written anywhere: it is read back from the log. A record at offset o is remembered while its partition's next
record stands at o + limit or before, exactly, wherever batches begin and end; so a worker that was restarted decides as
one that never stopped. Of what is forgotten only the newest stamps are kept (`forgotten`), which are part of the
partition's position record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from streams.core.stock import Place

Effects = tuple[tuple[Place, int], ...]
Identity = tuple[str, str]

MAX_VOIDED = 10_000
"""Offsets of refused movements that are written down per topic. They matter to late counts only."""


class Forgotten(NamedTuple):
    """The newest stamps (microseconds) among what was forgotten: of all records, and of those that moved a balance."""

    any: int = 0
    balance: int = 0


@dataclass(slots=True)
class Remembered:
    """One record of the log. `effects` is empty unless it was applied and moved a balance."""

    offset: int
    identity: Identity
    fingerprint: int
    sku: str
    sequence: int | None
    stamp: int
    effects: Effects
    gone: bool = False


class PartitionMemory:
    """The memory of one partition number, over all its input topics."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.forgotten = Forgotten()
        self.voided: dict[str, list[int]] = {}
        self._logs: dict[str, deque[Remembered]] = {}
        self._ids: dict[Identity, Remembered] = {}
        self._repeats: dict[Identity, list[Remembered]] = {}
        self._by_sku: dict[str, deque[Remembered]] = {}
        self._sequences: dict[tuple[str, str, int], int] = {}

    def __len__(self) -> int:
        return sum(map(len, self._logs.values()))

    def advance(self, topic: str, offset: int) -> None:
        """The next record of this topic stands at `offset`: forget what is more than `limit` before it."""
        log = self._logs.get(topic)
        first = offset - self.limit
        if log and log[0].offset < first:
            while log and log[0].offset < first:
                self._forget(log.popleft())
            voided = self.voided.get(topic)
            if voided and voided[0] < first:
                self.voided[topic] = [o for o in voided if o >= first]

    def find(self, identity: Identity) -> Remembered | None:
        """The first remembered record with this source and event id."""
        return self._ids.get(identity)

    def add(self, topic: str, record: Remembered) -> None:
        """Remember a record. `advance` was called for its offset."""
        log = self._logs.get(topic)
        if log is None:
            log = self._logs[topic] = deque()
        log.append(record)
        if self._ids.setdefault(record.identity, record) is not record:
            self._repeats.setdefault(record.identity, []).append(record)
        if record.sequence is not None:
            number = (record.identity[0], record.sku, record.sequence)
            self._sequences[number] = self._sequences.get(number, 0) + 1
        if record.effects:
            chain = self._by_sku.get(record.sku)
            if chain is None:
                chain = self._by_sku[record.sku] = deque()
            chain.append(record)

    def void(self, topic: str, offset: int) -> None:
        """A record that was refused after decoding: it must not count as a movement when the memory is read back."""
        offsets = self.voided.setdefault(topic, [])
        offsets.append(offset)
        del offsets[:-MAX_VOIDED]

    def is_void(self, topic: str, offset: int) -> bool:
        """Was this record refused when it was first read?"""
        return offset in self.voided.get(topic, ())

    def moved_after(self, sku: str, place: Place, stamp: int) -> int:
        """Units by which remembered movements stamped after `stamp` changed the balance of a place."""
        return sum(
            delta
            for record in self._by_sku.get(sku, ())
            if record.stamp > stamp and not record.gone
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

    def _forget(self, record: Remembered) -> None:
        identity = record.identity
        repeats = self._repeats.get(identity)
        if repeats is None:
            del self._ids[identity]
        else:
            self._forget_repeat(record, repeats)
        if record.sequence is not None:
            self._forget_sequence((identity[0], record.sku, record.sequence))
        newest, stamp = self.forgotten, record.stamp
        if stamp > newest.any or (record.effects and stamp > newest.balance):
            self.forgotten = Forgotten(
                max(newest.any, stamp), max(newest.balance, stamp) if record.effects else newest.balance
            )
        if record.effects:
            record.gone = True
            chain = self._by_sku[record.sku]
            while chain and chain[0].gone:
                chain.popleft()
            if not chain:
                del self._by_sku[record.sku]

    def _forget_sequence(self, number: tuple[str, str, int]) -> None:
        left = self._sequences[number] - 1
        if left:
            self._sequences[number] = left
        else:
            del self._sequences[number]

    def _forget_repeat(self, record: Remembered, repeats: list[Remembered]) -> None:
        """Others with this identity are remembered: the first of them speaks for it from now on."""
        if self._ids[record.identity] is record:
            self._ids[record.identity] = repeats.pop(0)
        else:
            repeats.remove(record)
        if not repeats:
            del self._repeats[record.identity]
