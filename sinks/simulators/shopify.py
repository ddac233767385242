"""A shop's Admin GraphQL API, as far as quantities go: `inventorySetQuantities`, and reading `available`.

It keeps to what Shopify documents for 2026-04: changeFromQuantity must be given (null skips the comparison), a key
belongs to one set of parameters, a key whose call failed does not serve again, the mutation fails as a whole, at most
250 quantities, and a bucket of cost points that refills with time. Keys of its quantities: `<item id>|<location id>`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import orjson

from sinks.simulators.base import Book, Call, Faults, Reply, Secrets, Simulator

FIRST_VERSION = "2026-04"
MAX_QUANTITIES = 250
MUTATION_COST = 10.0
_PATH = re.compile(r"/admin/api/(20\d\d-\d\d)/graphql\.json")
_MUTATION = re.compile(r"inventorySetQuantities\s*\(\s*input:\s*\$(\w+)\s*\)\s*@idempotent\s*\(\s*key:\s*\$(\w+)\s*\)")
_READ = re.compile(r"(\w+):\s*inventoryItem\(id:\s*\$(\w+)\)\s*\{\s*inventoryLevel\(locationId:\s*\$(\w+)\)")
_ITEM = re.compile(r"gid://shopify/InventoryItem/\d+")
_LOCATION = re.compile(r"gid://shopify/Location/\d+")
_INPUT = {"name", "reason", "referenceDocumentUri", "quantities"}
_QUANTITY = {"inventoryItemId", "locationId", "quantity", "changeFromQuantity"}

Validate = Callable[[str, dict[str, Any]], list[str]]
"""Checks a document and its variables against the real schema; tests have one."""


class ShopifyApi:
    """The shop."""

    def __init__(
        self,
        secrets: Secrets,
        validate: Validate | None = None,
        bucket: float = 2000.0,
        restore_rate: float = 100.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.book = Book()
        self.refused: set[str] = set()
        """Inventory items that cannot be set, for tests."""
        self._token = secrets.token
        self._validate = validate
        self._size, self._rate, self._clock = bucket, restore_rate, clock
        self._points, self._filled_at = bucket, clock()
        self._references: set[str] = set()

    def throttled(self, retry_after_s: int) -> Reply:
        """200 with the error "Throttled" and no data."""
        self._refill()
        available = min(self._points, max(0.0, MUTATION_COST - retry_after_s * self._rate))
        cost = MUTATION_COST if available else retry_after_s * self._rate
        return self._throttled(cost, available)

    def reply(self, call: Call, dry: bool) -> Reply:
        """Path, token and shape of the call; then its cost; then what it asks."""
        path = _PATH.fullmatch(call.path)
        if call.method != "POST" or path is None or path[1] < FIRST_VERSION:
            return Reply(404, b'{"errors":"Not Found"}')
        if call.headers.get("x-shopify-access-token") != self._token:
            return Reply(401, b'{"errors":"[API] Invalid API key or access token"}')
        try:
            asked = orjson.loads(call.body)
            query, variables = asked["query"], asked["variables"]
        except (ValueError, KeyError, TypeError):
            return Reply(400, b'{"errors":{"query":"Required parameter missing or invalid"}}')
        problems = self._validate(query, variables) if self._validate else []
        if problems:
            return _error("GRAPHQL_VALIDATION_FAILED", "; ".join(problems))
        reads = _READ.findall(query)
        cost = MUTATION_COST if not reads else 3.0 * len(reads)
        self._refill()
        if self._points < cost:
            return self._throttled(cost, self._points)
        self._points -= cost
        if reads:
            return self._data(cost, {name: self._level(variables[i], variables[where]) for name, i, where in reads})
        return self._mutation(query, variables, cost, dry)

    def _mutation(self, query: str, variables: dict[str, Any], cost: float, dry: bool) -> Reply:
        names = _MUTATION.search(query)
        if names is None:
            return _error("undefinedField", "only inventorySetQuantities @idempotent is known here")
        asked, key = variables.get(names[1]), variables.get(names[2])
        wrong = _shape(asked, key)
        if wrong is not None:
            return wrong
        assert isinstance(asked, dict)
        assert isinstance(key, str)
        faults, wrote = self._once(key, asked, dry)
        done = None
        if wrote:
            changes = [{"name": "available", "delta": delta} for delta in wrote.values()]
            done = {"id": "gid://shopify/InventoryAdjustmentGroup/1", "reason": asked["reason"], "changes": changes}
        payload = {"inventoryAdjustmentGroup": done, "userErrors": faults}
        return self._data(cost, {"inventorySetQuantities": payload}, tuple(wrote))

    def _once(self, key: str, asked: dict[str, Any], dry: bool) -> tuple[list[Any], dict[str, int]]:
        """The call's effect, or that of the first call with this key: user errors, and key -> change."""
        if key in self.book.answered:
            self.book.counts["repeats"] += 1
            first, (faults, wrote) = self.book.answered[key]
            if first != asked:
                return [_fault("IDEMPOTENCY_KEY_PARAMETER_MISMATCH", None)], {}
            return ([_fault("IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED", None)] if faults else []), wrote
        faults = self._faults(asked["quantities"])
        wrote = {} if faults or dry else self._apply(asked)
        self.book.remember(key, asked, (faults, wrote))
        return faults, wrote

    def _faults(self, quantities: list[dict[str, Any]]) -> list[Any]:
        faults: list[Any] = []
        places: set[str] = set()
        for n, wanted in enumerate(quantities):
            place = _key(wanted["inventoryItemId"], wanted["locationId"])
            held, known = self.book.quantities.get(place, 0), wanted["changeFromQuantity"]
            if place in places:
                faults.append(_fault("NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR", None))
            elif wanted["inventoryItemId"] in self.refused:
                faults.append(_fault("NON_MUTABLE_INVENTORY_ITEM", n, "inventoryItemId"))
            elif wanted["quantity"] < 0:
                faults.append(_fault("INVALID_QUANTITY_NEGATIVE", n, "quantity"))
            elif wanted["quantity"] > 1_000_000_000:
                faults.append(_fault("INVALID_QUANTITY_TOO_HIGH", n, "quantity"))
            elif known is not None and known != held:
                faults.append(_fault("CHANGE_FROM_QUANTITY_STALE", n, "changeFromQuantity"))
            places.add(place)
        return faults

    def _apply(self, asked: dict[str, Any]) -> dict[str, int]:
        reference = str(asked["referenceDocumentUri"])
        wrote: dict[str, int] = {}
        for wanted in asked["quantities"]:
            place = _key(wanted["inventoryItemId"], wanted["locationId"])
            delta = wanted["quantity"] - self.book.quantities.get(place, 0)
            self.book.write(place, wanted["quantity"])
            if delta:
                wrote[place] = delta
                self.book.counts["duplicate_effects"] += reference in self._references
        self._references.add(reference)
        return wrote

    def _level(self, item: str, location: str) -> Any:
        held = self.book.quantities.get(_key(item, location), 0)
        return {"inventoryLevel": {"quantities": [{"name": "available", "quantity": held}]}}

    def _refill(self) -> None:
        now = self._clock()
        self._points = min(self._size, self._points + (now - self._filled_at) * self._rate)
        self._filled_at = now

    def _cost(self, requested: float, actual: float | None, available: float) -> dict[str, Any]:
        status = {"maximumAvailable": self._size, "currentlyAvailable": int(available), "restoreRate": self._rate}
        return {"cost": {"requestedQueryCost": requested, "actualQueryCost": actual, "throttleStatus": status}}

    def _throttled(self, cost: float, available: float) -> Reply:
        self.book.counts["throttled"] += 1
        error = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
        return Reply(200, orjson.dumps({"errors": [error], "extensions": self._cost(cost, None, available)}))

    def _data(self, cost: float, data: Any, wrote: tuple[str, ...] = ()) -> Reply:
        body = {"data": data, "extensions": self._cost(cost, cost, self._points)}
        return Reply(200, orjson.dumps(body), wrote=wrote)


