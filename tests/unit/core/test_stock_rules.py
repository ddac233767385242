"""What each movement does to the stock (contract section 2), and the oracle tables of section 3.6."""

import pytest

from streams.core.numbers import Numbers, chain, chains, listed
from streams.core.requests import item_facts, set_item, set_policy
from streams.core.stock import Place
from tests.builders.events import (
    AMS,
    BER,
    CLOCK,
    adjusted,
    cancelled,
    counted,
    item,
    policy,
    received,
    reclassified,
    returned,
    shipped,
    sold,
    transfer_received,
    transfer_sent,
)
from tests.builders.partition import OnePartition
from topics.policy import ChannelPolicy

STOCKED = received(CLOCK, 20, at="09:00")

# movement -> sellable, quality control, damaged, in transit, reserved; the shelf holds 20 before it
EFFECTS = [
    ("received", received(CLOCK, 5), (25, 0, 0, 0, 0)),
    ("received_damaged", received(CLOCK, 5, condition="damaged"), (20, 0, 5, 0, 0)),
    ("received_into_inspection", received(CLOCK, 5, condition="quality_control"), (20, 5, 0, 0, 0)),
    ("shipped", shipped(CLOCK, 5), (15, 0, 0, 0, 0)),
    ("wasted", adjusted(CLOCK, -5), (15, 0, 0, 0, 0)),
    ("found", adjusted(CLOCK, 5, reason="found"), (25, 0, 0, 0, 0)),
    ("damaged_wasted", adjusted(CLOCK, -5, condition="damaged"), (20, 0, -5, 0, 0)),
    ("counted", counted(CLOCK, 18), (18, 0, 0, 0, 0)),
    ("counted_none", counted(CLOCK, 0), (0, 0, 0, 0, 0)),
    ("counted_damaged", counted(CLOCK, 3, condition="damaged"), (20, 0, 3, 0, 0)),
    ("reclassified", reclassified(CLOCK, 5, "sellable", "damaged"), (15, 0, 5, 0, 0)),
    ("transfer_sent", transfer_sent(CLOCK, 5, "T-1"), (15, 0, 0, 5, 0)),
    ("transfer_received", transfer_received(CLOCK, 5, "T-1"), (25, 0, 0, -5, 0)),
    ("sold", sold(CLOCK, 5), (20, 0, 0, 0, 5)),
    ("cancelled_before_its_sale_was_read", cancelled(CLOCK, 5), (20, 0, 0, 0, 0)),
    ("returned_restock", returned(CLOCK, 5, "restock"), (25, 0, 0, 0, 0)),
    ("returned_inspect", returned(CLOCK, 5, "inspect"), (20, 5, 0, 0, 0)),
    ("returned_damaged", returned(CLOCK, 5, "damaged"), (20, 0, 5, 0, 0)),
    ("returned_missing", returned(CLOCK, 5, "missing"), (20, 0, 0, 0, 0)),
    ("reclassified_after_inspection", reclassified(CLOCK, 5, "quality_control", "sellable"), (25, -5, 0, 0, 0)),
]


@pytest.mark.parametrize(("movement", "expected"), [row[1:] for row in EFFECTS], ids=[row[0] for row in EFFECTS])
def test_a_movement_moves_what_the_table_says(movement, expected):
    """Every kind of movement, onto a shelf of 20."""
    partition = OnePartition()
    partition.feed_all(STOCKED, movement)
    found = partition.numbers(CLOCK)
    assert (found.sellable, found.quality_control, found.damaged, found.in_transit, found.reserved) == expected
    assert found.on_hand == found.sellable + found.quality_control + found.damaged
    assert found.available == found.sellable - found.reserved


def test_a_sale_reserves_until_it_ships_or_is_cancelled():
    partition = OnePartition()
    partition.feed_all(STOCKED, sold(CLOCK, 5), cancelled(CLOCK, 1), shipped(CLOCK, 3))
    assert partition.numbers(CLOCK) == Numbers({AMS: 17}, 0, 0, 0, 1)


def test_shipping_more_than_was_sold_reserves_nothing():
    partition = OnePartition()
    partition.feed_all(STOCKED, sold(CLOCK, 1), shipped(CLOCK, 3))
    assert partition.numbers(CLOCK).reserved == 0


def test_both_ends_of_a_transfer_meet_at_zero_in_transit():
    partition = OnePartition()
    partition.feed_all(STOCKED, transfer_received(CLOCK, 5, "T-1"), transfer_sent(CLOCK, 5, "T-1"))
    found = partition.numbers(CLOCK)
    assert found.in_transit == 0
    assert found.locations == {AMS: 15, BER: 5}
    assert partition.row(CLOCK).transfers == {}


def test_an_empty_location_is_left_out():
    partition = OnePartition()
    partition.feed_all(received(CLOCK, 5), shipped(CLOCK, 5), received(CLOCK, 2, location=BER))
    assert partition.numbers(CLOCK).locations == {BER: 2}


