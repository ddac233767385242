"""Bytes of Kafka to models and back. What comes in is checked once, here; inside, types are trusted.

`decode` never raises, whatever the bytes are: a record is a model or a `Bad` with its reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError

from topics.catalogue import CLOCK, COMMANDS, ITEMS, REPORTS, RETURNS, STOREFRONT, WAREHOUSE, Topic
from topics.events import (
    ChannelReport,
    Command,
    Event,
    Inbound,
    Item,
    ReturnsMovement,
    StockCommand,
    StorefrontMovement,
    Tick,
    WarehouseMovement,
)
from topics.refusals import Bad, Reason, check_key, diagnose, reread
from topics.updates import Discrepancy, SyncUpdate
from topics.values import Sku, rfc3339

__all__ = [
    "Bad",
    "Decoded",
    "ItemRemoved",
    "Reason",
    "decode",
    "decode_discrepancy",
    "decode_sync",
    "encode",
    "rfc3339",
    "unknown_fields",
]

MAX_VALUE_BYTES: Final = 256 * 1024
FIRST_INSTANT: Final = datetime(1990, 1, 1, tzinfo=UTC).timestamp()
AHEAD_SECONDS: Final = 24 * 3600
"""How far a source's clock may be ahead of the broker's."""


@dataclass(frozen=True, slots=True)
class ItemRemoved:
    """The product system took the item of this SKU out of its catalogue."""

    sku: str


Decoded = Event | Command | Item | ItemRemoved | Tick | Bad

_UNIONS: dict[Topic, Any] = {
    WAREHOUSE: WarehouseMovement,
    STOREFRONT: StorefrontMovement,
    RETURNS: ReturnsMovement,
    REPORTS: ChannelReport,
    COMMANDS: StockCommand,
    ITEMS: Item,
    CLOCK: Tick,
}
ADAPTERS: dict[str, TypeAdapter[Any]] = {topic.name: TypeAdapter(union) for topic, union in _UNIONS.items()}
"""Topic name -> what its values are. `stock.rerouted.v1` has none: its records are of the topic that they came from."""
_VALIDATE: dict[str, Callable[[bytes], Any]] = {name: adapter.validate_json for name, adapter in ADAPTERS.items()}
_SKU: TypeAdapter[str] = TypeAdapter(Sku)


def decode(topic: Topic, key: bytes | None, value: bytes | None, timestamp_ms: int) -> Decoded:
    """Read one record. `timestamp_ms` is the broker's time of it.

    For a record of `stock.rerouted.v1` give the topic that it was sent to first (`topics.rerouted.origin_of`).
    """
    if not value:
        return _without_value(topic, key)
    if len(value) > MAX_VALUE_BYTES:
        return Bad("too_large", f"{len(value)} bytes; at most {MAX_VALUE_BYTES}")
    try:
        event = _VALIDATE[topic.name](value)
    except ValidationError as error:
        if topic is ITEMS and value.strip(b" \t\r\n") == b"null":
            return _without_value(topic, key)
        return diagnose(value, key, error, tagged=topic not in (ITEMS, CLOCK), keyed=topic is not CLOCK)
    # The parser takes the last of repeated keys in silence. An object of n members has n - 1 commas of its own, so
    # fewer commas than distinct fields prove that none stands twice; else (a comma in a text) read it again, slowly.
    if value.count(b",") >= len(event.__pydantic_fields_set__) or event.__pydantic_extra__ or topic is ITEMS:
        again = reread(value)
        if isinstance(again, Bad):
            return again
    if topic is not CLOCK and key != event.sku.encode():
        return check_key(key, event.sku) or event
    if topic is not ITEMS and not FIRST_INSTANT <= event.occurred_at.timestamp() <= timestamp_ms / 1000 + AHEAD_SECONDS:
        return Bad("timestamp", f"occurred_at: {event.occurred_at.isoformat()} is before 1990 or more than 24 h ahead")
    return event  # type: ignore[no-any-return]


def _without_value(topic: Topic, key: bytes | None) -> ItemRemoved | Bad:
    """A null value removes an item; elsewhere it says nothing."""
    if topic is not ITEMS:
        return Bad("empty", "no value")
    if not key:
        return check_key(key, None) or Bad("key_mismatch", "no key")
    try:
        return ItemRemoved(_SKU.validate_python(key.decode("utf-8")))
    except UnicodeDecodeError as exc:
        return Bad("encoding", f"the key is not UTF-8 at byte {exc.start}")
    except ValidationError:
        return Bad("sku", "the key is no SKU: 1-64 characters of NFC text without white space or control characters")


def unknown_fields(event: Inbound | Tick) -> int:
    """How many fields of a record nobody knows: they change nothing, and are counted."""
    return len(event.__pydantic_extra__ or ())


def _default(value: object) -> str:
    if isinstance(value, datetime):
        return rfc3339(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def encode(model: BaseModel) -> bytes:
    """A record's value. Fields that are not known are left out, but for a sync update, which always has all of them."""
    fields = model.model_dump(by_alias=True, exclude_none=not isinstance(model, SyncUpdate))
    return orjson.dumps(fields, default=_default, option=orjson.OPT_PASSTHROUGH_DATETIME)


def decode_sync(value: bytes) -> SyncUpdate:
    """Read a record of `stock.sync.v1`. Raises ValueError."""
    return SyncUpdate.model_validate_json(value)


def decode_discrepancy(value: bytes) -> Discrepancy:
    """Read a record of `stock.discrepancies.v1`. Raises ValueError."""
    return Discrepancy.model_validate_json(value)
