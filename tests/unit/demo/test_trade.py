"""The retailer's years: goods are there before they leave, and counts find what the ledger says."""

import random
from collections import defaultdict

import pytest

from deploy.local.demo.incidents import Mishaps
from deploy.local.demo.moves import Move
from deploy.local.demo.oracle import _shifts
from deploy.local.demo.trade import Trade, class_of, early, sku_of
from tests.unit.demo.shop import small_shop


@pytest.fixture(scope="module", params=[1, 2, 3])
def played(request: pytest.FixtureRequest) -> tuple[Trade, Mishaps]:
    shop, rng = small_shop(), random.Random(request.param)
    mishaps = Mishaps(rng, early(shop), {sku_of(p): class_of(p) for p in shop.products})
    trade = Trade(shop, rng, mishaps)
    trade.play(shop)
    return trade, mishaps


def test_moves_come_in_the_order_of_time_with_ids_of_their_own(played: tuple[Trade, Mishaps]) -> None:
    moves = played[0].scribe.moves
    assert [m.at for m in moves] == sorted(m.at for m in moves)
    assert len({(m.source, m.event_id) for m in moves}) == len(moves)


def test_no_shelf_goes_below_zero_and_counts_agree_but_for_the_mishaps(played: tuple[Trade, Mishaps]) -> None:
    trade, mishaps = played
    places: dict[tuple[str, str, str], int] = defaultdict(int)
    off = {}
    for move in trade.scribe.moves:
        for (location, condition), units in _shifts(move):
            place = (move.sku, location, condition)
            places[place] += units
            assert places[place] >= 0, move
        if move.type == "counted":
            place = (move.sku, move.location or "", "sellable")
            if move.quantity != places[place]:
                off[move.sku, f"{move.location}/sellable"] = (places[place], move.quantity)
            places[place] = move.quantity
    told = {(i.sku, i.place): (i.expected, i.observed) for i in mishaps.incidents if i.kind == "count_variance"}
    tolerated = {place: numbers for place, numbers in off.items() if abs(numbers[1] - numbers[0]) <= 2}
    assert told == {place: numbers for place, numbers in off.items() if place not in tolerated}
    assert len(tolerated) == len(mishaps.tolerated) == 2


def test_nothing_is_sold_that_is_not_there_nor_shipped_unsold_nor_returned_unshipped(
    played: tuple[Trade, Mishaps],
) -> None:
    totals: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for move in played[0].scribe.moves:
        of = totals[move.sku]
        if move.more.get("disposition") != "missing":
            of[move.type] += move.quantity
        assert of["shipped"] <= of["sold"] - of["cancelled"]
        assert of["returned"] <= of["shipped"]


def test_what_is_sent_to_the_shop_arrives_but_for_the_short_transfers(played: tuple[Trade, Mishaps]) -> None:
    trade, mishaps = played
    road: dict[str, int] = defaultdict(int)
    for move in trade.scribe.moves:
        if move.type.startswith("transfer"):
            road[move.reference or ""] += _road(move)
    short = {i.place: (i.expected or 0) - (i.observed or 0) for i in mishaps.incidents if i.kind == "transfer_short"}
    assert {ref: units for ref, units in road.items() if units} == short
    assert len(short) == 2


def _road(move: Move) -> int:
    return move.quantity if move.type == "transfer_sent" else -move.quantity


def test_each_product_suffers_one_mishap_at_most(played: tuple[Trade, Mishaps]) -> None:
    mishaps = played[1]
    assert not mishaps.short()
    assert len({i.sku for i in mishaps.incidents}) == len(mishaps.incidents) == 9


def test_names_of_products_can_be_keys_and_are_unique() -> None:
    skus = [sku_of(p) for p in small_shop().products]
    assert skus[0] == "DECOR-ROSY-001"
    assert len(set(skus)) == len(skus)
