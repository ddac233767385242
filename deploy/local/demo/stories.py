"""Six products of their own, each with one trouble: what goes wrong with them needs a shelf that nothing else moves."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.local.demo.incidents import Incident, Window
from deploy.local.demo.moves import AMS, BER, RETURNS_DESK, Move, Scribe

CLOCK, VASE, STOOL, SHIRT = "RETRO-CLOCK", "BLUE-VASE", "OAK-STOOL", "LINEN-SHIRT"
SCARF, FAN = "WOOL-SCARF", "DESK-FAN"
TITLES = {
    CLOCK: "Retro wall clock",
    VASE: "Blue vase",
    STOOL: "Oak stool",
    SHIRT: "Linen shirt",
    SCARF: "Wool scarf",
    FAN: "Desk fan",
}

SAFETY = 3
"""Units that the shop channel keeps back; the policy file says the same, and a test compares them."""
SCARVES, SCARVES_SEEN = 40, 45
FANS = 25
DRIFT = f"a person typed {SCARVES_SEEN} into the shop; the next sale writes it right"


@dataclass(frozen=True, slots=True)
class Stories:
    """What goes wrong with them in the feed, and what is told of them at the end."""

    incidents: list[Incident]
    at_the_end: list[Move]


def tell(scribe: Scribe, window: Window, end: int) -> Stories:
    """Write all movements of the six products down; those of the feed stand in `scribe.moves` when this returns."""
    first, last = window
    opening, early, later = first, first + (last - first) // 3, first + (last - first) // 2
    for sku, units in ((CLOCK, 10), (VASE, 20), (STOOL, 20), (SHIRT, 20), (SCARF, SCARVES), (FAN, FANS)):
        scribe.goods("received", sku, AMS, units, opening, "OPENING")
    scribe.write("webshop", "sold", CLOCK, 12, early, reference="SO-CLOCK")
    _sell_and_ship(scribe, VASE, 5, 5, BER, early)
    _sell_and_ship(scribe, STOOL, 3, 4, AMS, early)
    _sell_and_ship(scribe, SHIRT, 2, 2, AMS, early)
    scribe.write(RETURNS_DESK, "returned", SHIRT, 3, later, AMS, "RMA-SHIRT", disposition="restock")
    kept = len(scribe.moves)
    sold = scribe.write("webshop", "sold", SCARF, 1, end, reference="SO-SCARF")
    restock = scribe.goods("received", CLOCK, AMS, 15, end, "PO-CLOCK")
    del scribe.moves[kept:]
    return Stories(_incidents(), [sold, restock])


def _sell_and_ship(scribe: Scribe, sku: str, sold: int, shipped: int, location: str, at: int) -> None:
    scribe.write("webshop", "sold", sku, sold, at, reference=f"SO-{sku}")
    scribe.goods("shipped", sku, location, shipped, at + 2, f"SO-{sku}")


def _incidents() -> list[Incident]:
    wanted = SCARVES - SAFETY
    return [
        Incident("oversold", CLOCK, "", 0, -2, "12 were sold of 10; more come in later", "by the data"),
        Incident("negative_on_hand", VASE, f"{BER}/sellable", 0, -5, f"5 were shipped from {BER}, which has none"),
        Incident("shipped_exceeds_sold", STOOL, "", 3, 4, "3 were sold, and 4 left the warehouse"),
        Incident("returned_exceeds_sold", SHIRT, "", 2, 3, "2 were shipped, and 3 came back"),
        Incident("channel_drift", SCARF, "shopify", wanted, SCARVES_SEEN, DRIFT, "by the data"),
        Incident(
            "channel_rejected",
            FAN,
            "shopify",
            FANS - SAFETY,
            0,
            "its listing has the letter O for a zero; mending it settles it",
            "by the data",
        ),
    ]
