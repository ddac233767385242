"""One example of everything that travels: for the published schemas, for help texts and as first data of tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from topics.catalogue import (
    CLOCK,
    COMMANDS,
    DISCREPANCIES,
    ITEMS,
    REPORTS,
    RETURNS,
    STOREFRONT,
    SYNC,
    WAREHOUSE,
    Topic,
)
from topics.codec import ADAPTERS
from topics.updates import Discrepancy, SyncUpdate

BROKER_TIME_MS = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp() * 1000)
"""A broker time at which all examples are accepted."""

_AT = "2026-11-23T10:00:00.120Z"
_SKU = {"sku": "RETRO-CLOCK"}


def _event(event_id: str, source: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"event_id": event_id, "source": source, "type": kind, **_SKU, "occurred_at": _AT, **fields}


def _at_ams(event_id: str, kind: str, quantity: int, **fields: Any) -> dict[str, Any]:
    return _event(event_id, "wms-ams", kind, location="AMS-1", quantity=quantity, **fields)


def _report(event_id: str, kind: str, **fields: Any) -> dict[str, Any]:
    return _event(event_id, "sink-shopify", kind, channel="shopify", **fields)


def _command(event_id: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"event_id": event_id, "type": kind, **_SKU, "by": "ana", "occurred_at": _AT, **fields}


_TO_REPAIR = {"from_condition": "sellable", "to_condition": "damaged"}
_INSPECTED = {"from_condition": "quality_control", "to_condition": "sellable"}
_ISSUE = "3f9c2a7be1d04c55"

EXAMPLES: dict[Topic, tuple[dict[str, Any], ...]] = {
    WAREHOUSE: (
        _at_ams("01JD4QX2W0TB6N4W5V1S9Z8K3M", "received", 5, reference="PO-1009", sequence=17),
        _at_ams("01JD4QX2W0TB6N4W5V1S9Z8K3N", "shipped", 2, reference="SO-77", sequence=18),
        _at_ams("01JD4QX2W0TB6N4W5V1S9Z8K3P", "adjusted", -1, reason="broken glass", sequence=19),
        _at_ams("01JD4QX2W0TB6N4W5V1S9Z8K3Q", "counted", 42, reference="COUNT-3", sequence=20),
        _at_ams("01JD4QX2W0TB6N4W5V1S9Z8K3R", "reclassified", 1, sequence=21, **_TO_REPAIR),
        _at_ams("01JD4QX2W0TB6N4W5V1S9Z8K3S", "transfer_sent", 4, counterpart="BER-1", reference="TR-5"),
        _at_ams("01JD4QX2W0TB6N4W5V1S9Z8K3T", "transfer_received", 4, counterpart="BER-1", reference="TR-6"),
    ),
    STOREFRONT: (
        _event("order-1001-line-1", "shop-eu", "sold", quantity=1, reference="1001", sequence=501),
        _event("order-1001-cancel-1", "shop-eu", "cancelled", quantity=1, reference="1001", sequence=502),
    ),
    RETURNS: (
        _event(
            "rma-12-line-1",
            "returns-eu",
            "returned",
            location="AMS-1",
            quantity=1,
            disposition="inspect",
            reference="R12",
        ),
        _event("rma-12-inspected", "returns-eu", "reclassified", location="AMS-1", quantity=1, **_INSPECTED),
    ),
    REPORTS: (
        _report("shopify-42-confirmed", "confirmed", version=42, quantity=14),
        _report("shopify-43-rejected", "rejected", version=43, quantity=13, reason="the product is archived"),
        _report("shopify-observed-1", "observed", quantity=14),
    ),
    COMMANDS: (
        _command("cmd-1", "acknowledge", discrepancy_id=_ISSUE),
        _command("cmd-2", "resolve", discrepancy_id=_ISSUE, note="recounted with Ben"),
        _command("cmd-3", "reopen", discrepancy_id=_ISSUE),
        _command("cmd-4", "resync", channel="shopify"),
    ),
    ITEMS: (
        {
            **_SKU,
            "title": "Retro clock",
            "unit_value": {"amount": "12.50", "currency": "EUR"},
            "class": "A",
            "safety_stock": 2,
            "listings": {
                "shopify": {
                    "inventory_item_id": "gid://shopify/InventoryItem/1",
                    "location_id": "gid://shopify/Location/2",
                },
                "outlet": {},
            },
        },
    ),
    CLOCK: ({"occurred_at": _AT},),
    SYNC: (
        {
            **_SKU,
            "version": 42,
            "occurred_at": _AT,
            "on_hand": 20,
            "sellable": 20,
            "reserved": 3,
            "available": 17,
            "conditions": {"quality_control": 0, "damaged": 0, "in_transit": 0},
            "locations": {"AMS-1": 20},
            "channels": {"shopify": {"quantity": 14, "pool": 20, "safety_stock": 3, "percent": 100, "cap": None}},
            "caused_by": ["01JD4QX2W0TB6N4W5V1S9Z8K3M"],
            "caused_by_count": 1,
        },
    ),
    DISCREPANCIES: (
        {
            "discrepancy_id": _ISSUE,
            "kind": "count_variance",
            "severity": "medium",
            "status": "opened",
            **_SKU,
            "location": "AMS-1",
            "condition": "sellable",
            "sources": ["wms-ams"],
            "expected": 42,
            "observed": 40,
            "difference": -2,
            "opened_at": _AT,
            "last_seen_at": _AT,
            "seen": 1,
            "evidence": ["01JD4QX2W0TB6N4W5V1S9Z8K3Q"],
            "version": 43,
        },
    ),
}


def parsed(topic: Topic, example: dict[str, Any]) -> BaseModel:
    """An example as its model."""
    import orjson

    raw = orjson.dumps(example)
    if topic in (SYNC, DISCREPANCIES):
        return (SyncUpdate if topic is SYNC else Discrepancy).model_validate_json(raw)
    model: BaseModel = ADAPTERS[topic.name].validate_json(raw)
    return model
