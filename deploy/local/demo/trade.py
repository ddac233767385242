"""The retailer's day: what TPC-DS says was sold and taken back becomes movements of goods.

A sale reserves and later ships from a shelf, unless it is called off first; shelves are filled before they are empty,
the shop's from the warehouse in Amsterdam; customers' returns are put back, inspected or written off; and every place
is counted now and then, from the running ledger. Played strictly in the order of time, so that a count finds what the
ledger says as of its stamp. What goes wrong is decided by `Mishaps`.
"""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from deploy.local.demo.incidents import Mishaps, Window
from deploy.local.demo.moves import AMS, BER, DAY_MS, LOCATIONS, RETURNS_DESK, SELLS, SHOP, Scribe
from deploy.local.demo.retail import GoodsBack, Product, Retail, Sale

CALLED_OFF = 0.04
"""Share of web and catalogue lines that are cancelled before they ship."""
COUNT_EVERY_MS = 300 * DAY_MS
BREAKS = 0.002
"""Share of lines sold in the shop of which something breaks on the shelf."""

Step = Callable[[int], None]


def sku_of(product: Product) -> str:
    """A name that a person can remember, such as DRESSES-ROSY-002."""
    words = f"{product.class_name} {product.colour}".upper().replace("/", " ").split()
    return "-".join(["".join(c for c in w if c.isalnum()) for w in words] + [f"{product.number:03d}"])


def class_of(product: Product) -> str:
    """A: dear, C: cheap."""
    cost = float(product.cost)
    return "A" if cost >= 20 else "B" if cost >= 3 else "C"


@dataclass(slots=True)
class Shelf:
    """How a SKU is kept in stock, in units: refilled when less than `floor` would be left, by `lot`."""

    floor: int
    lot: int


