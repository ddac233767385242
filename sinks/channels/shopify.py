"""Shopify: Admin GraphQL API 2026-04 and later, `inventorySetQuantities` with compare-and-set and @idempotent.

The mutation fails as a whole. Where a user error names an item, that item alone is stale or refused and the others are
asked for again without it. A key belongs to one set of parameters for ever, also when the call failed: what is asked
anew after a definite answer has a new key (`Wanted.round`), what is asked again after none has the old one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from pydantic import SecretStr

from sinks.channel import (
    MAX_WAIT_S,
    Answer,
    Applied,
    Batch,
    Limits,
    Outcome,
    Permanent,
    Request,
    Result,
    Seen,
    Spoiled,
    Stale,
    Stopped,
    Throttled,
    Transient,
    Unconfirmed,
    Wanted,
    idempotency_key,
    refusal,
    retry_after_s,
)
from sinks.settings import Endpoint, SettingsError

LIMITS = Limits(batch=250, concurrency=2)
FIRST_VERSION = "2026-04"
"""Since then @idempotent is required and compareQuantity gone."""

MUTATION = """mutation SetQuantities($input: InventorySetQuantitiesInput!, $key: String!) {
  inventorySetQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup { id reason changes { name delta } }
    userErrors { code field message }
  }
}"""

_STALE = {"CHANGE_FROM_QUANTITY_STALE", "COMPARE_QUANTITY_STALE"}
_NEW_KEY = {"IDEMPOTENCY_KEY_PARAMETER_MISMATCH", "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED"}
_OUR_FAULT = {"INVALID_REASON", "INVALID_NAME", "INVALID_REFERENCE_DOCUMENT", "COMPARE_QUANTITY_REQUIRED"}
_ACCOUNT = {"ACCESS_DENIED", "SHOP_INACTIVE"}
_NOT_UNDERSTOOD = {
    "undefinedField",
    "undefinedDirective",
    "undefinedType",
    "argumentNotAccepted",
    "missingRequiredArguments",
    "variableMismatch",
    "parseError",
    "GRAPHQL_PARSE_FAILED",
    "GRAPHQL_VALIDATION_FAILED",
}
"""The API does not know our request: no waiting helps, and no item is to blame."""


@dataclass(frozen=True, slots=True)
class ShopifyChannel:
    """One shop."""

    name: str
    token: SecretStr
    version: str
    limits: Limits = LIMITS

    def lists(self, listing: Mapping[str, Any]) -> bool:
        """It needs the inventory item and the location."""
        return all(_is_gid(listing.get(name)) for name in ("inventory_item_id", "location_id"))

    def request(self, batch: Batch, at: datetime) -> Request:  # noqa: ARG002 - nothing here is stamped
        """Set all of these, each from what we know it to be; null skips the comparison."""
        key = idempotency_key(self.name, batch, _parameters)
        quantities = [
            {
                "inventoryItemId": item.listing["inventory_item_id"],
                "locationId": item.listing["location_id"],
                "quantity": item.quantity,
                "changeFromQuantity": item.known,
            }
            for item in batch
        ]
        asked = {
            "name": "available",
            "reason": "correction",
            "referenceDocumentUri": f"gid://stockstream/SyncUpdate/{key}",
            "quantities": quantities,
        }
        return self._graphql(MUTATION, {"input": asked, "key": key})

    def outcome(self, batch: Batch, answer: Answer) -> Outcome:
        """Status, then top-level errors, then user errors, then what was changed."""
        result = refusal(answer)
        if result is not None:
            wait = retry_after_s(answer) if isinstance(result, Unconfirmed | Transient) else None
            return Outcome.whole(batch, result, wait or 0.0)
        data = _object(answer)
        if data is None:
            return Outcome.whole(batch, Unconfirmed("the answer is none of the Admin API"))
        if data.get("errors"):
            return Outcome(_errors(batch, data))
        payload = _dict(_dict(data.get("data")).get("inventorySetQuantities"))
        faults = payload.get("userErrors")
        if not isinstance(faults, list):
            return Outcome.whole(batch, Unconfirmed("the answer says nothing of the mutation"))
        results = _user_errors(batch, faults) if faults else _changed(batch, payload)
        return Outcome(results, _pause_s(data))

    def look(self, batch: Batch, at: datetime) -> Request:  # noqa: ARG002
        """Read the available quantity of each."""
        names = ", ".join(f"$i{n}: ID!, $l{n}: ID!" for n in range(len(batch)))
        fields = "\n".join(
            f"  a{n}: inventoryItem(id: $i{n}) {{ inventoryLevel(locationId: $l{n})"
            ' { quantities(names: ["available"]) { name quantity } } }'
            for n in range(len(batch))
        )
        variables = {f"i{n}": item.listing["inventory_item_id"] for n, item in enumerate(batch)}
        variables |= {f"l{n}": item.listing["location_id"] for n, item in enumerate(batch)}
        return self._graphql(f"query Quantities({names}) {{\n{fields}\n}}", variables)

    def seen(self, batch: Batch, answer: Answer) -> Seen | Result:
        """The quantities, None for what the shop does not stock."""
        result = refusal(answer)
        if result is not None:
            return result
        data = _object(answer)
        if data is None:
            return Unconfirmed("the answer is none of the Admin API")
        if data.get("errors"):
            return _errors(batch, data)[0]
        fields = _dict(data.get("data"))
        if not fields:
            return Unconfirmed("the answer holds no data")
        return Seen(tuple(_available(fields.get(f"a{n}")) for n in range(len(batch))))

    def _graphql(self, query: str, variables: Mapping[str, Any]) -> Request:
        headers = {"content-type": "application/json", "x-shopify-access-token": self.token.get_secret_value()}
        body = orjson.dumps({"query": query, "variables": variables})
        return Request(body, headers, f"/admin/api/{self.version}/graphql.json")


def _parameters(item: Wanted) -> str:
    return f"{item.listing['inventory_item_id']} {item.listing['location_id']} {item.known}"


def _is_gid(value: object) -> bool:
    return isinstance(value, str) and value.startswith("gid://shopify/")


def _object(answer: Answer) -> dict[str, Any] | None:
    if answer.cut:
        return None
    try:
        data = orjson.loads(answer.body)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> list[dict[str, Any]]:
    return [_dict(part) for part in value] if isinstance(value, list) else [_dict(value)]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _errors(batch: Batch, data: Mapping[str, Any]) -> tuple[Result, ...]:
    """Top-level errors: the call was not executed, or not to its end."""
    errors = _dicts(data.get("errors"))
    codes = [str(_dict(error.get("extensions")).get("code", "")) for error in errors]
    whole: Result
    if "THROTTLED" in codes or any(error.get("message") == "Throttled" for error in errors):
        whole = Throttled(_restore_s(data))
    elif _ACCOUNT & set(codes):
        whole = Stopped(f"the shop refuses us: {codes[0]}")
    elif _NOT_UNDERSTOOD & set(codes):
        whole = Stopped(f"the API version does not know our request: {codes[0]}")
    elif "INVALID_VARIABLE" in codes:
        problems = [p for error in errors for p in _dicts(_dict(error.get("extensions")).get("problems"))]
        blamed = {_index(problem.get("path")): str(problem.get("explanation", "invalid")) for problem in problems}
        named = {n: why for n, why in blamed.items() if n is not None and n < len(batch)}
        return tuple(
            Permanent(f"INVALID_VARIABLE: {named[n]}") if n in named else Spoiled("INVALID_VARIABLE")
            for n in range(len(batch))
        )
    elif "MAX_COST_EXCEEDED" in codes:
        whole = Spoiled("MAX_COST_EXCEEDED")
    else:
        whole = Unconfirmed(f"GraphQL error {codes[0] or 'without a code'}")
    return (whole,) * len(batch)


def _user_errors(batch: Batch, faults: list[Any]) -> tuple[Result, ...]:
    """The mutation was refused. An error that names no item is everybody's, or that of the only one."""
    results: list[Result] = [Spoiled("another item")] * len(batch)
    for fault in _dicts(faults):
        code, message = str(fault.get("code") or "UNKNOWN"), str(fault.get("message") or "")
        if code == "IDEMPOTENCY_CONCURRENT_REQUEST":
            return (Unconfirmed(code),) * len(batch)
        if code in _NEW_KEY:
            return (Stale(),) * len(batch)
        if code in _OUR_FAULT:
            return (Stopped(f"the shop does not take our mutation: {code}"),) * len(batch)
        index = _index(fault.get("field"))
        if index is None and len(batch) == 1:
            index = 0
        if index is not None and index < len(batch):
            results[index] = Stale() if code in _STALE else Permanent(f"{code}: {message}".removesuffix(": "))
        elif code in _STALE:
            return tuple(Spoiled(code) if item.known is None else Stale() for item in batch)
    return tuple(results)


