"""The state kept for one SKU: balances per place, a sub-ledger per source, and what channels and people know of it.

Everything that an event can change is added up per source or per place, so that the order in which sources arrive
cannot matter; on hand, reserved and available are derived (`numbers`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from streams.core.issue import Issue, IssueKey

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

MAX_SENT = 8
"""Quantities in flight that are remembered per channel; past it, observations of that channel are not judged."""
MAX_CONFIRMED = 4
"""Confirmations remembered per channel, to judge an observation that is older than the newest of them."""
MAX_HOLES = 64
"""Separate holes remembered per sequence."""


def micros(moment: datetime) -> int:
    """Microseconds since 1970, exact (a float of seconds is not)."""
    return (moment - EPOCH) // _MICROSECOND


def moment(microseconds: int) -> datetime:
    """The inverse of `micros`."""
    return EPOCH + timedelta(microseconds=microseconds)


class At(NamedTuple):
    """Where a record stands in the log, and the broker's time of it."""

    topic: str
    offset: int
    timestamp_ms: int


class Place(NamedTuple):
    """Where goods are, and in what condition."""

    location: str
    condition: str

    def __str__(self) -> str:
        return f"{self.location}/{self.condition}"


@dataclass(slots=True)
class Count:
    """The count that a balance stands on. `basis` is the stamp of the count before it (0: none).

    A movement stamped in (basis, at] that arrives late was counted, but not expected: it corrects `expected`.
    """

    at: int
    event_id: str
    source: str
    quantity: int
    expected: int
    basis: int = 0


@dataclass(slots=True)
class Balance:
    """Units at one place: the standing count plus every movement stamped after it."""

    quantity: int = 0
    count: Count | None = None


@dataclass(slots=True)
class Sequence:
    """Which numbers of one source have come: all of [base, high] but the holes (inclusive ranges, ascending)."""

    base: int
    high: int
    holes: list[tuple[int, int]] = field(default_factory=list)


TOTALS = ("received", "shipped", "adjusted", "sold", "cancelled", "returned", "missing", "moved")


@dataclass(slots=True)
class SubLedger:
    """What one source said about this SKU, in units; `applied` is in movements."""

    applied: int = 0
    received: int = 0
    shipped: int = 0
    adjusted: int = 0
    sold: int = 0
    cancelled: int = 0
    returned: int = 0
    missing: int = 0
    moved: int = 0
    sequence: Sequence | None = None


@dataclass(slots=True)
class Transfer:
    """Both ends of one transfer, in units; dropped when they agree."""

    sent: int = 0
    received: int = 0


@dataclass(slots=True)
class ChannelState:
    """What one channel was told and what it said.

    sent: (version, quantity) published after the last but one confirmed version; `overflow` says that some of those
    in flight were forgotten.
    confirmed: (version, quantity, stamp), oldest first.
    """

    sent: list[tuple[int, int]] = field(default_factory=list)
    confirmed: list[tuple[int, int, int]] = field(default_factory=list)
    overflow: bool = False
    rejected: int = 0
    observed: tuple[int, int] | None = None


@dataclass(slots=True, frozen=True)
class ItemFacts:
    """What the stock rules need of a catalogue item. `channels`: those that list the SKU."""

    title: str
    value: str | None
    currency: str | None
    item_class: str | None
    safety_stock: int | None
    channels: tuple[str, ...]


class Published(NamedTuple):
    """The last sync update of a SKU, beside its numbers. changed_at: the newest stamp (microseconds) that was in it."""

    version: int
    changed_at: int
    caused_by: tuple[str, ...]
    caused_by_count: int


@dataclass(slots=True)
class Stock:
    """The row of one SKU.

    `version` counts applied movements, changes of policy or item, and resyncs; it never goes back.
    `movements` counts applied movements: a SKU that only the catalogue knows is not published.
    `changed_at` is the newest stamp (microseconds) applied. `sold` .. `returned` are totals over all sources.
    """

    sku: str
    version: int = 0
    movements: int = 0
    changed_at: int = 0
    balances: dict[Place, Balance] = field(default_factory=dict)
    sources: dict[str, SubLedger] = field(default_factory=dict)
    transfers: dict[str, Transfer] = field(default_factory=dict)
    item: ItemFacts | None = None
    channels: dict[str, ChannelState] = field(default_factory=dict)
    issues: dict[IssueKey, Issue] = field(default_factory=dict)
    published: Published | None = None
    sold: int = 0
    cancelled: int = 0
    shipped: int = 0
    returned: int = 0

    def source(self, name: str) -> SubLedger:
        """The sub-ledger of a source, made when it first speaks."""
        ledger = self.sources.get(name)
        if ledger is None:
            ledger = self.sources[name] = SubLedger()
        return ledger

    def balance(self, place: Place) -> Balance:
        """The balance of a place, made when it is first touched."""
        balance = self.balances.get(place)
        if balance is None:
            balance = self.balances[place] = Balance()
        return balance

    def channel(self, name: str) -> ChannelState:
        """What is known of a channel."""
        state = self.channels.get(name)
        if state is None:
            state = self.channels[name] = ChannelState()
        return state

    def sum_sources(self) -> None:
        """Derive the totals from the sub-ledgers; to be called once when a row was read."""
        ledgers: Iterable[SubLedger] = self.sources.values()
        self.sold = self.cancelled = self.shipped = self.returned = 0
        for ledger in ledgers:
            self.sold += ledger.sold
            self.cancelled += ledger.cancelled
            self.shipped += ledger.shipped
            self.returned += ledger.returned
