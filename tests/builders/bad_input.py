"""The bad-input catalogue: what may arrive, and the reason under which each is buried."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from topics.catalogue import CLOCK, COMMANDS, ITEMS, REPORTS, RETURNS, STOREFRONT, WAREHOUSE, Topic
from topics.codec import MAX_VALUE_BYTES
from topics.refusals import Reason

SKU = "BAD-CLOCK"
KEY = SKU.encode()
AT = "2024-11-23T10:00:00.120Z"
"""Long before any broker's time under test."""


@dataclass(frozen=True)
class BadInput:
    """One record that must end in the dead-letter topic of `topic` with `reason`."""

    name: str
    topic: Topic
    key: bytes | None
    value: bytes | None
    reason: Reason

    def __str__(self) -> str:
        return self.name


def good(**changes: Any) -> dict[str, Any]:
    """A receipt that is right but for the changes; a change to `...` leaves the field out."""
    fields = {
        "event_id": "bad-1",
        "source": "wms-ams",
        "type": "received",
        "sku": SKU,
        "location": "AMS-1",
        "quantity": 5,
        "occurred_at": AT,
        "sequence": 1,
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not ...}


def raw(**changes: Any) -> bytes:
    return json.dumps(good(**changes), ensure_ascii=False).encode()


def literal(field: str, text: bytes) -> bytes:
    """The receipt with `text` as it stands in place of a field's value."""
    return raw(**{field: "@@"}).replace(b'"@@"', text)


def _bytes(
    name: str, value: bytes | None, reason: Reason, key: bytes | None = KEY, topic: Topic = WAREHOUSE
) -> BadInput:
    return BadInput(name, topic, key, value, reason)


def _field(field: str, value: Any, reason: Reason, name: str = "") -> BadInput:
    shown = "missing" if value is ... else f"{ascii(value)[:40]} ({len(str(value))} characters)"
    return BadInput(name or f"{field} {shown}", WAREHOUSE, KEY, raw(**{field: value}), reason)


def _sku(name: str, sku: str) -> BadInput:
    """The key is the SKU's bytes, so that only the SKU is wrong."""
    return BadInput(f"sku {name}", WAREHOUSE, sku.encode("utf-8", "surrogatepass"), raw(sku=sku), "sku")


def _other(name: str, topic: Topic, fields: dict[str, Any], reason: Reason) -> BadInput:
    return BadInput(name, topic, KEY, json.dumps(fields).encode(), reason)


_FRAMING = [
    _bytes("null value", None, "empty"),
    _bytes("zero bytes", b"", "empty"),
    _bytes("null JSON", b"null", "malformed"),
    _bytes("a byte too large", raw(x="a" * (MAX_VALUE_BYTES + 1 - len(raw(x="")))), "too_large"),
    _bytes("a large array", b"[" + b"1," * 200_000 + b"1]", "too_large"),
    _bytes("Confluent framing", b"\x00\x00\x00\x00\x07" + raw(), "unknown_framing"),
    _bytes("Avro", b"\x02\x0aRETRO", "malformed"),
    _bytes("white space", b"  \n", "malformed"),
    _bytes("text", b"received 5", "malformed"),
    _bytes("truncated", raw()[:-9], "malformed"),
    _bytes("trailing bytes", raw() + b"x", "malformed"),
    _bytes("two documents", raw() + raw(), "malformed"),
    _bytes("an array of one", b"[" + raw() + b"]", "malformed"),
    _bytes("a number", b"5", "malformed"),
    _bytes("BOM", b"\xef\xbb\xbf" + raw(), "malformed"),
    _bytes("depth 100,000", b"[" * 100_000, "malformed"),
    _bytes("depth 100,000 of objects", b'{"a":' * 40_000, "malformed"),
    _bytes("depth 1,000 in an unknown field", literal("x", b"[" * 1000 + b"]" * 1000), "malformed"),
    _bytes("5,000 digits", literal("quantity", b"9" * 5000), "malformed"),
    _bytes("NaN in an unknown field", literal("x", b"NaN"), "malformed"),
    _bytes("single quotes", raw().replace(b'"', b"'"), "malformed"),
    _bytes("a key twice", raw()[:-1] + b',"quantity":2}', "malformed"),
    _bytes("a key twice, once escaped", raw()[:-1] + b',"qu\\u0061ntity":2}', "malformed"),
    _bytes("an unknown key twice", raw()[:-1] + b',"x":1,"x":1}', "malformed"),
    _bytes("a key twice, deeper", raw()[:-1] + b',"x":{"a":1,"a":1}}', "malformed"),
    _bytes("a key twice and a bad quantity", raw(quantity=0)[:-1] + b',"quantity":0}', "malformed"),
    _bytes("invalid UTF-8", raw(reference="@").replace(b"@", b"\xff"), "encoding"),
    _bytes("invalid UTF-8 in an unknown field", raw(x="@").replace(b"@", b"\xc3("), "encoding"),
    _bytes("UTF-16", raw().decode().encode("utf-16"), "encoding"),
    _bytes("raw surrogate", raw(reference="@").replace(b"@", b"\xed\xa0\x80"), "encoding"),
    _bytes("lone surrogate", raw(reference="@").replace(b"@", b"\\ud800"), "encoding"),
    _bytes("lone surrogate in an unknown field", raw(x="@").replace(b"@", b"\\udc00"), "encoding"),
]