def _key(item: str, location: str) -> str:
    return f"{item}|{location}"


def _error(code: str, message: str) -> Reply:
    return Reply(200, orjson.dumps({"errors": [{"message": message, "extensions": {"code": code}}]}))


def _fault(code: str, index: int | None, name: str = "") -> dict[str, Any]:
    field = ["input", "quantities", str(index), name] if index is not None else ["input"]
    return {"code": code, "field": field, "message": code.replace("_", " ").lower()}


def _shape(asked: object, key: object) -> Reply | None:
    """What GraphQL itself would refuse, with the path of the variable that is wrong."""
    if not isinstance(key, str) or not key.strip():
        return _error("INVALID_VARIABLE", "the idempotency key is empty")
    if not isinstance(asked, dict) or set(asked) != _INPUT or not isinstance(asked["quantities"], list):
        return _error("INVALID_VARIABLE", "input")
    if asked["name"] != "available" or not 0 < len(asked["quantities"]) <= MAX_QUANTITIES:
        return _error("INVALID_VARIABLE", "name, or the number of quantities")
    problems = [
        {"path": ["quantities", n], "explanation": "Invalid global id, or not an integer"}
        for n, wanted in enumerate(asked["quantities"])
        if not _is_quantity(wanted)
    ]
    if problems:
        error = {"message": "Variable $input is invalid", "extensions": {"code": "INVALID_VARIABLE"}}
        error["extensions"]["problems"] = problems  # type: ignore[index]
        return Reply(200, orjson.dumps({"errors": [error]}))
    return None


def _is_quantity(wanted: object) -> bool:
    if not isinstance(wanted, dict) or set(wanted) != _QUANTITY:
        return False
    known = wanted["changeFromQuantity"]
    return (
        _ITEM.fullmatch(str(wanted["inventoryItemId"])) is not None
        and _LOCATION.fullmatch(str(wanted["locationId"])) is not None
        and type(wanted["quantity"]) is int
        and (known is None or type(known) is int)
    )


def build(secrets: Secrets, faults: Faults) -> Simulator:
    """A simulator of a shop."""
    return Simulator(ShopifyApi(secrets), faults)
