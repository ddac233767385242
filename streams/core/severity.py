"""How bad a disagreement is (contract section 5, column severity)."""

from __future__ import annotations

from decimal import Decimal

from streams.core.stock import ItemFacts
from topics.policy import Tolerance
from topics.updates import Severity

HIGH_VALUE, MEDIUM_VALUE = Decimal(500), Decimal(50)
"""Money, in the item's currency, that a count variance is worth."""
HIGH_PERCENT, MEDIUM_PERCENT = 20, 5
"""Percent of the expected quantity, for items whose value nobody knows; and what raises a low variance to medium."""


def within(tolerance: Tolerance, expected: int, counted: int) -> bool:
    """Within units OR within percent of expected (in decimals: 0.57 % means what it says)."""
    off = abs(counted - expected)
    return off <= tolerance.units or off * 100 <= Decimal(str(tolerance.percent)) * abs(expected)


def count_severity(expected: int, counted: int, item: ItemFacts | None) -> Severity:
    """By the value of the difference where the item has one, else by its percentage; a large share is never low."""
    off = abs(counted - expected)
    percent = 100 if expected <= 0 else off * 100 // expected
    if item is None or item.value is None:
        return "high" if percent >= HIGH_PERCENT else "medium" if percent >= MEDIUM_PERCENT else "low"
    value = off * Decimal(item.value)
    if value >= HIGH_VALUE:
        return "high"
    return "medium" if value >= MEDIUM_VALUE or percent >= HIGH_PERCENT else "low"
