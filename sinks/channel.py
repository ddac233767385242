"""What a channel is: two pure functions, and one type for all that a channel can answer.

A channel says how a batch of wanted quantities is asked for (`request`) and what the answer means for each of them
(`outcome`). Order, retries, rate limits, reports and commits belong to the loop (`delivery`, `pace`, `runner`).
Adding a channel is one file in `channels/` with a `build` function, and one simulator.

Quantities are absolute and versions only go up, so that the same batch may be asked for any number of times. Whatever
must not be done twice carries a key made of channel, SKU and *version*; one made of the quantity would swallow the
write that brings a channel back to an earlier number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, runtime_checkable

MAX_WAIT_S = 15 * 60.0
"""No channel makes us wait longer than this at a time, whatever its Retry-After says."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one listing ought to show."""

    sku: str
    version: int
    quantity: int
    occurred_at: datetime
    listing: Mapping[str, Any] = field(default_factory=dict)
    known: int | None = None
    """What the channel holds as far as we know, for compare-and-set; None: unknown, do not compare."""
    round: int = 0
    """How many definite answers this version has had: a new attempt after one is a new request, with a new key."""
    flight: int = 0
    """Which taking from the delivery this belongs to."""


Batch = tuple[Wanted, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP call. `path` is relative to the channel's URL."""

    body: bytes
    headers: Mapping[str, str]
    path: str = ""
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over HTTP: header names in lower case, the body as far as it was read."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    at: datetime
    cut: bool = False
    """The body was longer than we read."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The call ended without an answer. When the request may have arrived (`sent`), nobody knows what it did."""

    sent: bool
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Applied:
    """The channel shows the quantity."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The channel took the request and will apply it later: not confirmed before it is read back."""

    reason: str = "accepted"


@dataclass(frozen=True, slots=True)
class Stale:
    """Compare-and-set refused: somebody else changed the quantity. It has to be read before it is written again."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """Too fast; not applied. None: the channel did not say how long to wait."""

    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Transient:
    """Not applied, for a reason that passes."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """Nobody knows whether it was applied: the same request again, with the same key, until somebody does."""

    reason: str


@dataclass(frozen=True, slots=True)
class Permanent:
    """This item was refused for good."""

    reason: str


@dataclass(frozen=True, slots=True)
class Spoiled:
    """Not applied, because the call failed as a whole: by another item's fault, or by one that was not named."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The account or endpoint refuses us: nothing more is sent until a person has looked at it."""

    reason: str


Result = Applied | Accepted | Stale | Throttled | Transient | Unconfirmed | Permanent | Spoiled | Stopped


@dataclass(frozen=True, slots=True)
class Outcome:
    """One result for each item of the batch, in its order, and how long the channel wants to be left alone now."""

    results: tuple[Result, ...]
    wait_s: float = 0.0

    @classmethod
    def whole(cls, batch: Batch, result: Result, wait_s: float = 0.0) -> Outcome:
        """The same result for all of the batch."""
        return cls((result,) * len(batch), wait_s)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a channel was read to hold, in the batch's order; None where it did not say."""

    quantities: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a channel takes at a time."""

    batch: int
    concurrency: int = 1
    needs_listing: bool = True
    """Whether SKUs are addressed by ids of the channel's own."""


class Channel(Protocol):
    """Two pure functions. The time is an argument: requests may be stamped and signed."""

    @property
    def name(self) -> str:
        """Its name in the policy."""

    @property
    def limits(self) -> Limits:
        """Items in a call, calls at a time."""

    def lists(self, listing: Mapping[str, Any]) -> bool:
        """Whether a SKU can be addressed with these ids of `catalog.items.v1`."""

    def request(self, batch: Batch, at: datetime) -> Request:
        """How to ask for these quantities. The same batch gives the same key, whenever it is asked for."""

    def outcome(self, batch: Batch, answer: Answer) -> Outcome:
        """What the answer means. It never raises, whatever the bytes are."""


@runtime_checkable
class Readable(Protocol):
    """A channel whose quantities can be read: needed where it compares before it sets, or answers before it applies."""

    def look(self, batch: Batch, at: datetime) -> Request:
        """How to ask what the channel holds."""

    def seen(self, batch: Batch, answer: Answer) -> Seen | Result:
        """What it holds, or why it does not say."""


def idempotency_key(channel: str, batch: Batch, detail: Callable[[Wanted], object] = lambda _: "") -> str:
    """The key of this call: equal for the same items at the same versions in the same round, and for nothing else.

    `detail`: what else the request says of an item, where a key must not come with other parameters.
    """
    digest = hashlib.sha256(channel.encode())
    for item in batch:
        digest.update(f"\0{item.sku}\0{item.version}\0{item.round}\0{detail(item)}".encode())
    return digest.hexdigest()[:40]


def retry_after_s(answer: Answer) -> float | None:
    """Retry-After, in seconds or as a date, at most MAX_WAIT_S; None when it is missing or makes no sense."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return MAX_WAIT_S if len(text) > 9 else min(float(text), MAX_WAIT_S)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:  # "-0000": a time in UTC whose zone nobody vouches for
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - answer.at).total_seconds()), MAX_WAIT_S)


_ACCOUNT = {
    401: "the channel does not accept our credentials (401)",
    402: "the account is frozen (402)",
    403: "the channel forbids it (403)",
    410: "the endpoint is gone (410)",
    423: "the account is locked (423)",
}
_UNKNOWN = {408, 500, 501, 502, 504}
"""A server or a proxy gave up in the middle: it may have been applied."""


def refusal(answer: Answer) -> Result | None:
    """What a status other than 2xx means for the whole call, for all channels alike; None for 2xx."""
    status = answer.status
    if 200 <= status < 300:
        return None
    if status in _ACCOUNT:
        return Stopped(_ACCOUNT[status])
    if status == 429:
        return Throttled(retry_after_s(answer))
    if status == 503 and "retry-after" in answer.headers:
        return Throttled(retry_after_s(answer))
    if status in _UNKNOWN or status > 504:
        return Unconfirmed(f"HTTP {status}")
    if status in {400, 413, 422}:
        return Spoiled(f"HTTP {status}")
    return Transient(f"HTTP {status}")
