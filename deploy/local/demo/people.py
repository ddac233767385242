"""What people do in the demo, other than count: they edit the shop, settle discrepancies, and mend a listing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson

from deploy.local.demo.check import key_of
from deploy.local.demo.incidents import Incident
from deploy.local.demo.retail import Product
from deploy.local.demo.script import Record
from deploy.local.demo.stories import FAN, TITLES
from deploy.local.demo.trade import class_of, sku_of
from topics.catalogue import COMMANDS, ITEMS, REPORTS

WHO = "demo"
SHOPIFY_LOCATION = "gid://shopify/Location/1"
COMMAND_FOR = {"by a person": "resolve", "acknowledged": "acknowledge"}
NOTES = {"resolve": "the customer was called: the parcel was empty", "acknowledge": "asked the carrier"}


def listing(number: int) -> str:
    """The id of a product in the shop."""
    return f"gid://shopify/InventoryItem/{number}"


def shopify_key(number: int) -> str:
    """How the simulated shop names a quantity."""
    return f"{listing(number)}|{SHOPIFY_LOCATION}"


def numbers(products: Iterable[Product]) -> dict[str, int]:
    """SKU -> the number of its listing in the shop. The demo's own six come after those of the data."""
    found = {sku_of(product): product.number for product in products}
    return found | {sku: 900_001 + n for n, sku in enumerate(TITLES)}


def items(products: list[Product]) -> list[Record]:
    """The catalogue: every product with its value, its class and where it is listed."""
    at = numbers(products)
    records = [
        item(sku_of(p), f"{p.class_name}, {p.colour}, {p.size}", p.cost, class_of(p), at[sku_of(p)]) for p in products
    ]
    own = [item(sku, title, "19.90", "B", at[sku]) for sku, title in TITLES.items() if sku != FAN]
    return [*records, *own, fan(at, typo=True)]


def fan(at: Mapping[str, int], *, typo: bool) -> Record:
    """The desk fan, whose listing stands in the catalogue with the letter O for a zero until somebody mends it."""
    mended = item(FAN, TITLES[FAN], "19.90", "B", at[FAN])
    right = str(at[FAN])
    wrong = (mended.value or b"").replace(right.encode(), right.replace("0", "O").encode())
    return msgspec.structs.replace(mended, value=wrong) if typo else mended


def item(sku: str, title: str, value: str, item_class: str, number: int) -> Record:
    """One product of the catalogue."""
    listings = {"shopify": {"inventory_item_id": listing(number), "location_id": SHOPIFY_LOCATION}, "outlet": {}}
    body = {
        "sku": sku,
        "title": title,
        "unit_value": {"amount": value, "currency": "EUR"},
        "class": item_class,
        "listings": listings,
    }
    return Record(0, ITEMS.name, sku.encode(), orjson.dumps(body))


def shop_tells(sku: str, quantity: int) -> Record:
    """What the shop's own webhook reports when somebody changed a quantity there."""
    body = {
        "event_id": f"shop-{sku}-{quantity}",
        "source": "shop-webhook",
        "type": "observed",
        "sku": sku,
        "channel": "shopify",
        "quantity": quantity,
        "occurred_at": _now(),
    }
    return Record(0, REPORTS.name, sku.encode(), orjson.dumps(body))


def decisions(incidents: Iterable[Incident], records: Iterable[Mapping[str, Any]]) -> list[Record]:
    """What people decide about the discrepancies that they see."""
    ids = {key_of(record): record["discrepancy_id"] for record in records}
    return [
        command(COMMAND_FOR[i.ending], i.sku, n, discrepancy_id=ids[i.key], note=NOTES[COMMAND_FOR[i.ending]])
        for n, i in enumerate(incidents)
        if i.ending in COMMAND_FOR and i.key in ids
    ]


def resync(number: int) -> Record:
    """Ask for the mended product to be written to the shop once more."""
    return command("resync", FAN, 1000 + number, channel="shopify", note="its listing is back")


def command(kind: str, sku: str, number: int, **more: str) -> Record:
    """One command, as the CLI writes it."""
    body = {"event_id": f"demo-{number}", "type": kind, "sku": sku, "by": WHO, "occurred_at": _now(), **more}
    return Record(0, COMMANDS.name, sku.encode(), orjson.dumps(body))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
