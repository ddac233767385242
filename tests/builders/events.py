"""Builders of events in the trade's words: `received("RETRO-CLOCK", 5, at="10:00")`.

Times are `HH:MM[:SS]` of one Monday, or a datetime. An event id that is not given is new. The value of each builder is
a model of the contract, validated as a record from a topic would be.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

from topics import events
from topics.catalogue import COMMANDS, ITEMS, REPORTS, RETURNS, STOREFRONT, WAREHOUSE, Topic
from topics.policy import Policy

CLOCK = "RETRO-CLOCK"
"""The SKU of most tests."""
AMS, BER = "AMS-1", "BER-1"

_ids = itertools.count(1)

Time = str | datetime


def moment(at: Time) -> datetime:
    """`13:05` or `13:05:30` on 2026-11-23 in UTC."""
    return at if isinstance(at, datetime) else datetime.fromisoformat(f"2026-11-23T{at}").replace(tzinfo=UTC)


def ms(at: Time) -> int:
    """The broker's time of a record that was written then."""
    return int(moment(at).timestamp() * 1000)


def micros(at: Time) -> int:
    """A stamp of the core."""
    return ms(at) * 1000


def new_id() -> str:
    """An event id that nothing else has."""
    return f"E{next(_ids):06d}"


def _common(sku: str, at: Time, source: str, event_id: str | None, **more: Any) -> dict[str, Any]:
    return {"sku": sku, "occurred_at": moment(at), "source": source, "event_id": event_id or new_id(), **more}


def received(
    sku: str,
    quantity: int,
    at: Time = "10:00",
    location: str = AMS,
    source: str = "wms",
    event_id: str | None = None,
    condition: str = "sellable",
    **more: Any,
) -> events.Received:
    return events.Received.model_validate(
        {"type": "received", "quantity": quantity, "location": location, "condition": condition}
        | _common(sku, at, source, event_id, **more)
    )


def shipped(
    sku: str,
    quantity: int,
    at: Time = "10:00",
    location: str = AMS,
    source: str = "wms",
    event_id: str | None = None,
    **more: Any,
) -> events.Shipped:
    return events.Shipped.model_validate(
        {"type": "shipped", "quantity": quantity, "location": location} | _common(sku, at, source, event_id, **more)
    )


def adjusted(
    sku: str,
    quantity: int,
    at: Time = "10:00",
    location: str = AMS,
    source: str = "wms",
    event_id: str | None = None,
    reason: str = "waste",
    condition: str = "sellable",
    **more: Any,
) -> events.Adjusted:
    return events.Adjusted.model_validate(
        {"type": "adjusted", "quantity": quantity, "location": location, "reason": reason, "condition": condition}
        | _common(sku, at, source, event_id, **more)
    )


def counted(
    sku: str,
    quantity: int,
    at: Time = "10:00",
    location: str = AMS,
    source: str = "wms",
    event_id: str | None = None,
    condition: str = "sellable",
    **more: Any,
) -> events.Counted:
    return events.Counted.model_validate(
        {"type": "counted", "quantity": quantity, "location": location, "condition": condition}
        | _common(sku, at, source, event_id, **more)
    )


def reclassified(
    sku: str,
    quantity: int,
    old: str,
    new: str,
    at: Time = "10:00",
    location: str = AMS,
    source: str = "wms",
    event_id: str | None = None,
    **more: Any,
) -> events.Reclassified:
    return events.Reclassified.model_validate(
        {"type": "reclassified", "quantity": quantity, "location": location, "from_condition": old, "to_condition": new}
        | _common(sku, at, source, event_id, **more)
    )


def transfer_sent(
    sku: str,
    quantity: int,
    reference: str,
    at: Time = "10:00",
    location: str = AMS,
    counterpart: str = BER,
    source: str = "wms",
    event_id: str | None = None,
    **more: Any,
) -> events.TransferSent:
    return events.TransferSent.model_validate(
        {"type": "transfer_sent", "quantity": quantity, "location": location, "counterpart": counterpart}
        | _common(sku, at, source, event_id, reference=reference, **more)
    )


def transfer_received(
    sku: str,
    quantity: int,
    reference: str,
    at: Time = "10:00",
    location: str = BER,
    counterpart: str = AMS,
    source: str = "wms-ber",
    event_id: str | None = None,
    **more: Any,
) -> events.TransferReceived:
    return events.TransferReceived.model_validate(
        {"type": "transfer_received", "quantity": quantity, "location": location, "counterpart": counterpart}
        | _common(sku, at, source, event_id, reference=reference, **more)
    )