def _changed(batch: Batch, payload: Mapping[str, Any]) -> tuple[Result, ...]:
    """Applied, unless fewer quantities changed than had to: then it says that it did what it has not done."""
    group = _dict(payload.get("inventoryAdjustmentGroup"))
    changes = sum(change.get("name") == "available" for change in _dicts(group.get("changes") or []))
    must = [item.known is not None and item.known != item.quantity for item in batch]
    if changes < sum(must):
        return tuple(Stale() if changes_it else Applied() for changes_it in must)
    return (Applied(),) * len(batch)


def _index(path: object) -> int | None:
    """The item that a path such as ["input", "quantities", "3", "quantity"] names."""
    parts = [str(part) for part in path] if isinstance(path, list) else []
    after = parts[parts.index("quantities") + 1 :] if "quantities" in parts else []
    return int(after[0]) if after and after[0].isascii() and after[0].isdigit() and len(after[0]) < 6 else None


def _available(item: object) -> int | None:
    quantities = _dict(_dict(item).get("inventoryLevel")).get("quantities")
    for quantity in _dicts(quantities or []):
        value = quantity.get("quantity")
        if quantity.get("name") == "available" and isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _restore_s(data: Mapping[str, Any]) -> float | None:
    """How long until the bucket holds what the call costs."""
    cost = _dict(_dict(data.get("extensions")).get("cost"))
    status = _dict(cost.get("throttleStatus"))
    missing = _number(cost.get("requestedQueryCost")) - _number(status.get("currentlyAvailable"))
    rate = _number(status.get("restoreRate"))
    return min(max(0.0, missing / rate), MAX_WAIT_S) if rate > 0 else None


def _pause_s(data: Mapping[str, Any]) -> float:
    """How long to wait after a call that went well, so that the next one finds enough in the bucket."""
    return _restore_s(data) or 0.0


def build(name: str, endpoint: Endpoint) -> ShopifyChannel:
    """A shop needs an access token; the API version may be newer than the first that works."""
    if endpoint.token is None or not endpoint.token.get_secret_value().isascii():
        raise SettingsError(f"{endpoint.variable('TOKEN')}: a shop needs its Admin API access token")
    version = endpoint.api_version or FIRST_VERSION
    if not re.fullmatch(r"20\d\d-(01|04|07|10)", version) or version < FIRST_VERSION:
        raise SettingsError(f"{endpoint.variable('API_VERSION')}: must be {FIRST_VERSION} or a later quarter")
    return ShopifyChannel(name, endpoint.token, version)
