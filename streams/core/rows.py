"""How a row stands in the changelog: one JSON array, about 100-200 bytes for an ordinary SKU.

    [format, attention, sku, version, movements, changed_at, published,
     balances, sources, transfers, item, channels, issues]

`attention` is 1 where an issue waits or is open: a start has to look into those rows only, and leaves the others
encoded until they are touched. Trailing empty parts are left out. Another format has another first number; it is never
guessed at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from streams.core.issue import Issue, IssueKey, Resolution
from streams.core.memory import Forgotten
from streams.core.stock import (
    Balance,
    ChannelState,
    Count,
    ItemFacts,
    Place,
    Published,
    Sequence,
    Stock,
    SubLedger,
    Transfer,
)

FORMAT = 1
NUMBERS, PARTS = 6, 13
"""Parts up to `changed_at` are always there: a 0 is no empty list. Only later ones are left out."""
_START = b"[%d," % FORMAT
_ATTENTION = b"[%d,1," % FORMAT

RESERVED = b"\0"
"""First byte of keys that are no SKU's."""
POSITION_KEY = RESERVED + b"position"
POLICY_KEY = RESERVED + b"policy"


class RowError(ValueError):
    """A row that this version cannot read: damaged, or written by a newer version."""


def check_row(value: bytes) -> None:
    """A cheap look at a row that is not decoded now. Raises RowError."""
    if not value.startswith(_START):
        raise RowError(f"row format {value[:8]!r} is not {FORMAT}: damaged, or written by a newer stockstream")


def needs_attention(value: bytes) -> bool:
    """Does an issue wait or stand open in this encoded row?"""
    return value.startswith(_ATTENTION)


def encode_row(stock: Stock) -> bytes:
    """The changelog's value for a row."""
    issues = [_issue(issue) for issue in stock.issues.values()]
    attention = int(any(issue.state == "pending" or issue.is_open for issue in stock.issues.values()))
    item = stock.item
    row = [
        FORMAT,
        attention,
        stock.sku,
        stock.version,
        stock.movements,
        stock.changed_at,
        [*stock.published] if stock.published is not None else 0,
        [_balance(place, balance) for place, balance in stock.balances.items()],
        [_ledger(name, ledger) for name, ledger in stock.sources.items()],
        [[reference, t.sent, t.received] for reference, t in stock.transfers.items()],
        0
        if item is None
        else [item.title, item.value, item.currency, item.item_class, item.safety_stock, item.channels],
        [_channel(name, state) for name, state in stock.channels.items()],
        issues,
    ]
    while len(row) > NUMBERS and not row[-1]:
        row.pop()
    return orjson.dumps(row)


def decode_row(value: bytes) -> Stock:
    """The inverse of `encode_row`.

    Raises:
        RowError: the row is damaged or of another format.
    """
    check_row(value)
    try:
        row = orjson.loads(value)
        if not NUMBERS <= len(row) <= PARTS:
            raise ValueError(f"{len(row)} parts")
        row += [()] * (PARTS - len(row))
        _, _, sku, version, movements, changed_at, published, balances, sources, transfers, item, channels, issues = row
        stock = Stock(sku, version, movements, changed_at)
        if published:
            stock.published = Published(published[0], published[1], tuple(published[2]), published[3])
        stock.balances = {Place(b[0], b[1]): Balance(b[2], Count(*b[3]) if len(b) > 3 else None) for b in balances}
        stock.sources = {s[0]: _read_ledger(s) for s in sources}
        stock.transfers = {t[0]: Transfer(t[1], t[2]) for t in transfers}
        stock.item = _read_item(item) if item else None
        stock.channels = {c[0]: _read_channel(c) for c in channels}
        stock.issues = {issue.key: issue for issue in map(_read_issue, issues)}
    except (ValueError, TypeError, IndexError, KeyError) as exc:
        raise RowError(f"row {value[:60]!r} is damaged: {exc}") from exc
    stock.sum_sources()
    return stock