class Trade:
    """Plays the years of a retailer. `moves` come out in the order of time; `shelves` hold what is left in the end."""

    def __init__(self, retail: Retail, rng: random.Random, mishaps: Mishaps) -> None:
        self.scribe = Scribe()
        self.sellable: dict[tuple[str, str], int] = defaultdict(int)
        self.short_transfers: dict[str, tuple[str, int]] = {}
        self._mishaps = mishaps
        self._rng = rng
        self._skus = {p.number: sku_of(p) for p in retail.products}
        self._shelves = {sku: Shelf(rng.choice((40, 120, 250)), rng.randint(300, 900)) for sku in self._skus.values()}
        self._reserved: dict[str, int] = defaultdict(int)
        self._queue: list[tuple[int, int, Step, bool]] = []
        self._entered = 0
        self._references = 0
        self._ships_from: dict[tuple[str, int, int], tuple[str, int] | None] = {}
        self.begins, self.ends = span(retail)

    def play(self, retail: Retail) -> None:
        """Everything, once."""
        self._open_shop()
        for sale in retail.sales:
            self._at(sale.sold_s * 1000, lambda now, sale=sale: self._sell(now, sale))  # type: ignore[misc]
        for back in retail.returns:
            self._at(back.at_s * 1000 + 2, lambda now, back=back: self._take_back(now, back))  # type: ignore[misc]
        while self._queue:
            now, _, step, certain = heapq.heappop(self._queue)
            if certain or now < self.ends:
                step(now)

    def _at(self, at: int, step: Step, *, certain: bool = False) -> None:
        """Do it then, unless the years are over; `certain`: even so.

        Movements carry even milliseconds and counts odd ones: a count never shares its stamp with a movement.
        """
        self._entered += 1
        heapq.heappush(self._queue, (at - at % 2, self._entered, step, certain))

    def _reference(self, prefix: str) -> str:
        self._references += 1
        return f"{prefix}-{self._references:05d}"

    # -- shelves --------------------------------------------------------------------------------------------------
    def _open_shop(self) -> None:
        period = COUNT_EVERY_MS
        for sku in self._skus.values():
            for location in LOCATIONS:
                self._receive(self.begins - DAY_MS, sku, location, self._shelves[sku].lot, "OPENING")
                first = self.begins + self._rng.randrange(period // 10, period)
                self._at(first, lambda now, sku=sku, at=location: self._count(now, sku, at))  # type: ignore[misc]

    def _receive(self, now: int, sku: str, location: str, quantity: int, reference: str) -> None:
        self.scribe.goods("received", sku, location, quantity, now, reference)
        self.sellable[sku, location] += quantity

    def _refill(self, now: int, sku: str, location: str, quantity: int) -> None:
        """See to it that `quantity` can be taken from a place, and that something is left after it."""
        shelf, left = self._shelves[sku], self.sellable[sku, location] - quantity
        if left >= shelf.floor:
            return
        if location == SHOP and left >= 0:
            self._send_to_shop(now, sku, shelf.lot // 2)
        else:
            self._receive(now, sku, location, shelf.lot + quantity, self._reference("PO"))

    def _send_to_shop(self, now: int, sku: str, quantity: int) -> None:
        self._refill(now, sku, AMS, quantity)
        reference = self._reference("TR")
        self.scribe.goods("transfer_sent", sku, AMS, quantity, now, reference, counterpart=SHOP)
        self.sellable[sku, AMS] -= quantity
        lost = self._mishaps.lost_on_the_road(sku, reference, now, quantity)
        if lost:
            self.short_transfers[reference] = (sku, lost)
        self._at(now + DAY_MS // 3, lambda then: self._arrive(then, sku, quantity - lost, reference), certain=True)

    def _arrive(self, now: int, sku: str, quantity: int, reference: str) -> None:
        self.scribe.goods("transfer_received", sku, SHOP, quantity, now, reference, counterpart=AMS)
        self.sellable[sku, SHOP] += quantity

    def _count(self, now: int, sku: str, location: str) -> None:
        ledger = self.sellable[sku, location]
        off = self._mishaps.miscount(sku, location, now, ledger)
        self.scribe.goods("counted", sku, location, ledger + off, now + 1, self._reference("CC"))
        self.sellable[sku, location] += off
        if (sku, location) not in self._mishaps.variances:  # a later count that agrees would close the discrepancy
            self._at(now + COUNT_EVERY_MS, lambda then: self._count(then, sku, location))

    # -- customers ------------------------------------------------------------------------------------------------
    def _sell(self, now: int, sale: Sale) -> None:
        sku, location = self._skus[sale.item], _ships_from(sale)
        on_shelves = sum(self.sellable[sku, place] for place in LOCATIONS)
        if on_shelves - self._reserved[sku] < sale.quantity:
            self._receive(now, sku, location, self._shelves[sku].lot + sale.quantity, self._reference("PO"))
        order = f"SO-{sale.channel[0].upper()}{sale.order}"
        self.scribe.write(SELLS[sale.channel], "sold", sku, sale.quantity, now, reference=order)
        self._reserved[sku] += sale.quantity
        key = (sale.channel, sale.order, sale.item)
        if sale.channel == "store":
            self._ship(now, sale, sku, location, order)
            return
        shipped = (sale.shipped_s or sale.sold_s) * 1000 + DAY_MS // 24
        if sale.shipped_s is None or self._rng.random() < CALLED_OFF:
            self._ships_from[key] = None
            self._at((now + shipped) // 2, lambda then: self._call_off(then, sale, sku, order))
        else:
            self._at(shipped, lambda then: self._ship(then, sale, sku, location, order))

    def _call_off(self, now: int, sale: Sale, sku: str, order: str) -> None:
        self.scribe.write(SELLS[sale.channel], "cancelled", sku, sale.quantity, now, reference=order)
        self._reserved[sku] -= sale.quantity

    def _ship(self, now: int, sale: Sale, sku: str, location: str, order: str) -> None:
        self._refill(now, sku, location, sale.quantity)
        self.scribe.goods("shipped", sku, location, sale.quantity, now, order)
        self.sellable[sku, location] -= sale.quantity
        self._reserved[sku] -= sale.quantity
        self._ships_from[sale.channel, sale.order, sale.item] = (location, now)
        if location == SHOP and self.sellable[sku, SHOP] > 3 and self._rng.random() < BREAKS:
            broken = self._rng.randint(1, 3)
            self.scribe.goods("adjusted", sku, SHOP, -broken, now, reason="broken on the shelf")
            self.sellable[sku, SHOP] -= broken

    def _take_back(self, now: int, back: GoodsBack) -> None:
        shipped = self._ships_from.get((back.channel, back.order, back.item))
        if shipped is None:  # called off, or not yet sent
            return
        sku, (location, left) = self._skus[back.item], shipped
        number, at = self._reference("RMA"), max(now, left + DAY_MS)
        self._at(at, lambda then: self._inspect(then, sku, location, back.quantity, number))

    def _inspect(self, now: int, sku: str, location: str, quantity: int, number: str) -> None:
        missing = self._mishaps.nothing_came_back(sku, location, now, quantity)
        known = self._rng.choices(("restock", "inspect", "damaged"), (60, 25, 15))[0]
        outcome = "missing" if missing else known
        self.scribe.write(RETURNS_DESK, "returned", sku, quantity, now, location, number, disposition=outcome)
        if outcome == "restock":
            self.sellable[sku, location] += quantity
        elif outcome == "inspect":
            self._at(now + 3 * DAY_MS, lambda then: self._release(then, sku, location, quantity, number))
        elif outcome == "damaged":
            self._at(now + 30 * DAY_MS, lambda then: self._scrap(then, sku, location, quantity))

    def _release(self, now: int, sku: str, location: str, quantity: int, number: str) -> None:
        conditions = {"from_condition": "quality_control", "to_condition": "sellable"}
        self.scribe.write(RETURNS_DESK, "reclassified", sku, quantity, now, location, number, **conditions)
        self.sellable[sku, location] += quantity

    def _scrap(self, now: int, sku: str, location: str, quantity: int) -> None:
        self.scribe.goods("adjusted", sku, location, -quantity, now, reason="scrapped", condition="damaged")


def span(retail: Retail) -> Window:
    """From the first sale until a while after the last one, in ms: shipments of later months are still on order."""
    first, last = retail.sales[0].sold_s * 1000, retail.sales[-1].sold_s * 1000
    return first, last + 60 * DAY_MS


def early(retail: Retail) -> Window:
    """When things go wrong: early, so that every grace period has run out when the feed ends."""
    begins, ends = span(retail)
    return begins + (ends - begins) // 8, begins + (ends - begins) * 2 // 5


def _ships_from(sale: Sale) -> str:
    if sale.channel == "store":
        return SHOP
    return AMS if sale.side == 0 else BER