_KEYS = [
    _bytes("null key", raw(), "key_mismatch", key=None),
    _bytes("empty key", raw(), "key_mismatch", key=b""),
    _bytes("other key", raw(), "key_mismatch", key=b"OTHER"),
    _bytes("key in lower case", raw(), "key_mismatch", key=KEY.lower()),
    _bytes("key not UTF-8", raw(), "key_mismatch", key=b"\xff\xfe"),
    _bytes("key with a line end", raw(), "key_mismatch", key=KEY + b"\n"),
]

_FIELDS = [
    *(_field(name, ..., "missing_field") for name in good() if name != "sequence"),
    _field("type", "teleported", "type"),
    _field("type", "sold", "type", "type of another topic"),
    _field("type", 5, "type"),
    _field("type", None, "type"),
    _field("type", "RECEIVED", "type"),
    _field("sku", 5, "sku"),
    _sku("empty", ""),
    _sku("of spaces", "   "),
    _sku("with a space", "A B"),
    _sku("with NUL", "A\x00B"),
    _sku("with a line end", "A\n"),
    _sku("with zero width space", "A\u200bB"),
    _sku("with right-to-left override", "A\u202eB"),
    _sku("with no-break space", "A\u00a0B"),
    _sku("in NFD", "cafe\u0301"),
    _sku("of 65 characters", "A" * 65),
    *(_field("location", bad, "location") for bad in ("", "../x", "A B", "-A", "A" * 33, 5, None)),
    *(_field("quantity", bad, "quantity") for bad in (0, -1, 5.5, 5.0, "5", True, None, 10**9 + 1, 10**29, [5], {})),
    *(
        _bytes(f"quantity {text.decode()}", literal("quantity", text), "quantity")
        for text in (b"NaN", b"Infinity", b"-Infinity", b"1e400", b"1e2", b"-0")
    ),
    *(
        _field("occurred_at", bad, "timestamp")
        for bad in (
            "",
            "yesterday",
            "2024-11-23T10:00:00",
            "2024-11-23",
            "2024-11-23 10:00:00Z",
            "2024-11-23T10:00Z",
            "2024-11-23T10:00:00+0100",
            "2024-11-23T10:00:00+25:00",
            "2024-11-23T23:59:60Z",
            "2024-11-23T24:00:00Z",
            "2024-02-30T10:00:00Z",
            "2024-W47-6T10:00:00Z",
            "1970-01-01T00:00:00Z",
            "1989-12-31T23:59:59Z",
            "1990-01-01T00:00:00+00:01",
            "0001-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59-23:59",
            "٢٠٢٤-11-23T10:00:00Z",
            1732356000,
            1732356000000,
            "1732356000",
            None,
            True,
        )
    ),
    *(_field("sequence", bad, "sequence") for bad in (-1, 1.0, "1", True, 2**63, 10**29)),
    *(_field("event_id", bad, "field") for bad in ("", "A" * 65, "tab\t", "ü", 5, None)),
    *(_field("source", bad, "field") for bad in ("", "WMS", "-a", "a" * 65, "a b", "a\n", None)),
    *(_field("reference", bad, "field") for bad in ("A" * 129, 5)),
    *(_field("condition", bad, "field") for bad in ("broken", None, 1)),
]

