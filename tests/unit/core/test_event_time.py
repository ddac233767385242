"""Counts in event time (contract 3.2): the two published scenarios, in every order of arrival."""

from itertools import permutations

import pytest

from streams.core.step import Applied
from streams.core.stock import Place
from tests.builders.events import AMS, CLOCK, adjusted, counted, micros, received, shipped
from tests.builders.partition import OnePartition

SHELF = Place(AMS, "sellable")


def test_square_an_offline_sale_from_before_the_count_changes_nothing():
    """97, 90, 90, 88."""
    partition = OnePartition()
    partition.feed(received(CLOCK, 100, at="08:00"))
    after = []
    for event, arrives in (
        (shipped(CLOCK, 3, at="13:10"), "13:10"),
        (counted(CLOCK, 90, at="13:30"), "13:30"),
        (shipped(CLOCK, 2, at="13:20"), "13:35"),
        (adjusted(CLOCK, -2, at="13:40"), "13:40"),
    ):
        partition.feed(event, arrives)
        after.append(partition.sellable(CLOCK))
    assert after == [97, 90, 90, 88]


def test_ibm_a_count_from_before_a_sale_that_was_already_read():
    """101, 99, 99."""
    partition = OnePartition()
    partition.feed(received(CLOCK, 102, at="08:00"))
    after = []
    for event, arrives in (
        (shipped(CLOCK, 1, at="12:04"), "12:04"),
        (counted(CLOCK, 100, at="12:03"), "12:05"),
        (shipped(CLOCK, 2, at="12:02"), "12:06"),
    ):
        partition.feed(event, arrives)
        after.append(partition.sellable(CLOCK))
    assert after == [101, 99, 99]


SQUARE = (
    received(CLOCK, 100, at="08:00"),
    shipped(CLOCK, 3, at="13:10"),
    counted(CLOCK, 90, at="13:30"),
    shipped(CLOCK, 2, at="13:20"),
    adjusted(CLOCK, -2, at="13:40"),
)
IBM = (
    received(CLOCK, 102, at="08:00"),
    shipped(CLOCK, 1, at="12:04"),
    counted(CLOCK, 100, at="12:03"),
    shipped(CLOCK, 2, at="12:02"),
)


@pytest.mark.parametrize(
    ("scenario", "quantity", "expected"), [(SQUARE, 88, 95), (IBM, 99, 100)], ids=["square", "ibm"]
)
def test_the_scenarios_end_the_same_in_every_order_of_arrival(scenario, quantity, expected):
    """The balance and what the count should have found, whichever of them is read first."""
    for order in permutations(scenario):
        partition = OnePartition()
        for event in order:
            partition.feed(event, "14:00")
        balance = partition.row(CLOCK).balances[SHELF]
        assert balance.quantity == quantity
        assert balance.count is not None
        assert balance.count.expected == expected


def test_a_movement_stamped_with_the_count_is_in_the_count():
    for order in permutations((received(CLOCK, 7, at="10:00"), counted(CLOCK, 7, at="10:00"))):
        partition = OnePartition()
        partition.feed_all(*order)
        assert partition.sellable(CLOCK) == 7


def test_of_two_counts_the_later_holds():
    early, late = counted(CLOCK, 5, at="10:00"), counted(CLOCK, 9, at="11:00")
    for order in permutations((early, late)):
        partition = OnePartition()
        verdicts = dict(zip((event.quantity for event in order), partition.feed_all(*order), strict=True))
        assert partition.sellable(CLOCK) == 9
        assert verdicts[9] == Applied()
    assert verdicts[5] == Applied("older_count")


def test_of_two_counts_at_the_same_moment_the_greater_event_id_then_source_holds():
    counts = (
        counted(CLOCK, 5, event_id="A", source="wms"),
        counted(CLOCK, 6, event_id="B", source="scanner"),
        counted(CLOCK, 7, event_id="B", source="wms"),
    )
    for order in permutations(counts):
        partition = OnePartition()
        partition.feed_all(*order)
        assert partition.sellable(CLOCK) == 7


def test_a_stamp_later_than_the_broker_time_counts_as_the_broker_time():
    """A clock that runs an hour ahead must not carry a receipt past a count."""
    partition = OnePartition()
    partition.feed(received(CLOCK, 5, at="11:00"), "10:00")
    partition.feed(counted(CLOCK, 4, at="10:30"), "10:30")
    assert partition.sellable(CLOCK) == 4
    assert partition.row(CLOCK).changed_at == micros("10:30")


def test_a_movement_from_before_the_last_but_one_count_corrects_no_variance():
    partition = OnePartition()
    partition.feed_all(received(CLOCK, 10, at="08:00"), counted(CLOCK, 10, at="09:00"), counted(CLOCK, 8, at="10:00"))
    partition.feed(shipped(CLOCK, 2, at="08:30"), "10:01")
    count = partition.row(CLOCK).balances[SHELF].count
    assert count is not None
    assert (partition.sellable(CLOCK), count.expected) == (8, 10)
    partition.feed(shipped(CLOCK, 2, at="09:30"), "10:01")
    assert (partition.sellable(CLOCK), count.expected) == (8, 8)


def test_a_count_that_the_memory_does_not_reach_is_late():
    """Three records are remembered; the receipt of 10:00 is forgotten when the fourth was read."""
    partition = OnePartition(limit=3)
    partition.feed_all(*(received(CLOCK, 1, at=f"1{hour}:00") for hour in range(4)))
    assert partition.feed(counted(CLOCK, 9, at="09:59"), "14:00") == Applied("late_count")
    assert partition.sellable(CLOCK) == 4
    assert partition.kinds(CLOCK) == ["late_count"]


def test_a_count_at_the_newest_forgotten_stamp_is_still_exact():
    partition = OnePartition(limit=3)
    partition.feed_all(*(received(CLOCK, 1, at=f"1{hour}:00") for hour in range(4)))
    assert partition.feed(counted(CLOCK, 9, at="10:00"), "14:00") == Applied()
    assert partition.sellable(CLOCK) == 12


def test_what_moves_no_balance_makes_no_count_late():
    partition = OnePartition(limit=1)
    partition.feed_all(received(CLOCK, 5, at="09:00"), counted(CLOCK, 5, at="12:00"))
    assert partition.feed(counted(CLOCK, 5, at="12:01")) == Applied()
    assert partition.books.memory.forgotten.balance == micros("09:00")
    assert partition.books.memory.forgotten.any == micros("12:00")