def encode_position(
    positions: Mapping[str, int], forgotten: Forgotten, voided: Mapping[str, list[int]], clock: int, limit: int
) -> bytes:
    """The position record: how far each input was read, and what the memory must know of what lies before."""
    return orjson.dumps(
        {
            "format": FORMAT,
            "positions": positions,
            "forgotten": [*forgotten],  # orjson takes no named tuple
            "voided": {topic: offsets for topic, offsets in voided.items() if offsets},
            "clock": clock,
            "memory": limit,
        }
    )


def decode_position(value: bytes) -> dict[str, Any]:
    """The inverse. Raises RowError."""
    try:
        record: dict[str, Any] = orjson.loads(value)
        if record["format"] != FORMAT:
            raise RowError(f"position record of format {record['format']}, not {FORMAT}")
        record["forgotten"] = Forgotten(*record["forgotten"])
        missing = {"positions", "voided", "clock", "memory"} - record.keys()
        if missing:
            raise RowError(f"position record without {sorted(missing)}")
    except (ValueError, TypeError, KeyError) as exc:
        raise RowError(f"position record {value[:60]!r}: {exc}") from exc
    return record


def _item(item: ItemFacts) -> list[Any]:
    return [item.title, item.value, item.currency, item.item_class, item.safety_stock, item.channels]


def _read_item(found: list[Any]) -> ItemFacts:
    title, value, currency, item_class, safety_stock, channels = found
    return ItemFacts(title, value, currency, item_class, safety_stock, tuple(channels))


def _balance(place: Place, balance: Balance) -> list[Any]:
    count = balance.count
    if count is None:
        return [place.location, place.condition, balance.quantity]
    counted = [count.at, count.event_id, count.source, count.quantity, count.expected, count.basis]
    return [place.location, place.condition, balance.quantity, counted]


def _ledger(name: str, ledger: SubLedger) -> list[Any]:
    found = [
        name,
        ledger.applied,
        ledger.received,
        ledger.shipped,
        ledger.adjusted,
        ledger.sold,
        ledger.cancelled,
        ledger.returned,
        ledger.missing,
        ledger.moved,
    ]
    sequence = ledger.sequence
    if sequence is not None:
        found.append([sequence.base, sequence.high, sequence.holes])
    return found


def _read_ledger(found: list[Any]) -> SubLedger:
    ledger = SubLedger(*found[1:10])
    if len(found) > 10:
        base, high, holes = found[10]
        ledger.sequence = Sequence(base, high, [(low, top) for low, top in holes])
    return ledger


def _channel(name: str, state: ChannelState) -> list[Any]:
    return [name, state.sent, state.confirmed, int(state.overflow), state.rejected, state.observed or 0]


def _read_channel(found: list[Any]) -> ChannelState:
    _, sent, confirmed, overflow, rejected, observed = found
    return ChannelState(
        [(version, quantity) for version, quantity in sent],
        [(version, quantity, stamp) for version, quantity, stamp in confirmed],
        bool(overflow),
        rejected,
        (observed[0], observed[1]) if observed else None,
    )


def _issue(issue: Issue) -> list[Any]:
    end = issue.resolution
    return [
        issue.key.kind,
        issue.key.place,
        issue.id,
        issue.state,
        int(issue.active),
        issue.severity,
        issue.expected,
        issue.observed,
        issue.last_seen_at,
        issue.opened_at,
        issue.since,
        issue.seen,
        issue.sources,
        issue.evidence,
        issue.published,
        int(issue.unpublished),
        issue.note,
        [end.at, end.by, end.auto, end.note] if end is not None else 0,
    ]


def _read_issue(found: list[Any]) -> Issue:
    end = found[17]
    fields: list[Any] = [IssueKey(found[0], found[1]), found[2], found[3], bool(found[4]), *found[5:15]]
    fields += [bool(found[15]), found[16], Resolution(*end) if end else None]
    return Issue(*fields)
