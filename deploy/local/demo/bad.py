"""A few records that no system should send: each ends in the dead letters, for a reason known beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from topics.catalogue import STOREFRONT, WAREHOUSE

KEEPS_OF_TOO_LARGE = 1024
"""Bytes of a record that is too large that its dead letter keeps (contract section 6)."""


@dataclass(frozen=True, slots=True)
class Bad:
    """What is sent, and the reason that the dead letter must name."""

    source: str
    key: bytes | None
    value: bytes | None
    reason: str

    @property
    def kept(self) -> bytes | None:
        """The value as the dead letter shows it."""
        return self.value[:KEEPS_OF_TOO_LARGE] if self.value and self.reason == "too_large" else self.value


TOPIC_OF = {"wms-ams": WAREHOUSE, "pos": STOREFRONT}


def _goods(n: int, **fields: object) -> bytes:
    body = {
        "event_id": f"bad-{n:03d}",
        "source": "wms-ams",
        "type": "received",
        "sku": "NOISY",
        "location": "AMS-1",
        "quantity": 5,
        "occurred_at": "2020-02-29T12:00:00Z",
    }
    return orjson.dumps({name: value for name, value in {**body, **fields}.items() if value is not None})


def bad_records() -> list[Bad]:
    """One for each reason that bytes alone can give."""
    key, good = b"NOISY", _goods(0)
    wms = [
        (key, None, "empty"),
        (key, b"", "empty"),
        (key, good[:-9], "malformed"),
        (key, b"\xef\xbb\xbf" + good, "malformed"),
        (key, good[:-1] + b',"quantity":50}', "malformed"),
        (key, good.replace(b"bad-000", b"bad-\xff00"), "encoding"),
        (key, _goods(1, note="x" * 300_000), "too_large"),
        (key, b"\x00\x00\x00\x00\x07" + good, "unknown_framing"),
        (key, _goods(2, location=None), "missing_field"),
        (b"NOI SY", _goods(3, sku="NOI SY"), "sku"),
        (b"OTHER", _goods(4), "key_mismatch"),
        (None, _goods(5), "key_mismatch"),
        (key, _goods(6, location="Amsterdam, 1"), "location"),
        (key, _goods(7, quantity=0), "quantity"),
        (key, _goods(8, quantity="5"), "quantity"),
        (key, good.replace(b'"quantity":5', b'"quantity":1e2'), "quantity"),
        (key, _goods(9, occurred_at="2020-02-30T12:00:00Z"), "timestamp"),
        (key, _goods(10, occurred_at="2020-02-29T12:00:00"), "timestamp"),
        (key, _goods(11, sequence=-1), "sequence"),
        (key, _goods(12, condition="mint"), "field"),
    ]
    shop = [(key, _goods(20, source="pos"), "type"), (key, _goods(21, source="pos", type="gifted"), "type")]
    return [Bad("wms-ams", *record) for record in wms] + [Bad("pos", *record) for record in shop]