_COUNTED = {**good(type="counted"), "quantity": -1}
_ORDER = {"event_id": "o-1", "source": "shop-eu", "type": "sold", "sku": SKU, "quantity": 1, "occurred_at": AT}
_REPORT = {**_ORDER, "source": "sink-outlet", "type": "confirmed", "channel": "outlet", "version": 1}
_COMMAND = {"event_id": "c-1", "type": "resync", "sku": SKU, "by": "ana", "occurred_at": AT}
_SAME = {"from_condition": "sellable", "to_condition": "sellable"}

_TYPES = [
    _other("count below 0", WAREHOUSE, _COUNTED, "quantity"),
    _other("adjustment of 0", WAREHOUSE, good(type="adjusted", quantity=0, reason="waste"), "quantity"),
    _other("adjustment without reason", WAREHOUSE, good(type="adjusted", quantity=-1), "missing_field"),
    _other("adjustment too large", WAREHOUSE, good(type="adjusted", quantity=-(10**9) - 1, reason="x"), "quantity"),
    _other("reclassified to the same", WAREHOUSE, good(type="reclassified", **_SAME), "field"),
    _other("transfer without reference", WAREHOUSE, good(type="transfer_sent", counterpart="BER-1"), "missing_field"),
    _other(
        "transfer with an empty reference",
        WAREHOUSE,
        good(type="transfer_sent", counterpart="BER-1", reference=""),
        "field",
    ),
    _other(
        "transfer to a bad place",
        WAREHOUSE,
        good(type="transfer_received", counterpart="..", reference="T"),
        "location",
    ),
    _other("receipt at the storefront", STOREFRONT, good(), "type"),
    _other("sale of 0", STOREFRONT, {**_ORDER, "quantity": 0}, "quantity"),
    _other("return without disposition", RETURNS, good(type="returned"), "missing_field"),
    _other("return with a foreign disposition", RETURNS, good(type="returned", disposition="eat"), "field"),
    _other("report without channel", REPORTS, {**_ORDER, "type": "observed"}, "missing_field"),
    _other("report with version -1", REPORTS, {**_REPORT, "version": -1}, "field"),
    _other("rejection without reason", REPORTS, {**_REPORT, "type": "rejected"}, "missing_field"),
    _other("command of nobody", COMMANDS, {**_COMMAND, "by": ""}, "field"),
    _other("command without discrepancy", COMMANDS, {**_COMMAND, "type": "resolve"}, "missing_field"),
    _other("unknown command", COMMANDS, {**_COMMAND, "type": "delete"}, "type"),
    _other("item without sku", ITEMS, {"title": "Clock"}, "missing_field"),
    _other(
        "item with a float as money", ITEMS, {"sku": SKU, "unit_value": {"amount": 12.5, "currency": "EUR"}}, "field"
    ),
    _other("item with safety stock -1", ITEMS, {"sku": SKU, "safety_stock": -1}, "field"),
    _other("item with listings as a list", ITEMS, {"sku": SKU, "listings": []}, "field"),
    _bytes("item with a listing twice", b'{"sku":"BAD-CLOCK","listings":{"a":{},"a":{}}}', "malformed", topic=ITEMS),
    _bytes("item with NaN in a listing", b'{"sku":"BAD-CLOCK","listings":{"a":{"x":NaN}}}', "malformed", topic=ITEMS),
    _bytes("item removed without key", None, "key_mismatch", key=None, topic=ITEMS),
    _bytes("item removed under a key that is no SKU", None, "sku", key=b"A B", topic=ITEMS),
    _bytes("tick with more than a time", b'{"occurred_at":"2024-11-23T10:00:00Z","x":1}', "field", None, CLOCK),
]

BAD_INPUTS: list[BadInput] = [*_FRAMING, *_KEYS, *_FIELDS, *_TYPES]
