"""Every kind of discrepancy (contract section 5): opens once, after its grace, never for a transient; closes itself."""

from dataclasses import dataclass, field

import pytest

from streams.core.issue import IssueKey
from streams.core.requests import item_facts, set_item
from streams.core.severity import count_severity, within
from tests.builders.events import (
    AMS,
    BER,
    CLOCK,
    cancelled,
    confirmed,
    counted,
    item,
    observed,
    policy,
    received,
    rejected,
    returned,
    shipped,
    sold,
    transfer_received,
    transfer_sent,
)
from tests.builders.partition import OnePartition
from topics.events import Event
from topics.policy import Tolerance

SHELF = f"{AMS}/sellable"


@dataclass
class Case:
    """What goes before, what makes sources disagree, what mends it (None: a person only)."""

    kind: str
    place: str
    severity: str
    numbers: tuple[int, int]
    grace_seconds: int
    cause: list[Event]
    cure: Event | None
    before: list[Event] = field(default_factory=list)


STOCKED = received(CLOCK, 10, at="09:00")
CASES = [
    Case(
        "count_variance", SHELF, "high", (10, 7), 30, [counted(CLOCK, 7, at="10:00")], counted(CLOCK, 7, at="10:10"),
        [STOCKED],
    ),
    Case("negative_on_hand", SHELF, "high", (0, -2), 30, [shipped(CLOCK, 2)], received(CLOCK, 2, at="10:10"),
         [sold(CLOCK, 2), received(CLOCK, 2, location=BER)]),
    Case("oversold", "", "high", (0, -3), 30, [sold(CLOCK, 13)], received(CLOCK, 3, at="10:10"), [STOCKED]),
    Case("shipped_exceeds_sold", "", "medium", (1, 3), 300, [sold(CLOCK, 1), shipped(CLOCK, 3)],
         sold(CLOCK, 2, at="10:10"), [STOCKED]),
    Case("returned_exceeds_sold", "", "medium", (0, 1), 300, [returned(CLOCK, 1)], shipped(CLOCK, 1, at="10:10"),
         [STOCKED, sold(CLOCK, 1)]),
    Case("refund_without_goods", AMS, "medium", (2, 0), 0, [returned(CLOCK, 2, "missing")], None),
    Case("transfer_short", "T-1", "medium", (5, 4), 300,
         [transfer_sent(CLOCK, 5, "T-1"), transfer_received(CLOCK, 4, "T-1")],
         transfer_received(CLOCK, 1, "T-1", at="10:10"), [STOCKED]),
    Case("channel_drift", "shopify", "high", (10, 12), 300, [observed(CLOCK, 12)], observed(CLOCK, 10, at="10:10"),
         [STOCKED, confirmed(CLOCK, 1, 10, at="09:00")]),
    Case("channel_rejected", "shopify", "high", (10, 0), 0, [rejected(CLOCK, 1, 10)],
         confirmed(CLOCK, 2, 10, at="10:10"), [STOCKED]),
    Case("sequence_gap", "wms", "high", (2, 3), 300, [received(CLOCK, 1, sequence=1), received(CLOCK, 1, sequence=3)],
         received(CLOCK, 1, sequence=2, at="10:10")),
    Case("sequence_regression", "wms", "high", (3, 1), 0, [received(CLOCK, 1, sequence=1)], None,
         [received(CLOCK, 1, sequence=1), received(CLOCK, 1, sequence=2)]),
    Case("id_conflict", "wms", "high", (5, 6), 0, [received(CLOCK, 6, event_id="PO-1")], None,
         [received(CLOCK, 5, event_id="PO-1")]),
]  # fmt: skip
GRACED = [case for case in CASES if case.grace_seconds]
AT_ONCE = [case for case in CASES if not case.grace_seconds]


def name(case: Case) -> str:
    return case.kind


def disagreeing(case: Case) -> OnePartition:
    partition = OnePartition()
    for event in (*case.before, *case.cause):
        partition.feed(event, "10:00")
    return partition


@pytest.mark.parametrize("case", CASES, ids=name)
def test_it_opens_once_with_the_numbers_of_the_table(case):
    partition = disagreeing(case)
    partition.ticks("10:00:05", "10:05:04", "10:05:05", "10:05:10")
    (issue,) = [issue for issue in partition.open(CLOCK) if issue.key.kind == case.kind]
    assert issue.key == IssueKey(case.kind, case.place)
    assert (issue.severity, issue.expected, issue.observed) == (case.severity, *case.numbers)
    assert partition.states(case.kind) == ["opened"]
    assert issue.evidence[0] in {event.event_id for event in case.cause}
    assert issue.sources