def test_each_source_has_its_own_sub_ledger():
    partition = OnePartition()
    partition.feed_all(STOCKED, sold(CLOCK, 5, source="shop-nl"), sold(CLOCK, 2, source="shop-de"))
    row = partition.row(CLOCK)
    assert {name: ledger.sold for name, ledger in row.sources.items()} == {"wms": 0, "shop-nl": 5, "shop-de": 2}
    row.sum_sources()
    assert row.sold == 7


def test_what_came_back_missing_is_not_returned():
    partition = OnePartition()
    partition.feed_all(STOCKED, returned(CLOCK, 2, "missing"), returned(CLOCK, 1, "damaged"))
    ledger = partition.row(CLOCK).sources["rma"]
    assert (ledger.missing, ledger.returned, partition.row(CLOCK).returned) == (2, 1, 1)


def test_the_version_rises_by_one_with_each_applied_movement_only():
    partition = OnePartition()
    first = received(CLOCK, 5, event_id="PO-1")
    partition.feed_all(first, first, received(CLOCK, 6, event_id="PO-1"), counted(CLOCK, 1, at="09:00"))
    assert partition.row(CLOCK).version == 2
    assert set_item(partition.row(CLOCK), item_facts(item(CLOCK, safety_stock=1)))
    assert not set_item(partition.row(CLOCK), item_facts(item(CLOCK, safety_stock=1)))
    assert partition.row(CLOCK).version == 3


ON_HAND_RESERVED_SAFETY = [
    (10, 0, 0, 10),
    (10, 0, 3, 7),
    (10, 5, 0, 5),
    (10, 5, 3, 2),
    (10, 10, 0, 0),
    (5, 0, 1, 4),
    (5, 0, 5, 0),
    (0, 0, 5, 0),
    (3, 5, 0, 0),
]


@pytest.mark.parametrize(("on_hand", "reserved", "safety", "quantity"), ON_HAND_RESERVED_SAFETY)
def test_a_channel_gets_the_pool_minus_reserved_minus_safety(on_hand, reserved, safety, quantity):
    found = Numbers({AMS: on_hand}, 0, 0, 0, reserved)
    assert chain(found, ChannelPolicy(kind="shopify", safety_stock=safety), None).quantity == quantity


@pytest.mark.parametrize(
    ("pool", "percent", "quantity"), [(100, 70, 70), (10, 70, 7), (3, 50, 1), (100, 0, 0), (1, 99, 0), (29, 100, 29)]
)
def test_percent_is_rounded_down(pool, percent, quantity):
    assert chain(Numbers({AMS: pool}, 0, 0, 0, 0), ChannelPolicy(kind="w", percent=percent), None).quantity == quantity


@pytest.mark.parametrize(("cap", "quantity"), [(None, 14), (20, 14), (14, 14), (5, 5), (0, 0)])
def test_the_chain_is_taken_in_the_order_of_the_contract(cap, quantity):
    """(40 at its locations - 10 reserved - 2 safety) x 50 % = 14, at most the cap."""
    channel = ChannelPolicy(kind="w", locations=[AMS, BER], safety_stock=2, percent=50, cap=cap)
    found = Numbers({AMS: 30, BER: 10, "PAR-1": 99}, 7, 8, 9, 10)
    assert chain(found, channel, None) == (quantity, 40, 2, 50, cap)


def test_below_zero_stays_in_the_stock_and_channels_see_zero():
    partition = OnePartition()
    partition.feed(shipped(CLOCK, 3))
    found = partition.numbers(CLOCK)
    assert found.available == -3
    assert chains(partition.row(CLOCK), found, partition.rules)["shopify"].quantity == 0


def test_an_item_replaces_the_safety_stock_and_says_which_channels_list_it():
    rules = policy(channels={"shopify": {"kind": "shopify", "safety_stock": 3}, "outlet": {"kind": "webhook"}})
    partition = OnePartition(rules)
    partition.feed(STOCKED)
    row = partition.row(CLOCK)
    assert listed(rules, None) == ["shopify", "outlet"]
    set_item(row, item_facts(item(CLOCK, safety_stock=0, listings={"shopify": {}, "ebay": {}})))
    assert {name: link.quantity for name, link in chains(row, partition.numbers(CLOCK), rules).items()} == {
        "shopify": 20
    }


def test_a_changed_policy_raises_the_version_where_it_changes_a_quantity():
    old = policy()
    partition = OnePartition(old)
    partition.feed(STOCKED)
    row = partition.row(CLOCK)
    assert not set_policy(row, old, policy(count_tolerance={"units": 5}))
    assert row.version == 1
    assert set_policy(row, old, policy(channels={"shopify": {"kind": "shopify", "percent": 50}}))
    assert row.version == 2


def test_stamps_are_kept_per_place():
    """A count at one place leaves the others alone."""
    partition = OnePartition()
    partition.feed_all(STOCKED, received(CLOCK, 4, location=BER), counted(CLOCK, 19, at="11:00"))
    assert partition.row(CLOCK).balances[Place(BER, "sellable")].count is None
    assert partition.numbers(CLOCK).locations == {AMS: 19, BER: 4}
