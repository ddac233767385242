"""What the demo's retailer says: one movement as its source system tells it, and the places it happens at."""

from __future__ import annotations

from dataclasses import dataclass, field

from topics.catalogue import RETURNS, STOREFRONT, WAREHOUSE, Topic

AMS, BER, SHOP = "AMS-1", "BER-1", "SHOP-1"
LOCATIONS = (AMS, BER, SHOP)
"""Two warehouses, that serve web and catalogue orders by the side of town where the customer lives, and a shop."""

WMS = {AMS: "wms-ams", BER: "wms-ber", SHOP: "wms-shop"}
"""Which system moves goods at a place."""
SELLS = {"store": "pos", "catalog": "catalog-desk", "web": "webshop"}
"""Which system sells on a TPC-DS sales channel."""
RETURNS_DESK = "returns-desk"

TOPIC_OF: dict[str, Topic] = {
    **dict.fromkeys(WMS.values(), WAREHOUSE),
    **dict.fromkeys(SELLS.values(), STOREFRONT),
    RETURNS_DESK: RETURNS,
}
"""Source system -> where it writes. Each runs as a process of its own."""

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Move:
    """One movement. `at` is in ms of the data's own calendar; `more` holds the fields that only its type has."""

    event_id: str
    source: str
    type: str
    sku: str
    quantity: int
    at: int
    location: str | None = None
    reference: str | None = None
    more: dict[str, str] = field(default_factory=dict)


class Scribe:
    """Writes movements down and numbers them per source, as each system does with its own."""

    def __init__(self) -> None:
        self.moves: list[Move] = []
        self._numbers: dict[str, int] = {}

    def write(
        self,
        source: str,
        kind: str,
        sku: str,
        quantity: int,
        at: int,
        location: str | None = None,
        reference: str | None = None,
        **more: str,
    ) -> Move:
        """Add one movement with the next id of its source."""
        number = self._numbers[source] = self._numbers.get(source, 0) + 1
        move = Move(f"{source}-{number:06d}", source, kind, sku, quantity, at, location, reference, more)
        self.moves.append(move)
        return move

    def goods(
        self, kind: str, sku: str, location: str, quantity: int, at: int, reference: str | None = None, **more: str
    ) -> Move:
        """A movement of goods, told by the system of the place."""
        return self.write(WMS[location], kind, sku, quantity, at, location, reference, **more)