@pytest.mark.parametrize("case", GRACED, ids=name)
def test_a_grace_runs_by_ticks_from_the_first_tick_after_it_arose(case):
    partition = disagreeing(case)
    partition.tick("10:00:05")
    last = 5 + case.grace_seconds - 1
    partition.tick(f"10:{last // 60:02}:{last % 60:02}")
    assert partition.states(case.kind) == []
    last += 1
    partition.tick(f"10:{last // 60:02}:{last % 60:02}")
    assert partition.states(case.kind) == ["opened"]


@pytest.mark.parametrize("case", GRACED, ids=name)
def test_a_pause_of_the_clock_cuts_no_grace_short(case):
    """The worker slept for an hour: what arose in between is judged by the ticks after it only."""
    partition = OnePartition()
    partition.tick("09:00")
    for event in (*case.before, *case.cause):
        partition.feed(event, "09:00")
    partition.tick("10:00")
    assert partition.states(case.kind) == []


@pytest.mark.parametrize("case", GRACED, ids=name)
def test_a_transient_never_opens(case):
    partition = disagreeing(case)
    partition.tick("10:00:05")
    partition.feed(case.cure)
    partition.ticks("10:10:05", "11:00", "12:00")
    assert partition.states(case.kind) == []
    assert IssueKey(case.kind, case.place) not in partition.row(CLOCK).issues


@pytest.mark.parametrize("case", GRACED, ids=name)
def test_one_that_went_and_came_back_starts_a_new_grace(case):
    """Cured and caused again between two ticks, the old deadline must not open it."""
    partition = disagreeing(case)
    partition.tick("10:00:05")
    key = IssueKey(case.kind, case.place)
    issue = partition.row(CLOCK).issues[key]
    desk, row = partition.books.desk, partition.row(CLOCK)
    desk.cure(row, key, "gone", 0)
    row.issues[key] = type(issue)(key, "again", "pending", True, "high", 0, 1, 0)
    desk.adopt(row)
    last = 5 + case.grace_seconds
    partition.tick(f"10:{last // 60:02}:{last % 60:02}")
    assert partition.states(case.kind) == []
    partition.tick("11:00")
    assert partition.states(case.kind) == ["opened"]


@pytest.mark.parametrize("case", [case for case in CASES if case.cure is not None], ids=name)
def test_the_data_itself_closes_it(case):
    partition = disagreeing(case)
    partition.ticks("10:00:05", "10:05:05")
    partition.feed(case.cure)
    partition.ticks("10:10:05", "10:30")
    assert partition.states(case.kind) == ["opened", "resolved"]
    told = next(told for told in partition.told if told.issue.state == "resolved" and told.issue.key.kind == case.kind)
    assert told.issue.resolution is not None
    assert told.issue.resolution.auto
    assert told.issue.resolution.by is None
    assert case.kind not in partition.kinds(CLOCK)


@pytest.mark.parametrize("case", [case for case in CASES if case.cure is None], ids=name)
def test_only_a_person_closes_it(case):
    partition = disagreeing(case)
    partition.feed_all(received(CLOCK, 100, at="10:10"), sold(CLOCK, 1, at="10:10"), counted(CLOCK, 50, at="10:11"))
    partition.ticks("10:20", "11:00")
    assert case.kind in partition.kinds(CLOCK)


@pytest.mark.parametrize("case", AT_ONCE, ids=name)
def test_repetition_raises_seen_and_is_told_at_most_once_a_minute(case):
    partition = disagreeing(case)
    for second in range(1, 60, 2):
        partition.feed(case.cause[-1].model_copy(update=_other(case, second)), f"10:00:{second:02}")
        partition.tick(f"10:00:{second:02}")
    assert partition.states(case.kind) == ["opened"]
    partition.tick("10:01:00")
    assert partition.states(case.kind) == ["opened", "opened"]
    (issue,) = [issue for issue in partition.open(CLOCK) if issue.key.kind == case.kind]
    assert issue.seen == 31
    assert len(issue.evidence) == (1 if case.kind == "id_conflict" else 20)
    assert issue.evidence[0] == case.cause[-1].event_id
    partition.ticks("10:02", "10:03")
    assert partition.states(case.kind) == ["opened", "opened"]


