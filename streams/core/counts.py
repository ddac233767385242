"""Event time: a count sets a balance as of its own time, whichever of its neighbours arrives first (contract 3.2)."""

from __future__ import annotations

from typing import Literal

from streams.core.memory import Effects, PartitionMemory
from streams.core.stock import Balance, Count, Place, Stock
from topics.events import Counted

Counting = Literal["holds", "older", "late"]


def apply_effects(stock: Stock, effects: Effects, stamp: int) -> None:
    """Move balances. What is stamped at or before a standing count is already in it, and corrects its variance only."""
    for place, units in effects:
        balance = stock.balance(place)
        count = balance.count
        if count is None or stamp > count.at:
            balance.quantity += units
        elif stamp > count.basis:
            count.expected += units


def apply_count(stock: Stock, counted: Counted, stamp: int, memory: PartitionMemory) -> Counting:
    """Let a count hold, unless a later one stands (`older`) or the memory no longer reaches back to it (`late`)."""
    place = Place(counted.location, counted.condition)
    balance = stock.balance(place)
    standing = balance.count
    if standing is not None and (stamp, counted.event_id, counted.source) <= (
        standing.at,
        standing.event_id,
        standing.source,  # two sources may use the same id at the same moment: still whichever arrives first
    ):
        return "older"
    if stamp < memory.forgotten.balance:
        return "late"
    _settle(balance, counted, stamp, memory.moved_after(stock.sku, place, stamp))
    return "holds"


def _settle(balance: Balance, counted: Counted, stamp: int, moved_since: int) -> None:
    basis = balance.count.at if balance.count is not None else 0
    expected = balance.quantity - moved_since
    balance.count = Count(stamp, counted.event_id, counted.source, counted.quantity, expected, basis)
    balance.quantity = counted.quantity + moved_since
