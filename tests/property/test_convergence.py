"""Any arrival order between sources and any resend give the same stock; units are conserved; wolves are not cried."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from streams.core.effects import effects
from streams.core.stock import Place, micros
from tests.builders.events import AMS, CLOCK, cancelled, received, returned, shipped, sold
from tests.builders.partition import OnePartition
from tests.property.histories import Streams, interleaved, streams, with_resends
from topics.events import Cancelled, Counted, Event, Received, Returned, Shipped, Sold, TransferReceived, TransferSent


def fold(arrivals: list[Event]) -> OnePartition:
    """Read all of it; it was all written by noon."""
    partition = OnePartition()
    for event in arrivals:
        partition.feed(event, "12:00")
    return partition


def balances_by_the_book(told: Streams) -> dict[Place, int]:
    """The oracle: the last count of each place, and all that was stamped after it. No order of arrival in it."""
    everything = [event for said in told.values() for event in said]
    last: dict[Place, tuple[int, str, str, int]] = {}
    for event in everything:
        if isinstance(event, Counted):
            place = Place(event.location, event.condition)
            count = (micros(event.occurred_at), event.event_id, event.source, event.quantity)
            last[place] = max(last.get(place, count), count)
    found = {place: count[3] for place, count in last.items()}
    for event in everything:
        for place, delta in effects(event):
            if place not in last or micros(event.occurred_at) > last[place][0]:
                found[place] = found.get(place, 0) + delta
    return {place: quantity for place, quantity in found.items() if quantity}


def total(told: Streams, *kinds: type) -> int:
    return sum(event.quantity for said in told.values() for event in said if isinstance(event, kinds))


@given(st.data())
def test_any_arrival_order_and_any_resend_give_the_stock_that_the_book_says(data):
    told = data.draw(streams())
    arrivals = data.draw(interleaved(told))
    partition = fold(data.draw(with_resends(arrivals)))
    row = partition.row(CLOCK)
    found = {place: balance.quantity for place, balance in row.balances.items() if balance.quantity}
    assert found == balances_by_the_book(told)
    sold_units = total(told, Sold) - total(told, Cancelled)
    assert partition.numbers(CLOCK).reserved == max(0, sold_units - total(told, Shipped))
    assert partition.numbers(CLOCK).in_transit == total(told, TransferSent) - total(told, TransferReceived)
    assert row.version == row.movements == sum(map(len, told.values()))


@given(st.data())
def test_two_arrival_orders_leave_the_same_sub_ledgers_and_the_same_standing_disagreements(data):
    told = data.draw(streams())
    one, other = (fold(data.draw(with_resends(data.draw(interleaved(told))))) for _ in range(2))
    for partition in (one, other):
        partition.ticks("12:00", "13:00")
    assert one.row(CLOCK).sources == other.row(CLOCK).sources
    assert one.numbers(CLOCK) == other.numbers(CLOCK)
    assert _standing(one) == _standing(other)


def _standing(partition: OnePartition) -> Counter[tuple[str, str]]:
    """What stands open; a count's variance depends on which counts it met, so it is left out."""
    return Counter(tuple(issue.key) for issue in partition.open(CLOCK) if issue.key.kind != "count_variance")


@given(st.data())
def test_what_stands_open_is_what_the_numbers_say(data):
    """After quiet, a kind is open exactly where its condition holds."""
    told = data.draw(streams(counts=False))
    partition = fold(data.draw(interleaved(told)))
    partition.ticks("12:00", "13:00")
    row, found = partition.row(CLOCK), partition.numbers(CLOCK)
    kinds = {issue.key for issue in partition.open(CLOCK)}
    assert (("oversold", "") in kinds) == (found.available < 0)
    assert (("shipped_exceeds_sold", "") in kinds) == (row.shipped > row.sold - row.cancelled)
    assert (("returned_exceeds_sold", "") in kinds) == (row.returned > row.shipped)
    below = {str(place) for place, balance in row.balances.items() if balance.quantity < 0}
    assert {place for kind, place in kinds if kind == "negative_on_hand"} == below
    short = {reference for reference, transfer in row.transfers.items() if transfer.received < transfer.sent}
    assert {place for kind, place in kinds if kind == "transfer_short"} == short


@given(st.data())
def test_units_are_conserved(data):
    """Without counts and adjustments nothing appears or vanishes but by receipts, returns and shipments."""
    told = data.draw(streams(counts=False))
    told["wms"] = [event for event in told["wms"] if event.type != "adjusted"]
    told["wms"] = [event.model_copy(update={"sequence": None}) for event in told["wms"]]
    found = fold(data.draw(interleaved(told))).numbers(CLOCK)
    came_back = sum(e.quantity for e in told["rma"] if isinstance(e, Returned) and e.disposition != "missing")
    assert found.on_hand + found.in_transit == total(told, Received) + came_back - total(told, Shipped)


@given(st.data())
def test_an_order_of_arrival_within_the_grace_cries_no_wolf(data):
    """Goods came before they were sold, sales before they shipped: read in any order within 30 s, nobody is called."""
    n = data.draw(st.integers(1, 6))
    told = {
        "wms": [received(CLOCK, 2 * n, at="09:00")] + [shipped(CLOCK, 1, at="09:30") for _ in range(n)],
        "shop": [sold(CLOCK, 1, at="09:10") for _ in range(2 * n)] + [cancelled(CLOCK, 1, at="09:20")],
        "rma": [returned(CLOCK, 1, at="09:50", location=AMS)],
    }
    arrivals = data.draw(with_resends(data.draw(interleaved(told))))
    partition = OnePartition()
    strikes = sorted(data.draw(st.lists(st.integers(0, 29), max_size=6)))
    for second in strikes:
        upto = len(arrivals) * second // 30
        for event in arrivals[:upto]:
            partition.feed(event, "10:00")
        del arrivals[:upto]
        partition.tick(f"10:00:{second:02}")
    for event in arrivals:
        partition.feed(event, "10:00")
    partition.ticks("10:01", "11:00")
    assert partition.told == []
    assert partition.row(CLOCK).issues == {}