def _other(case, n):
    """The same cause again, by another event; an id conflict is one by having the same id."""
    return {"quantity": 1000 + n} if case.kind == "id_conflict" else {"event_id": f"again-{n}"}


def test_a_repeated_conflict_keeps_its_one_event_id_as_evidence():
    partition = OnePartition()
    partition.feed(received(CLOCK, 5, event_id="PO-1"))
    for quantity in (6, 7, 6):
        partition.feed(received(CLOCK, quantity, event_id="PO-1"))
    (issue,) = partition.open(CLOCK)
    assert (issue.seen, issue.evidence, issue.expected, issue.observed) == (3, ["PO-1"], 5, 6)


def test_a_lasting_disagreement_that_does_not_change_is_no_repetition():
    partition = OnePartition()
    partition.feed(sold(CLOCK, 3))
    partition.ticks("10:00", "10:01")
    partition.feed_all(adjusted_elsewhere := received(CLOCK, 4, at="10:02", condition="damaged"))
    (issue,) = partition.open(CLOCK)
    assert adjusted_elsewhere.event_id not in issue.evidence
    assert issue.seen == 1
    partition.feed(sold(CLOCK, 1, at="10:03"))
    assert (issue.seen, issue.observed) == (2, -4)


def test_the_same_log_gives_the_same_ids_and_another_cause_another():
    def ids(first_id):
        partition = OnePartition()
        partition.feed(sold(CLOCK, 3, event_id=first_id))
        partition.ticks("10:00", "10:01")
        return [told.issue.id for told in partition.told]

    assert ids("order-1") == ids("order-1")
    assert ids("order-1") != ids("order-2")


def test_a_disagreement_after_a_closed_one_is_a_new_discrepancy():
    partition = OnePartition()
    partition.feed(sold(CLOCK, 3))
    partition.ticks("10:00", "10:01")
    partition.feed_all(received(CLOCK, 3, at="10:02"), sold(CLOCK, 1, at="10:03"))
    partition.ticks("10:04", "10:05")
    assert partition.states("oversold") == ["opened", "resolved", "opened"]
    assert len({told.issue.id for told in partition.told}) == 2


def test_places_are_apart():
    """One open discrepancy per kind, SKU and place."""
    partition = OnePartition()
    partition.feed_all(
        sold(CLOCK, 9), shipped(CLOCK, 2), shipped(CLOCK, 3, location=BER), received(CLOCK, 5, location="PAR-1")
    )
    partition.ticks("10:00", "10:01")
    places = {issue.key.place for issue in partition.open(CLOCK) if issue.key.kind == "negative_on_hand"}
    assert places == {SHELF, f"{BER}/sellable"}


def test_a_sale_read_before_its_receipt_does_not_cry_wolf():
    partition = OnePartition()
    partition.feed_all(sold(CLOCK, 2), shipped(CLOCK, 2))
    partition.ticks("10:00", "10:00:25")
    partition.feed(received(CLOCK, 2, at="09:00"), "10:00:26")
    partition.ticks("10:00:30", "10:01", "10:10")
    assert partition.told == []


def test_a_late_movement_explains_a_variance():
    partition = OnePartition()
    partition.feed_all(received(CLOCK, 10, at="09:00"), sold(CLOCK, 3, at="09:00"), counted(CLOCK, 7, at="10:00"))
    partition.ticks("10:00", "10:01")
    assert partition.kinds(CLOCK) == ["count_variance"]
    partition.feed(shipped(CLOCK, 3, at="09:30"), "10:05")
    assert partition.states("count_variance") == ["opened", "resolved"]


def test_a_receipt_read_before_its_sending_is_no_short_transfer():
    partition = OnePartition()
    partition.feed_all(received(CLOCK, 5), transfer_received(CLOCK, 5, "T-1"))
    partition.ticks("10:00", "10:10")
    partition.feed(transfer_sent(CLOCK, 5, "T-1"))
    partition.ticks("10:20", "10:30")
    assert partition.states("transfer_short") == []


