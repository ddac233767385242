"""What each SKU's channel quantity ought to be, what is under way, and what is done. Pure: no I/O, time is an argument.

Only the newest version of a SKU counts, so memory grows with the SKUs and not with the updates. To zero goes first (a
sale of what is gone costs most), near zero next, large numbers last. A SKU is in at most one call at a time, which is
why an older version is never sent after a newer one.

An offset may be committed when every update up to it was pushed and reported, or superseded by one that was. So each
SKU remembers the offset of the first update that is not yet settled, and a partition is committed up to the lowest.
A SKU that waits for its listing holds the commit back too: after a restart it has to be found again. The topic is
compacted, so that this costs no more than reading and sending each SKU once.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sinks.channel import Wanted

NEAR_ZERO = 5
"""Units: from here down, one more sale elsewhere may oversell."""

Listing = Mapping[str, Any]
Taken = Literal["pending", "superseded", "stale", "nothing"]
"""What became of an update: first of its SKU, in the place of an older one, too old itself, not for this channel."""


@dataclass(frozen=True, slots=True)
class Update:
    """What a sync update says about one channel. quantity None: the channel no longer lists the SKU."""

    sku: str
    version: int
    quantity: int | None
    occurred_at: datetime
    written_at: float = 0.0
    """When the update was written to Kafka, in seconds since 1970."""


@dataclass(slots=True)
class _Entry:
    """One SKU. `since`: first offset not settled; `later`: first offset read while `flight` was under way."""

    partition: int
    newest: Update
    since: int | None = None
    flight: Update | None = None
    taken: int = 0
    later: int | None = None
    known: int | None = None
    round: int = 0


class _Offsets:
    """One partition: where we are, and the SKUs that hold the commit back."""

    def __init__(self) -> None:
        self.next = -1
        self.holding: list[tuple[int, str]] = []

    def hold(self, offset: int, sku: str) -> None:
        heapq.heappush(self.holding, (offset, sku))


class Delivery:
    """All SKUs of the partitions that this sink owns. `listing_of` gives the ids of a SKU, None where it has none."""

    def __init__(self, listing_of: Callable[[str], Listing | None]) -> None:
        self._listing_of = listing_of
        self._entries: dict[str, _Entry] = {}
        self._partitions: dict[int, _Offsets] = {}
        self._queues: tuple[dict[str, None], dict[str, None], dict[str, None]] = ({}, {}, {})
        self._unlisted: dict[str, None] = {}
        self._resting: list[tuple[float, str]] = []
        self._dirty = 0
        self._flying = 0
        self._takings = 0

    # what is read -----------------------------------------------------------------------------------------------

    def offer(self, partition: int, offset: int, update: Update) -> Taken:
        """An update was read."""
        offsets = self._partitions.setdefault(partition, _Offsets())
        offsets.next = max(offsets.next, offset + 1)
        entry = self._entries.get(update.sku)
        if entry is None:
            entry = self._entries[update.sku] = _Entry(partition, update)
        elif update.version <= entry.newest.version:
            return "stale"
        was_pending = entry.since is not None and (entry.flight is None or entry.later is not None)
        entry.newest = update
        entry.round = 0
        if entry.flight is not None:
            if entry.later is None:
                entry.later = offset
        elif update.quantity is None:
            self._clean(entry)
        else:
            if entry.since is None:
                self._hold(entry, offset)
            self._queue(entry)
        if was_pending:
            return "superseded"
        return "pending" if update.quantity is not None else "nothing"

    def reached(self, partition: int, offset: int) -> None:
        """Everything before this offset was read, and what of it was no update is done with."""
        offsets = self._partitions.setdefault(partition, _Offsets())
        offsets.next = max(offsets.next, offset)

    def listed(self, skus: Iterable[str]) -> None:
        """The listings of these SKUs have changed: those that waited for one are pending again."""
        for sku in skus:
            if sku in self._unlisted:
                self._queue(self._entries[sku])

    # what is sent -----------------------------------------------------------------------------------------------

    def take(self, limit: int, now: float) -> tuple[Wanted, ...]:
        """Up to `limit` SKUs to be sent now, most urgent first. They are under way until settled or released."""
        self._wake(now)
        batch: list[Wanted] = []
        for queue in self._queues:
            while queue and len(batch) < limit:
                sku = next(iter(queue))
                del queue[sku]
                entry = self._entries[sku]
                listing = self._listing_of(sku)
                if listing is None:
                    self._unlisted[sku] = None
                else:
                    batch.append(self._fly(entry, listing))
        return tuple(batch)

    def settle(self, item: Wanted, known: int | None) -> Update | None:
        """It is pushed and reported; `known` is what the channel now holds. Returns what was sent."""
        entry = self._flight_of(item)
        if entry is None or entry.flight is None:
            return None  # its partition was taken from us meanwhile
        done, entry.flight = entry.flight, None
        self._flying -= 1
        entry.known = known
        if entry.newest.version > done.version and entry.newest.quantity is not None:
            later, entry.later = entry.later, None
            self._release_hold(entry)
            self._hold(entry, later if later is not None else self._partitions[entry.partition].next)
            self._queue(entry)
        else:
            self._clean(entry)
        return done

    def release(self, item: Wanted, not_before: float, known: int | None) -> None:
        """It was not done: its SKU is pending again, at its newest, not before a time."""
        entry = self._flight_of(item)
        if entry is None or entry.flight is None:
            return
        done, entry.flight = entry.flight, None
        self._flying -= 1
        entry.known, entry.later = known, None
        entry.round = item.round + 1 if entry.newest.version == done.version else 0
        if entry.newest.quantity is None:
            self._clean(entry)
        elif not_before > 0:
            heapq.heappush(self._resting, (not_before, item.sku))
        else:
            self._queue(entry)

    def owns(self, item: Wanted) -> bool:
        """Whether it is still under way, and its partition still ours."""
        return self._flight_of(item) is not None

    # partitions and offsets -------------------------------------------------------------------------------------

    def drop(self, partitions: Iterable[int]) -> None:
        """These partitions belong to another sink now: forget all about them."""
        gone = set(partitions)
        for sku in [sku for sku, entry in self._entries.items() if entry.partition in gone]:
            entry = self._entries.pop(sku)
            self._dirty -= entry.since is not None
            self._flying -= entry.flight is not None
            self._unqueue(sku)
        for partition in gone:
            self._partitions.pop(partition, None)

    def commits(self) -> dict[int, int]:
        """Partition -> the offset to commit: the first that is not settled."""
        return {p: self._lowest(p, offsets) for p, offsets in self._partitions.items() if offsets.next >= 0}

    # what is shown ----------------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """SKUs whose newest quantity is not confirmed, those under way and those without a listing included."""
        return self._dirty

    @property
    def in_flight(self) -> int:
        """SKUs that are in a call now."""
        return self._flying

    @property
    def unlisted(self) -> int:
        """SKUs that wait for a listing."""
        return len(self._unlisted)

    def flying_in(self, partitions: Iterable[int]) -> int:
        """SKUs of these partitions that are in a call now."""
        wanted = set(partitions)
        return sum(1 for e in self._entries.values() if e.flight is not None and e.partition in wanted)

    def oldest_written_at(self) -> float | None:
        """When the oldest of the newest pending updates was written; None when nothing is pending."""
        return min((e.newest.written_at for e in self._entries.values() if e.since is not None), default=None)

    def wakes_at(self) -> float | None:
        """When the first SKU that rests is due; None when none rests."""
        return self._resting[0][0] if self._resting else None

    # inside -----------------------------------------------------------------------------------------------------

    def _fly(self, entry: _Entry, listing: Listing) -> Wanted:
        update = entry.newest
        quantity = max(0, update.quantity or 0)
        self._takings += 1
        self._flying += 1
        entry.flight, entry.taken = update, self._takings
        return Wanted(
            sku=update.sku,
            version=update.version,
            quantity=quantity,
            occurred_at=update.occurred_at,
            listing=listing,
            known=entry.known,
            round=entry.round,
            flight=entry.taken,
        )

    def _flight_of(self, item: Wanted) -> _Entry | None:
        """The entry, if it is this very taking that is under way: the SKU may have been settled and taken again."""
        entry = self._entries.get(item.sku)
        return entry if entry is not None and entry.flight is not None and entry.taken == item.flight else None

    def _queue(self, entry: _Entry) -> None:
        sku, quantity = entry.newest.sku, entry.newest.quantity or 0
        urgency = 0 if quantity <= 0 else 1 if quantity <= NEAR_ZERO else 2
        if sku in self._queues[urgency]:
            return  # keeps its place
        self._unqueue(sku)
        self._queues[urgency][sku] = None

    def _unqueue(self, sku: str) -> None:
        for queue in (*self._queues, self._unlisted):
            queue.pop(sku, None)

    def _wake(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            _, sku = heapq.heappop(self._resting)
            entry = self._entries.get(sku)
            if entry is not None and entry.since is not None and entry.flight is None:
                self._queue(entry)

    def _hold(self, entry: _Entry, offset: int) -> None:
        entry.since = offset
        self._dirty += 1
        self._partitions[entry.partition].hold(offset, entry.newest.sku)

    def _release_hold(self, entry: _Entry) -> None:
        if entry.since is not None:
            entry.since = None
            self._dirty -= 1

    def _clean(self, entry: _Entry) -> None:
        self._release_hold(entry)
        entry.later = None
        self._unqueue(entry.newest.sku)

    def _lowest(self, partition: int, offsets: _Offsets) -> int:
        holding = offsets.holding
        if len(holding) > 2 * len(self._entries) + 64:  # one that waits for long must not let the settled ones pile up
            held = ((e.since, s) for s, e in self._entries.items() if e.partition == partition)
            holding[:] = [(since, sku) for since, sku in held if since is not None]
            heapq.heapify(holding)
        while holding:
            offset, sku = holding[0]
            entry = self._entries.get(sku)
            if entry is not None and entry.partition == partition and entry.since == offset:
                return offset
            heapq.heappop(holding)
        return offsets.next
