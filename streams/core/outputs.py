"""What is told of a row: the sync update and the record of a discrepancy, as JSON that `topics.updates` describes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from streams.core.desk import Told
from streams.core.issue import Issue
from streams.core.numbers import Chain, Numbers, chain, chains, listed, numbers
from streams.core.stock import ItemFacts, Published, Stock, moment
from topics.policy import Policy

MAX_CAUSES = 5
"""Event ids that a sync update names; `caused_by_count` tells how many there were."""

Shown = tuple[Numbers, dict[str, Chain]]
"""Everything of a sync update but its version, time and causes."""
Basis = tuple[Numbers, int | None, tuple[str, ...] | None]
"""What `Shown` follows from under one policy (numbers, safety stock, channels). Equal: there is nothing to publish."""


class Output(NamedTuple):
    """One record to be written in the transaction of its window."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp_ms: int | None = None


def shown(stock: Stock, policy: Policy) -> Shown | None:
    """What a sync update shows of a row; None while nothing but the catalogue knows the SKU."""
    if not stock.movements:
        return None
    found = numbers(stock)
    return found, chains(stock, found, policy)


def basis(stock: Stock) -> Basis | None:
    """The cheap part of `shown`: enough to see whether it has changed."""
    if not stock.movements:
        return None
    item = stock.item
    return (numbers(stock), None, None) if item is None else (numbers(stock), item.safety_stock, item.channels)


def shown_of(what: Basis, policy: Policy) -> Shown:
    """What follows from it."""
    found, safety_stock, channels = what
    item = None if channels is None else ItemFacts("", None, None, None, safety_stock, channels)
    return found, {name: chain(found, policy.channels[name], item) for name in listed(policy, item)}


def sync_fields(stock: Stock, what: Shown, published: Published) -> dict[str, Any]:
    """The sync update as `topics.updates.SyncUpdate` has it."""
    found, channels = what
    return {
        "sku": stock.sku,
        "version": published.version,
        "occurred_at": _instant(moment(published.changed_at)),
        "on_hand": found.on_hand,
        "sellable": found.sellable,
        "reserved": found.reserved,
        "available": found.available,
        "conditions": {
            "quality_control": found.quality_control,
            "damaged": found.damaged,
            "in_transit": found.in_transit,
        },
        "locations": found.locations,
        "channels": {
            name: {"quantity": quantity, "pool": pool, "safety_stock": safety, "percent": percent, "cap": cap}
            for name, (quantity, pool, safety, percent, cap) in channels.items()
        },
        "caused_by": published.caused_by,
        "caused_by_count": published.caused_by_count,
    }


def sync_value(stock: Stock, what: Shown, published: Published) -> bytes:
    """The value of a record of `stock.sync.v1`."""
    return orjson.dumps(sync_fields(stock, what, published))


def discrepancy_fields(told: Told) -> dict[str, Any]:
    """The record of a discrepancy as `topics.updates.Discrepancy` has it; fields that do not apply are left out."""
    issue, end = told.issue, told.issue.resolution
    fields: dict[str, Any] = {
        "discrepancy_id": issue.id,
        "kind": issue.key.kind,
        "severity": issue.severity,
        "status": issue.state,
        "sku": told.sku,
        **_place(issue),
        "sources": issue.sources,
        "expected": issue.expected,
        "observed": issue.observed,
        "difference": issue.observed - issue.expected,
        "opened_at": _ms(issue.opened_at),
        "last_seen_at": _ms(issue.last_seen_at),
        "seen": issue.seen,
        "evidence": issue.evidence,
        "version": told.version,
    }
    if issue.note is not None:
        fields["note"] = issue.note
    if end is not None:
        words = {"by": end.by, "auto": end.auto, "note": end.note}
        fields["resolution"] = {**{k: v for k, v in words.items() if v is not None}, "at": _ms(end.at)}
    return fields


def discrepancy_value(told: Told) -> bytes:
    """The value of a record of `stock.discrepancies.v1`."""
    return orjson.dumps(discrepancy_fields(told))


def _place(issue: Issue) -> dict[str, str]:
    kind, place = issue.key
    match kind:
        case "count_variance" | "negative_on_hand" | "late_count":
            location, _, condition = place.partition("/")
            return {"location": location, "condition": condition}
        case "refund_without_goods":
            return {"location": place}
        case "channel_drift" | "channel_rejected":
            return {"channel": place}
        case "transfer_short":
            return {"reference": place}
        case _:
            return {}


def _ms(milliseconds: int) -> str:
    return _instant(datetime.fromtimestamp(milliseconds / 1000, UTC))


def _instant(at: datetime) -> str:
    text = at.isoformat(timespec="microseconds" if at.microsecond % 1000 else "milliseconds")
    return text.removesuffix("+00:00") + "Z"
