"""The derived numbers: on hand, reserved, available, and what each channel may show (contract 3.1 and 3.6)."""

from __future__ import annotations

from typing import NamedTuple

from streams.core.effects import SELLABLE
from streams.core.stock import ItemFacts, Stock
from topics.policy import ChannelPolicy, Policy


class Numbers(NamedTuple):
    """Units of one SKU. `locations`: sellable units per location, zeros left out. in_transit is not on hand."""

    locations: dict[str, int]
    quality_control: int
    damaged: int
    in_transit: int
    reserved: int

    @property
    def sellable(self) -> int:
        """Sellable units at all locations."""
        return sum(self.locations.values())

    @property
    def on_hand(self) -> int:
        """All conditions at all locations."""
        return self.sellable + self.quality_control + self.damaged

    @property
    def available(self) -> int:
        """Sellable units that nobody has bought yet; below zero when too much was sold."""
        return self.sellable - self.reserved


class Chain(NamedTuple):
    """How one channel's quantity came about: pool - reserved - safety stock, times percent, at most cap, at least 0."""

    quantity: int
    pool: int
    safety_stock: int
    percent: int
    cap: int | None


def reserved_units(stock: Stock) -> int:
    """Sold, not called off and not yet shipped."""
    return max(0, stock.sold - stock.cancelled - stock.shipped)


def numbers(stock: Stock) -> Numbers:
    """Derive the numbers of a row."""
    locations: dict[str, int] = {}
    held = {"quality_control": 0, "damaged": 0}
    for (location, condition), balance in stock.balances.items():
        if condition == SELLABLE:
            if balance.quantity:
                locations[location] = balance.quantity
        else:
            held[condition] += balance.quantity
    in_transit = sum(t.sent - t.received for t in stock.transfers.values()) if stock.transfers else 0
    return Numbers(locations, held["quality_control"], held["damaged"], in_transit, reserved_units(stock))


def available_units(stock: Stock) -> int:
    """The short cut to `numbers(stock).available`."""
    sellable = 0
    for (_, condition), balance in stock.balances.items():
        if condition == SELLABLE:
            sellable += balance.quantity
    return sellable - reserved_units(stock)


def chain(found: Numbers, channel: ChannelPolicy, item: ItemFacts | None) -> Chain:
    """What one channel gets, in the order of contract 3.6."""
    if channel.locations == "all":
        pool = sum(found.locations.values())
    else:
        pool = sum(found.locations.get(location, 0) for location in channel.locations)
    own = item.safety_stock if item is not None else None
    safety = channel.safety_stock if own is None else own
    quantity = max(0, pool - found.reserved - safety) * channel.percent // 100
    if channel.cap is not None:
        quantity = min(quantity, channel.cap)
    return Chain(quantity, pool, safety, channel.percent, channel.cap)


def listed(policy: Policy, item: ItemFacts | None) -> list[str]:
    """The policy's channels that list the SKU; all of them where the catalogue has no item for it."""
    if item is None:
        return list(policy.channels)
    return [name for name in policy.channels if name in item.channels]


def chains(stock: Stock, found: Numbers, policy: Policy) -> dict[str, Chain]:
    """The chain of numbers of every channel that lists the SKU."""
    return {name: chain(found, policy.channels[name], stock.item) for name in listed(policy, stock.item)}
