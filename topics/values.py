"""The field types of the contract (section 2 of the event contract), each with its rule.

They are strict: a JSON integer is an integer (not "5", 5.0, true or 1e2) and a time is an RFC 3339 string with an
offset. A lax reader would turn a typo of an upstream system into stock.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, StringConstraints, WithJsonSchema

MAX_QUANTITY = 1_000_000_000
"""Units. Channels hold quantities in 32-bit integers; a larger number fails there silently."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


@lru_cache(maxsize=1 << 16)  # SKUs come again and again, and this is asked for each event
def _sku(value: str) -> str:
    if value.isascii():
        if value.isprintable() and " " not in value:
            return value
    elif unicodedata.is_normalized("NFC", value) and not any(unicodedata.category(c)[0] in "ZC" for c in value):
        return value
    raise ValueError("must be NFC text without white space, control or format characters")


def _instant(value: object) -> datetime:
    """An RFC 3339 string, or a time with an offset. Digits beyond the microsecond are cut off."""
    if isinstance(value, str):
        if _RFC3339.fullmatch(value):
            return _from_iso(value)
        if _RFC3339.fullmatch(value.upper()):  # RFC 3339 allows `t` and `z`
            return _from_iso(value.upper())
    elif isinstance(value, datetime) and value.utcoffset() is not None:
        return value
    raise ValueError("must be an RFC 3339 time with an offset, such as 2026-11-23T10:00:00.120Z")


def _from_iso(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:  # its message repeats the input
        raise ValueError("is no time of the calendar") from None


def rfc3339(moment: datetime) -> str:
    """A time in UTC with milliseconds, or microseconds where there are any."""
    utc = moment.astimezone(UTC)
    text = utc.isoformat(timespec="microseconds" if utc.microsecond % 1000 else "milliseconds")
    return text.removesuffix("+00:00") + "Z"


EventId = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[\x20-\x7e]+$")]
"""Unique per source; the same on every resend."""
Source = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
"""One system instance."""
Sku = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64),
    AfterValidator(_sku),
    Field(description="NFC text without white space, control or format characters; equal to the record's key"),
]
"""Equal to the record's key. Anything printable is data (`../x`, `=cmd()`) and is escaped where it is shown."""
Location = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")]
"""A place that holds stock: a warehouse, a shop."""
Channel = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""The name of a sales channel in the policy file."""
Quantity = Annotated[int, Field(ge=1, le=MAX_QUANTITY)]
"""Units moved, at least one."""
Amount = Annotated[int, Field(ge=0, le=MAX_QUANTITY)]
"""Units seen, counted or shown: zero is an answer."""
SignedQuantity = Annotated[int, Field(ge=-MAX_QUANTITY, le=MAX_QUANTITY)]
"""Units, with a sign; models that use it refuse zero."""
Sequence = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""Contiguous per (source, sku)."""
Reference = Annotated[str, StringConstraints(max_length=128)]
"""PO, order, RMA, transfer or count number."""
Reason = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Instant = Annotated[
    datetime,
    PlainValidator(_instant),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "description": "RFC 3339 with an offset"}),
]
"""A time of day anywhere on Earth: RFC 3339 with an offset."""
Condition = Literal["sellable", "quality_control", "damaged"]
CONDITIONS: tuple[Condition, ...] = ("sellable", "quality_control", "damaged")
Disposition = Literal["restock", "inspect", "damaged", "missing"]
