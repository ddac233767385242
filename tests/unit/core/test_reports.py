"""What channels say, against what was confirmed or in flight at that time (`channel_drift`, `channel_rejected`)."""

import pytest

from streams.core.reports import sent
from streams.core.stock import MAX_SENT, ChannelState
from tests.builders.events import CLOCK, confirmed, observed, received, rejected, sold
from tests.builders.partition import OnePartition


def stocked(quantity=10):
    """Ten clocks: version 1 is published to the channel and confirmed at 09:30."""
    partition = OnePartition()
    partition.feed(received(CLOCK, quantity, at="09:00"))
    partition.publish(CLOCK, quantity)
    partition.feed(confirmed(CLOCK, 1, quantity, at="09:30"))
    return partition


def sell(partition, at, left):
    """One more clock is sold, and the channel is told so."""
    partition.feed(sold(CLOCK, 1, at=at))
    return partition.publish(CLOCK, left)


def drifts(partition):
    return [issue for issue in partition.row(CLOCK).issues.values() if issue.key.kind == "channel_drift"]


@pytest.mark.parametrize(("quantity", "drift"), [(10, False), (9, False), (8, False), (7, True), (11, True)])
def test_what_is_confirmed_or_in_flight_is_no_drift(quantity, drift):
    partition = stocked()
    sell(partition, "10:00", 9)
    sell(partition, "10:01", 8)
    partition.feed(observed(CLOCK, quantity, at="10:02"))
    assert bool(drifts(partition)) is drift


@pytest.mark.parametrize(
    ("at", "quantity", "drift"),
    [("09:59", 10, False), ("10:04", 9, False), ("10:06", 9, True), ("10:06", 10, True), ("10:06", 8, False)],
)
def test_a_look_is_judged_by_its_own_time(at, quantity, drift):
    """Version 3 (8) was confirmed at 10:05 and passed over version 2 (9), which may have been there before."""
    partition = stocked()
    sell(partition, "10:00", 9)
    sell(partition, "10:01", 8)
    partition.feed(confirmed(CLOCK, 3, 8, at="10:05"))
    partition.feed(observed(CLOCK, quantity, at=at), "10:07")
    assert bool(drifts(partition)) is drift


def test_confirmations_may_come_in_any_order():
    partition = stocked()
    sell(partition, "10:00", 9)
    sell(partition, "10:01", 8)
    partition.feed_all(confirmed(CLOCK, 3, 8, at="10:05"), confirmed(CLOCK, 2, 9, at="10:04"))
    partition.feed(observed(CLOCK, 8, at="10:06"))
    assert drifts(partition) == []
    assert [version for version, _, _ in partition.row(CLOCK).channel("shopify").confirmed] == [1, 2, 3]


@pytest.mark.parametrize(("quantity", "severity"), [(11, "high"), (9, "medium")])
def test_drift_is_bad_when_the_channel_shows_more_than_we_have(quantity, severity):
    partition = stocked()
    partition.feed(observed(CLOCK, quantity, at="10:00"))
    (issue,) = drifts(partition)
    assert (issue.severity, issue.expected, issue.observed) == (severity, 10, quantity)


def test_before_anything_was_told_the_channel_should_show_what_is_wanted():
    partition = OnePartition()
    partition.feed_all(received(CLOCK, 10), observed(CLOCK, 10, at="10:01"))
    assert drifts(partition) == []
    partition.feed(observed(CLOCK, 4, at="10:02"))
    assert drifts(partition)


def test_an_older_look_than_the_last_changes_nothing():
    partition = stocked()
    partition.feed_all(observed(CLOCK, 10, at="10:05"), observed(CLOCK, 77, at="10:01"))
    assert drifts(partition) == []


def test_a_burst_that_cannot_be_remembered_is_not_judged_and_closes_nothing():
    partition = stocked(100)
    partition.feed(observed(CLOCK, 101, at="10:00"))
    partition.ticks("10:00", "10:05")
    assert partition.kinds(CLOCK) == ["channel_drift"]
    for n in range(MAX_SENT + 1):
        sell(partition, "10:06", 99 - n)
    partition.feed(observed(CLOCK, 99, at="10:07"))
    assert partition.row(CLOCK).channel("shopify").overflow
    assert partition.states("channel_drift") == ["opened"]
    partition.feed(confirmed(CLOCK, MAX_SENT + 2, 91, at="10:08"))
    assert not partition.row(CLOCK).channel("shopify").overflow
    partition.feed(observed(CLOCK, 91, at="10:09"))
    assert partition.states("channel_drift") == ["opened", "resolved"]


def test_the_same_quantity_again_is_not_remembered_twice():
    state = ChannelState()
    for version, quantity in ((1, 5), (2, 5), (3, 6), (4, 5)):
        sent(state, version, quantity)
    assert state.sent == [(1, 5), (3, 6), (4, 5)]


def test_only_a_later_version_ends_a_rejection():
    partition = stocked()
    version = sell(partition, "10:00", 9)
    partition.feed(rejected(CLOCK, version, 9, at="10:01"))
    partition.feed(confirmed(CLOCK, 1, 10, at="10:02", event_id="again"))
    assert partition.states("channel_rejected") == ["opened"]
    partition.feed(confirmed(CLOCK, version + 1, 9, at="10:03"))
    assert partition.states("channel_rejected") == ["opened", "resolved"]


def test_a_rejection_that_is_read_after_a_later_confirmation_is_settled_already():
    partition = stocked()
    partition.feed_all(confirmed(CLOCK, 3, 8, at="10:03"), rejected(CLOCK, 2, 9, at="10:01"))
    assert partition.told == []


def test_reports_move_no_stock_and_no_version():
    partition = stocked()
    partition.feed_all(rejected(CLOCK, 1, 10), observed(CLOCK, 3))
    row = partition.row(CLOCK)
    assert (row.version, row.movements, partition.sellable(CLOCK)) == (1, 1, 10)