def test_a_cancelled_sale_can_make_shipments_exceed_sales():
    partition = OnePartition()
    partition.feed_all(received(CLOCK, 5), sold(CLOCK, 2), shipped(CLOCK, 2), cancelled(CLOCK, 1))
    partition.ticks("10:00", "10:05")
    assert partition.kinds(CLOCK) == ["shipped_exceeds_sold"]


def test_late_count_is_closed_by_the_next_count():
    partition = OnePartition(limit=1)
    partition.feed_all(received(CLOCK, 5, at="10:00"), received(CLOCK, 5, at="10:01"))
    partition.feed(counted(CLOCK, 8, at="09:00"), "10:02")
    assert partition.states("late_count") == ["opened"]
    partition.feed(counted(CLOCK, 10, at="10:03"))
    assert partition.states("late_count") == ["opened", "resolved"]


@pytest.mark.parametrize(
    ("units", "percent", "expected", "counted_", "fits"),
    [
        (0, 0, 10, 10, True),
        (0, 0, 10, 9, False),
        (1, 0, 10, 9, True),
        (1, 0, 10, 8, False),
        (0, 10, 100, 90, True),
        (0, 10, 100, 89, False),
        (5, 1, 10, 5, True),
        (1, 50, 10, 5, True),
        (0, 100, 0, 1, False),
        (0, 0.57, 10_000, 9_943, True),
        (0, 0.57, 10_000, 9_942, False),
        (0, 10, -10, -11, True),
    ],
)
def test_a_tolerance_is_units_or_percent(units, percent, expected, counted_, fits):
    assert within(Tolerance(units=units, percent=percent), expected, counted_) is fits


def test_the_tolerance_of_the_item_class_counts():
    partition = OnePartition(policy(count_tolerance={"units": 0, "A": {"units": 5}}))
    set_item(partition.row(CLOCK), item_facts(item(CLOCK, class_="A")))
    partition.feed_all(STOCKED, counted(CLOCK, 5, at="10:00"))
    partition.ticks("10:00", "10:01")
    assert partition.told == []


@pytest.mark.parametrize(
    ("expected", "counted_", "value", "severity"),
    [
        (100, 99, None, "low"),
        (100, 95, None, "medium"),
        (100, 80, None, "high"),
        (0, 1, None, "high"),
        (1000, 999, "12.50", "low"),
        (1000, 996, "12.50", "medium"),
        (1000, 960, "12.50", "high"),
        (5, 4, "0.10", "medium"),
    ],
)
def test_a_variance_is_as_bad_as_its_value_or_its_share(expected, counted_, value, severity):
    assert count_severity(expected, counted_, item_facts(item(CLOCK, value))) == severity


def test_the_open_count_follows_the_issues():
    partition = OnePartition()
    partition.feed(sold(CLOCK, 3))
    partition.ticks("10:00", "10:01")
    assert partition.books.desk.open_count == {("oversold", "high"): 1}
    partition.feed(received(CLOCK, 3, at="10:02"))
    assert partition.books.desk.open_count == {("oversold", "high"): 0}


def test_a_desk_that_adopts_a_row_goes_on_where_the_other_stopped():
    """A restart between the first tick and the deadline neither shortens nor prolongs the grace."""
    before = OnePartition()
    before.feed(sold(CLOCK, 3))
    before.tick("10:00")
    after = OnePartition(rows=before.rows)
    after.books.desk.adopt(after.row(CLOCK))
    after.tick("10:00:29")
    assert after.told == []
    after.tick("10:00:30")
    assert after.states("oversold") == ["opened"]
    again = OnePartition(rows=after.rows)
    again.books.desk.adopt(again.row(CLOCK))
    assert again.books.desk.open_count == {("oversold", "high"): 1}
    again.tick("12:00")
    assert again.told == []


def test_the_deadline_of_one_that_went_does_not_open_the_one_that_came_back():
    """Stamped at :05, gone and back at :10, stamped anew at :15: it opens at :45 and not at :35."""
    partition = OnePartition()
    partition.feed(sold(CLOCK, 3))
    partition.tick("10:00:05")
    partition.feed(received(CLOCK, 3, at="09:00"), "10:00:10")
    partition.feed(sold(CLOCK, 1), "10:00:10")
    partition.ticks("10:00:15", "10:00:35", "10:00:44")
    assert partition.states("oversold") == []
    partition.tick("10:00:45")
    assert partition.states("oversold") == ["opened"]
