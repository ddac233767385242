"""Why a record is refused (section 6 of the contract). Speed does not matter here, being exact does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic_core import ErrorDetails, ValidationError

Reason = Literal[
    "empty",
    "malformed",
    "encoding",
    "too_large",
    "unknown_framing",
    "missing_field",
    "type",
    "sku",
    "key_mismatch",
    "location",
    "quantity",
    "timestamp",
    "sequence",
    "field",
    "id_conflict",
    "internal",
]
"""All reasons of `stockstream.reason`, in the order in which they are looked for."""

MAX_DETAIL = 200
"""Characters of explanation in a header: enough for a person, too few to carry an attack."""

_BY_FIELD: dict[str, Reason] = {
    "sku": "sku",
    "location": "location",
    "counterpart": "location",
    "quantity": "quantity",
    "occurred_at": "timestamp",
    "sequence": "sequence",
}
_ORDER: tuple[Reason, ...] = (
    "missing_field",
    "type",
    "sku",
    "key_mismatch",
    "location",
    "quantity",
    "timestamp",
    "sequence",
    "field",
)


@dataclass(frozen=True, slots=True)
class Bad:
    """A record that cannot be processed: its reason, and a line for the person who mends it."""

    reason: Reason
    detail: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", printable(self.detail, MAX_DETAIL))


def printable(text: str, limit: int) -> str:
    """One line of at most `limit` characters that no terminal or log takes for a command."""
    text = text[: limit + 1]
    shown = text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


class _RepeatedKeyError(ValueError):
    """An object has the same key twice."""


_T = TypeVar("_T")


def _once(pairs: list[tuple[str, _T]]) -> dict[str, _T]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _RepeatedKeyError(f"the key {twice!r} stands twice in one object")
    return found


def reread(value: bytes) -> object | Bad:
    """Read the JSON again, slowly: what the fast parser lets pass (repeated keys, NaN) is found here.

    A NaN or Infinity as the record's quantity is left to the rules of quantities.
    """
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as exc:
        return Bad("encoding", f"not UTF-8 at byte {exc.start}")
    constants: list[float] = []

    def constant(name: str) -> float:
        constants.append(float(name))
        return constants[-1]

    try:
        # Digits are not converted: 5,000 of them cost time, and the fast parser has its own limit.
        data: object = json.loads(text, object_pairs_hook=_once, parse_constant=constant, parse_int=str)
    except RecursionError:
        return Bad("malformed", "nested too deep")
    except (_RepeatedKeyError, json.JSONDecodeError) as exc:
        return Bad("malformed", str(exc))
    quantity = data.get("quantity") if isinstance(data, dict) else None
    if any(number is not quantity for number in constants):
        return Bad("malformed", "NaN and Infinity are no JSON")
    return data


_LONE_SURROGATE = re.compile(r"surrogate|hex escape")


def diagnose(value: bytes, key: bytes | None, error: ValidationError, tagged: bool, keyed: bool) -> Bad:
    """The reason of a record that the models refused: the first that applies, in the contract's order."""
    if value[0] == 0:
        return Bad("unknown_framing", "the first byte is 0: a schema registry's framing, not plain JSON")
    data = reread(value)
    if isinstance(data, Bad):
        return data
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    if errors[0]["type"] == "json_invalid":
        message = errors[0]["msg"]
        return Bad("encoding" if _LONE_SURROGATE.search(message) else "malformed", message)
    if not isinstance(data, dict):
        return Bad("malformed", "not a JSON object")
    found: dict[Reason, str] = {}
    for detail in errors:
        reason, words = _reason(detail, data, tagged)
        found.setdefault(reason, words)
    if keyed and "sku" not in found and (mismatch := check_key(key, data.get("sku"))) is not None:
        found.setdefault(mismatch.reason, mismatch.detail)
    return next(Bad(reason, found[reason]) for reason in _ORDER if reason in found)


def check_key(key: bytes | None, sku: object) -> Bad | None:
    """The key must be the SKU's bytes: it decides which worker and which row the record meets."""
    if isinstance(sku, str) and key == sku.encode("utf-8", "surrogatepass"):
        return None
    if not key:
        return Bad("key_mismatch", "the key is null" if key is None else "the key is empty")
    return Bad("key_mismatch", f"the key {key[:64]!r} is not the sku") if isinstance(sku, str) else None


def _reason(detail: ErrorDetails, data: Mapping[str, Any], tagged: bool) -> tuple[Reason, str]:
    """The reason of one of pydantic's errors, and its words."""
    kind = detail["type"]
    if kind == "union_tag_not_found":
        return "missing_field", "type: missing"
    if kind == "union_tag_invalid":
        return "type", f"type: {ascii(data.get('type'))[:70]} is unknown or foreign to this topic"
    place = _path(detail["loc"][1:] if tagged else detail["loc"])
    field = place[0] if place else ""
    words = f"{'.'.join(place)}{': ' if place else ''}{detail['msg'].removeprefix('Value error, ')}"
    if kind == "missing":
        return "missing_field", words
    return _BY_FIELD.get(field, "field"), words


def _path(loc: Sequence[int | str]) -> list[str]:
    return [printable(str(part), 40) for part in loc]
