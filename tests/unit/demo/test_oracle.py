"""The demo's own arithmetic, against numbers that peers published."""

import pytest

from deploy.local.demo.moves import Move
from deploy.local.demo.oracle import Expected, expect
from topics.policy import Policy, parse_policy

MINUTE = 60_000
NO_CHANNELS = Policy()


def move(kind: str, quantity: int, minute: int, at: str | None = "AMS-1", **more: str) -> Move:
    return Move(f"e-{kind}-{minute}", "wms-ams", kind, "RETRO-CLOCK", quantity, minute * MINUTE, at, "REF-1", more)


def outcome(*moves: Move, policy: Policy = NO_CHANNELS) -> Expected:
    return expect(moves, policy)["RETRO-CLOCK"]


def test_square_a_count_holds_as_of_its_own_time() -> None:
    story = [
        move("received", 100, 0),
        move("shipped", 3, 10),
        move("counted", 90, 30),
        move("shipped", 2, 20),
        move("adjusted", -2, 40),
    ]
    assert outcome(*story).on_hand == 88


def test_ibm_movements_around_a_count() -> None:
    story = [move("received", 102, 0), move("adjusted", -1, 4), move("counted", 100, 3), move("adjusted", -2, 2)]
    assert outcome(*story).on_hand == 99


def test_every_movement_lands_where_the_contract_says() -> None:
    found = outcome(
        move("received", 50, 0),
        move("transfer_sent", 20, 1, counterpart="SHOP-1"),
        move("transfer_received", 15, 2, at="SHOP-1", counterpart="AMS-1"),
        move("sold", 9, 3, at=None),
        move("cancelled", 2, 4, at=None),
        move("shipped", 4, 5, at="SHOP-1"),
        move("returned", 1, 6, at="SHOP-1", disposition="restock"),
        move("returned", 2, 7, disposition="inspect"),
        move("returned", 3, 8, disposition="damaged"),
        move("returned", 4, 9, disposition="missing"),
        move("reclassified", 1, 10, from_condition="quality_control", to_condition="sellable"),
        move("adjusted", -1, 11, condition="damaged", reason="scrapped"),
    )
    assert found == Expected(
        on_hand=46,
        sellable=43,
        reserved=3,
        available=40,
        quality_control=1,
        damaged=2,
        in_transit=5,
        locations={"AMS-1": 31, "SHOP-1": 12},
    )


@pytest.mark.parametrize(
    ("pool", "sold", "channel", "shows"),
    [
        (10, 0, "safety_stock: 3", 7),
        (10, 5, "safety_stock: 3", 2),
        (10, 10, "safety_stock: 0", 0),
        (10, 12, "safety_stock: 3", 0),
        (3, 0, "percent: 50", 1),
        (100, 0, "percent: 70, cap: 60", 60),
        (10, 0, "locations: [BER-1]", 0),
    ],
)
def test_what_a_channel_shows(pool: int, sold: int, channel: str, shows: int) -> None:
    policy = parse_policy(f"channels: {{shop: {{kind: webhook, {channel}}}}}")
    moves = [move("received", pool, 0)] + ([move("sold", sold, 1, at=None)] if sold else [])
    assert outcome(*moves, policy=policy).channels == {"shop": shows}
