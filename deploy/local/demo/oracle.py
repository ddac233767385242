"""What must stand in the table and on the channels at the end: plain arithmetic over all movements, without `streams`.

Deliberately another way than the worker's: the worker meets one record after the other, in the order of arrival; here
all movements of a place are laid out on a line by their time, and added up once from the last count on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from deploy.local.demo.moves import Move
from topics.policy import Policy

SELLABLE, INSPECTION, DAMAGED = "sellable", "quality_control", "damaged"
RETURNED_TO = {"restock": SELLABLE, "inspect": INSPECTION, "damaged": DAMAGED}
Places = dict[tuple[str, str], int]


@dataclass(slots=True)
class Expected:
    """One SKU at the end, in units. `channels`: what each channel must show."""

    on_hand: int = 0
    sellable: int = 0
    reserved: int = 0
    available: int = 0
    quality_control: int = 0
    damaged: int = 0
    in_transit: int = 0
    locations: dict[str, int] = field(default_factory=dict)
    channels: dict[str, int] = field(default_factory=dict)


def expect(moves: Iterable[Move], policy: Policy) -> dict[str, Expected]:
    """The final stock of every SKU that moved."""
    per_sku: dict[str, list[Move]] = defaultdict(list)
    for move in moves:
        per_sku[move.sku].append(move)
    return {sku: _one(history, policy) for sku, history in per_sku.items()}


def _one(history: list[Move], policy: Policy) -> Expected:
    history.sort(key=lambda move: (move.at, move.type == "counted"))
    places = _places(history)
    reserved = max(0, _sum(history, "sold") - _sum(history, "cancelled") - _sum(history, "shipped"))
    held = {c: sum(n for (_, cond), n in places.items() if cond == c) for c in (SELLABLE, INSPECTION, DAMAGED)}
    shown = {place: n for (place, condition), n in places.items() if condition == SELLABLE and n}
    return Expected(
        on_hand=sum(held.values()),
        sellable=held[SELLABLE],
        reserved=reserved,
        available=held[SELLABLE] - reserved,
        quality_control=held[INSPECTION],
        damaged=held[DAMAGED],
        in_transit=_sum(history, "transfer_sent") - _sum(history, "transfer_received"),
        locations=shown,
        channels=_channels(shown, reserved, policy),
    )


def _places(history: list[Move]) -> Places:
    places: Places = defaultdict(int)
    for move in history:
        if move.type == "counted":
            places[move.location or "", move.more.get("condition", SELLABLE)] = move.quantity
        for place, units in _shifts(move):
            places[place] += units
    return places


def _shifts(move: Move) -> Iterable[tuple[tuple[str, str], int]]:
    """By how much a movement shifts which pile of goods."""
    at, units, more = move.location or "", move.quantity, move.more
    match move.type:
        case "received" | "adjusted":
            return [((at, more.get("condition", SELLABLE)), units)]
        case "shipped" | "transfer_sent":
            return [((at, SELLABLE), -units)]
        case "transfer_received":
            return [((at, SELLABLE), units)]
        case "returned" if more["disposition"] != "missing":
            return [((at, RETURNED_TO[more["disposition"]]), units)]
        case "reclassified":
            return [((at, more["from_condition"]), -units), ((at, more["to_condition"]), units)]
        case _:
            return []


def _channels(shown: dict[str, int], reserved: int, policy: Policy) -> dict[str, int]:
    quantities = {}
    for name, channel in policy.channels.items():
        pool = sum(n for place, n in shown.items() if channel.locations == "all" or place in channel.locations)
        quantity = max(0, pool - reserved - channel.safety_stock) * channel.percent // 100
        quantities[name] = quantity if channel.cap is None else min(quantity, channel.cap)
    return quantities


def _sum(history: list[Move], kind: str) -> int:
    return sum(move.quantity for move in history if move.type == kind)
