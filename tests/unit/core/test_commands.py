"""What people ask for: acknowledge, resolve, reopen, resync."""

import pytest

from streams.core.step import APPLIED, DUPLICATE, Refused
from tests.builders.events import (
    AMS,
    BER,
    CLOCK,
    acknowledge,
    confirmed,
    counted,
    observed,
    received,
    reopen,
    resolve,
    resync,
    returned,
    sold,
)
from tests.builders.partition import OnePartition


def oversold():
    """A partition in which RETRO-CLOCK is oversold by three, and the id of that discrepancy."""
    partition = OnePartition()
    partition.feed(sold(CLOCK, 3))
    partition.ticks("10:00", "10:01")
    (issue,) = partition.open(CLOCK)
    return partition, issue.id


def test_the_life_of_a_discrepancy():
    partition, name = oversold()
    steps = (
        acknowledge(CLOCK, name, "10:02", note="on it"),
        resolve(CLOCK, name, "10:03", by="bea", note="bought three"),
        reopen(CLOCK, name, "10:04", note="they never came"),
        resolve(CLOCK, name, "10:05"),
    )
    assert partition.feed_all(*steps) == [APPLIED] * 4
    assert partition.states("oversold") == ["opened", "acknowledged", "resolved", "reopened", "resolved"]
    resolution = partition.told[2].issue.resolution
    assert resolution is not None
    assert (resolution.by, resolution.note, resolution.auto) == ("bea", "bought three", None)
    assert partition.told[3].issue.resolution is None
    assert partition.told[3].issue.note == "they never came"
    assert {told.issue.id for told in partition.told} == {name}


def test_commands_leave_the_stock_and_its_version_alone():
    partition, name = oversold()
    partition.feed_all(acknowledge(CLOCK, name), resolve(CLOCK, name))
    assert partition.row(CLOCK).version == 1


def test_a_command_that_came_too_late_is_idle():
    partition, name = oversold()
    partition.feed(received(CLOCK, 3, at="10:02"))
    late = [acknowledge(CLOCK, name, "10:03"), resolve(CLOCK, name, "10:03")]
    assert partition.feed_all(*late) == [APPLIED, APPLIED]
    assert partition.states("oversold") == ["opened", "resolved"]


def test_the_same_command_twice_counts_once_and_another_with_its_id_is_refused():
    partition, name = oversold()
    first = acknowledge(CLOCK, name, event_id="C-1")
    assert partition.feed_all(first, first) == [APPLIED, DUPLICATE]
    verdict = partition.feed(resolve(CLOCK, name, event_id="C-1"))
    assert isinstance(verdict, Refused)
    assert verdict.reason == "id_conflict"
    assert partition.states("oversold") == ["opened", "acknowledged"]


