"""What goes wrong, on purpose, in the retailer's own data: few enough to be told one by one, each in words.

An incident is written down with all that a discrepancy must say about it before the first record is sent; the check
at the end compares both lists. Nothing else may open.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from topics.updates import Kind

Ending = Literal["stays", "by the data", "by a person", "acknowledged"]
"""What becomes of it until the end of the demo."""
STATUS: dict[Ending, str] = {
    "stays": "opened",
    "by the data": "resolved",
    "by a person": "resolved",
    "acknowledged": "acknowledged",
}

Window = tuple[int, int]
"""From and to, in ms of the data's calendar."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One cause, and what must be opened for it. `place`: what the kind's key names besides the SKU (contract 5).

    expected and observed are None where they depend on when the record is read (sequence numbers).
    """

    kind: Kind
    sku: str
    place: str
    expected: int | None
    observed: int | None
    why: str
    ending: Ending = "stays"

    @property
    def key(self) -> tuple[str, str, str]:
        """At most one discrepancy may be open for this."""
        return (self.kind, self.sku, self.place)


class Mishaps:
    """Decides, while the retailer's years are played, where goods vanish, and keeps the list of it.

    All of it happens early (`window`), so that every grace period has run out before the feed ends. A SKU suffers one
    mishap at most: each discrepancy then has one cause, which can be told.
    """

    def __init__(self, rng: random.Random, window: Window, classes: dict[str, str]) -> None:
        self.incidents: list[Incident] = []
        self.window = window
        self.tolerated: list[str] = []
        self.variances: dict[tuple[str, str], int] = {}
        self._used: set[str] = set()
        self._rng = rng
        self._classes = classes
        self._left = {"count": 4, "within": 2, "transfer": 2, "missing": 3}

    def is_free(self, sku: str) -> bool:
        """Nothing else happens to this SKU."""
        return sku not in self._used

    def take(self, sku: str) -> None:
        """Keep a SKU for one mishap."""
        self._used.add(sku)

    def miscount(self, sku: str, location: str, at: int, ledger: int) -> int:
        """Units by which somebody's count differs from the ledger. Class C may be off by two, and nobody is told."""
        loose = self._classes[sku] == "C"
        if not self._strikes("within" if loose else "count", sku, at) or ledger < 60:
            return 0
        self._spend("within" if loose else "count", sku)
        if loose:
            self.tolerated.append(f"{sku} at {location}")
            return self._rng.choice((-2, -1, 1, 2))
        off = self._rng.choice((-1, 1)) * self._rng.randint(3, 40)
        self.variances[sku, location] = off
        what = f"{-off} fewer than" if off < 0 else f"{off} more than"
        ending: Ending = "by the data" if len(self.variances) % 2 else "stays"
        later = "; a recount agrees later" if ending == "by the data" else ""
        why = f"the count at {location} found {what} the {ledger} in the books{later}"
        self._add("count_variance", sku, f"{location}/sellable", ledger, ledger + off, why, ending)
        return off

    def lost_on_the_road(self, sku: str, reference: str, at: int, quantity: int) -> int:
        """Units of a transfer that do not arrive."""
        if not self._strikes("transfer", sku, at) or quantity < 60:
            return 0
        self._spend("transfer", sku)
        lost = self._rng.randint(2, 25)
        ending: Ending = "by the data" if self._left["transfer"] else "stays"
        later = "; the rest turns up later" if self._left["transfer"] else ""
        why = f"transfer {reference}: {quantity} were sent and {quantity - lost} arrived{later}"
        self._add("transfer_short", sku, reference, quantity, quantity - lost, why, ending)
        return lost

    def nothing_came_back(self, sku: str, location: str, at: int, quantity: int) -> bool:
        """A refund was asked for, and the parcel was empty."""
        if not self._strikes("missing", sku, at):
            return False
        self._spend("missing", sku)
        endings: dict[int, Ending] = {2: "by a person", 1: "acknowledged", 0: "stays"}
        ending = endings[self._left["missing"]]
        later = {"by a person": "; a person settles it", "acknowledged": "; a person works on it"}.get(ending, "")
        why = f"a refund for {quantity} at {location}, but nothing came back{later}"
        self._add("refund_without_goods", sku, location, quantity, 0, why, ending)
        return True

    def short(self) -> bool:
        """Not everything that was planned found its place (too little data)."""
        return any(self._left.values())

    def _strikes(self, what: str, sku: str, at: int) -> bool:
        if not self._left[what] or sku in self._used or not self.window[0] <= at <= self.window[1]:
            return False
        return self._rng.random() < 0.1

    def _spend(self, what: str, sku: str) -> None:
        self._left[what] -= 1
        self.take(sku)

    def _add(self, kind: Kind, sku: str, place: str, expected: int, observed: int, why: str, ending: Ending) -> None:
        self.incidents.append(Incident(kind, sku, place, expected, observed, why, ending))