def sold(
    sku: str, quantity: int, at: Time = "10:00", source: str = "shop", event_id: str | None = None, **more: Any
) -> events.Sold:
    return events.Sold.model_validate(
        {"type": "sold", "quantity": quantity} | _common(sku, at, source, event_id, **more)
    )


def cancelled(
    sku: str, quantity: int, at: Time = "10:00", source: str = "shop", event_id: str | None = None, **more: Any
) -> events.Cancelled:
    return events.Cancelled.model_validate(
        {"type": "cancelled", "quantity": quantity} | _common(sku, at, source, event_id, **more)
    )


def returned(
    sku: str,
    quantity: int,
    disposition: str = "restock",
    at: Time = "10:00",
    location: str = AMS,
    source: str = "rma",
    event_id: str | None = None,
    **more: Any,
) -> events.Returned:
    return events.Returned.model_validate(
        {"type": "returned", "quantity": quantity, "location": location, "disposition": disposition}
        | _common(sku, at, source, event_id, **more)
    )


def confirmed(
    sku: str,
    version: int,
    quantity: int,
    channel: str = "shopify",
    at: Time = "10:00",
    source: str = "sink-shopify",
    event_id: str | None = None,
    **more: Any,
) -> events.Confirmed:
    return events.Confirmed.model_validate(
        {"type": "confirmed", "version": version, "quantity": quantity, "channel": channel}
        | _common(sku, at, source, event_id, **more)
    )


def rejected(
    sku: str,
    version: int,
    quantity: int,
    channel: str = "shopify",
    at: Time = "10:00",
    source: str = "sink-shopify",
    event_id: str | None = None,
    reason: str = "listing ended",
    **more: Any,
) -> events.Rejected:
    return events.Rejected.model_validate(
        {"type": "rejected", "version": version, "quantity": quantity, "channel": channel, "reason": reason}
        | _common(sku, at, source, event_id, **more)
    )


def observed(
    sku: str,
    quantity: int,
    channel: str = "shopify",
    at: Time = "10:00",
    source: str = "sink-shopify",
    event_id: str | None = None,
    **more: Any,
) -> events.Observed:
    return events.Observed.model_validate(
        {"type": "observed", "quantity": quantity, "channel": channel} | _common(sku, at, source, event_id, **more)
    )


def _command(sku: str, kind: str, at: Time, event_id: str | None, by: str, **more: Any) -> dict[str, Any]:
    common = {"type": kind, "sku": sku, "by": by, "occurred_at": moment(at), "event_id": event_id or new_id()}
    return common | more


def acknowledge(
    sku: str, discrepancy_id: str, at: Time = "10:00", by: str = "ann", event_id: str | None = None, note: str = ""
) -> events.Acknowledge:
    fields = _command(sku, "acknowledge", at, event_id, by, discrepancy_id=discrepancy_id, note=note)
    return events.Acknowledge.model_validate(fields)


def resolve(
    sku: str, discrepancy_id: str, at: Time = "10:00", by: str = "ann", event_id: str | None = None, note: str = ""
) -> events.Resolve:
    fields = _command(sku, "resolve", at, event_id, by, discrepancy_id=discrepancy_id, note=note)
    return events.Resolve.model_validate(fields)


def reopen(
    sku: str, discrepancy_id: str, at: Time = "10:00", by: str = "ann", event_id: str | None = None, note: str = ""
) -> events.Reopen:
    fields = _command(sku, "reopen", at, event_id, by, discrepancy_id=discrepancy_id, note=note)
    return events.Reopen.model_validate(fields)


def resync(
    sku: str, channel: str = "all", at: Time = "10:00", by: str = "ann", event_id: str | None = None
) -> events.Resync:
    return events.Resync.model_validate(_command(sku, "resync", at, event_id, by, channel=channel))


def item(sku: str, value: str | None = None, **more: Any) -> events.Item:
    """A catalogue item; `class_` is its class, `value` its value in EUR."""
    fields = {"sku": sku, **more}
    if "class_" in fields:
        fields["class"] = fields.pop("class_")
    if value is not None:
        fields["unit_value"] = {"amount": value, "currency": "EUR"}
    return events.Item.model_validate(fields)


def policy(**more: Any) -> Policy:
    """One channel, `shopify`, which shows all that is available; and whatever is said instead."""
    return Policy.model_validate({"channels": {"shopify": {"kind": "shopify"}}} | more)


def topic_of(event: events.Event | events.Command | events.Item) -> Topic:
    """The topic on which such an event comes."""
    match event:
        case events.Sold() | events.Cancelled():
            return STOREFRONT
        case events.Returned():
            return RETURNS
        case events.Report():
            return REPORTS
        case events.Command():
            return COMMANDS
        case events.Item():
            return ITEMS
        case _:
            return WAREHOUSE