@pytest.mark.parametrize(
    "asked",
    [
        acknowledge(CLOCK, "no-such-id"),
        resync(CLOCK, "myspace"),
        resync("GHOST-CLOCK"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_and_may_be_put_back(asked):
    """A refused command is not remembered: the dead letter, put back when its cause is mended, is read as new."""
    partition, _ = oversold()
    for _ in range(2):
        verdict = partition.feed(asked)
        assert isinstance(verdict, Refused)
        assert verdict.reason == "field"


def test_a_pending_disagreement_cannot_be_resolved():
    partition = OnePartition()
    partition.feed(sold(CLOCK, 3))
    (issue,) = partition.row(CLOCK).issues.values()
    assert isinstance(partition.feed(resolve(CLOCK, issue.id)), Refused)


@pytest.mark.parametrize("channel", ["all", "shopify"])
def test_resync_raises_the_version(channel):
    partition = OnePartition()
    partition.feed(received(CLOCK, 3))
    assert partition.feed(resync(CLOCK, channel)) == APPLIED
    assert partition.row(CLOCK).version == 2


def test_what_a_person_settled_stays_settled_while_it_does_not_get_worse():
    partition, name = oversold()
    partition.feed(resolve(CLOCK, name))
    partition.feed_all(received(CLOCK, 1, at="10:05"), sold(CLOCK, 1, at="10:06"))
    partition.ticks("10:07", "10:20")
    assert partition.states("oversold") == ["opened", "resolved"]


def test_what_gets_worse_than_what_was_settled_is_a_new_discrepancy():
    partition, name = oversold()
    partition.feed(resolve(CLOCK, name))
    partition.feed(sold(CLOCK, 1, at="10:05"))
    partition.ticks("10:05", "10:06")
    assert partition.states("oversold") == ["opened", "resolved", "opened"]
    (issue,) = partition.open(CLOCK)
    assert issue.id != name
    assert isinstance(partition.feed(reopen(CLOCK, name)), Refused)


def test_a_settled_disagreement_that_ends_is_not_told_again():
    partition, name = oversold()
    partition.feed(resolve(CLOCK, name))
    partition.feed(received(CLOCK, 3, at="10:05"))
    assert partition.states("oversold") == ["opened", "resolved"]


def test_a_reopened_one_is_closed_by_the_data_when_it_still_stands():
    partition, name = oversold()
    partition.feed_all(resolve(CLOCK, name), reopen(CLOCK, name), received(CLOCK, 3, at="10:05"))
    assert partition.states("oversold") == ["opened", "resolved", "reopened", "resolved"]
    assert partition.told[-1].issue.resolution.auto


def test_the_next_count_that_differs_is_a_new_cause_however_small():
    """A count is a statement of its own: the balance stands on the one before."""
    partition = OnePartition()
    partition.feed_all(received(CLOCK, 10, at="09:00"), counted(CLOCK, 5, at="10:00"))
    partition.ticks("10:00", "10:01")
    (issue,) = partition.open(CLOCK)
    partition.feed(resolve(CLOCK, issue.id, at="10:02"))
    partition.feed(counted(CLOCK, 4, at="10:03"))
    partition.ticks("10:04", "10:05")
    (second,) = partition.open(CLOCK)
    assert (second.id != issue.id, second.expected, second.observed) == (True, 5, 4)


def test_the_next_look_that_differs_is_a_new_cause():
    partition = OnePartition()
    partition.feed_all(received(CLOCK, 10, at="09:00"), confirmed(CLOCK, 1, 10, at="09:01"), observed(CLOCK, 12))
    partition.ticks("10:00", "10:05")
    (issue,) = partition.open(CLOCK)
    partition.feed(resolve(CLOCK, issue.id))
    partition.feed(observed(CLOCK, 12, at="10:10"))
    partition.ticks("10:11", "10:16")
    assert [told.issue.state for told in partition.told] == ["opened", "resolved", "opened"]


def test_what_merely_happened_again_after_it_was_settled_is_a_new_discrepancy():
    partition = OnePartition()
    partition.feed(returned(CLOCK, 2, "missing"))
    (issue,) = partition.open(CLOCK)
    partition.feed_all(resolve(CLOCK, issue.id), returned(CLOCK, 1, "missing"))
    assert partition.states("refund_without_goods") == ["opened", "resolved", "opened"]


def test_only_the_newest_few_resolved_are_kept():
    partition = OnePartition()
    for minute, location in enumerate((AMS, BER, "PAR-1", "ROM-1", "OSL-1", "VIE-1")):
        partition.feed(returned(CLOCK, 1, "missing", location=location, at=f"10:0{minute}"))
        (issue,) = partition.open(CLOCK)
        partition.feed(resolve(CLOCK, issue.id, at=f"10:0{minute}"))
    places = [key.place for key in partition.row(CLOCK).issues]
    assert places == ["PAR-1", "ROM-1", "OSL-1", "VIE-1"]


def test_a_resend_of_the_refused_record_that_was_settled_is_no_new_cause():
    """It goes to the dead letters again, but nobody is asked again."""
    partition = OnePartition()
    partition.feed_all(received(CLOCK, 5, event_id="PO-1"), received(CLOCK, 6, event_id="PO-1"))
    (issue,) = partition.open(CLOCK)
    partition.feed(resolve(CLOCK, issue.id))
    assert isinstance(partition.feed(received(CLOCK, 6, event_id="PO-1")), Refused)
    assert partition.states("id_conflict") == ["opened", "resolved"]
    partition.feed_all(received(CLOCK, 5, event_id="PO-2"), received(CLOCK, 6, event_id="PO-2"))
    assert partition.states("id_conflict") == ["opened", "resolved", "opened"]
