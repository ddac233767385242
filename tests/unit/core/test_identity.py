"""Resends, conflicts and sequences: what changes nothing, and what is refused (contract 3.3, field `sequence`)."""

import pytest

from streams.core.sequences import look, note
from streams.core.step import APPLIED, DUPLICATE, Refused, fingerprint
from streams.core.stock import MAX_HOLES, Sequence
from tests.builders.events import AMS, BER, CLOCK, adjusted, counted, observed, received, reclassified, sold
from tests.builders.partition import OnePartition
from topics import events

ORIGINAL = received(CLOCK, 5, event_id="PO-1", reference="R", sequence=1)


def reason(verdict):
    return verdict.reason if isinstance(verdict, Refused) else verdict


def test_a_resend_changes_nothing():
    partition = OnePartition()
    partition.feed(ORIGINAL)
    assert partition.feed(ORIGINAL, "10:30") == DUPLICATE
    row = partition.row(CLOCK)
    assert (partition.sellable(CLOCK), row.version, row.movements, row.sources["wms"].applied) == (5, 1, 1, 1)
    assert partition.told == []


def test_the_same_id_of_another_source_is_another_movement():
    partition = OnePartition()
    assert partition.feed_all(ORIGINAL, received(CLOCK, 5, event_id="PO-1", source="wms-2")) == [APPLIED, APPLIED]
    assert partition.sellable(CLOCK) == 10


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": 6},
        {"location": BER},
        {"condition": "damaged"},
        {"reference": "S"},
        {"reference": None},
        {"sequence": 2},
        {"at": "10:01"},
    ],
    ids=str,
)
def test_the_same_id_with_any_other_known_field_is_a_conflict(change):
    partition = OnePartition()
    partition.feed(ORIGINAL)
    told = received(**{"sku": CLOCK, "quantity": 5, "event_id": "PO-1", "reference": "R", "sequence": 1} | change)
    assert reason(partition.feed(told, "10:30")) == "id_conflict"
    assert partition.numbers(CLOCK).locations == {AMS: 5}
    assert partition.row(CLOCK).version == 1


def test_adjustments_of_minus_one_and_minus_two_are_not_the_same():
    """Python hashes -1 and -2 alike."""
    partition = OnePartition()
    partition.feed_all(received(CLOCK, 5), adjusted(CLOCK, -1, event_id="W-1"))
    assert reason(partition.feed(adjusted(CLOCK, -2, event_id="W-1"))) == "id_conflict"
    assert partition.feed(adjusted(CLOCK, -1, event_id="W-1")) == DUPLICATE


def test_unknown_fields_and_another_spelling_of_the_time_are_no_conflict():
    fields = ORIGINAL.model_dump()
    told = events.Received.model_validate(
        dict(reversed(fields.items())) | {"colour": "red", "occurred_at": "2026-11-23T11:00:00+01:00"}
    )
    assert fingerprint(told) == fingerprint(ORIGINAL)


def test_a_conflict_about_another_sku_is_told_of_the_second():
    partition = OnePartition()
    partition.feed(ORIGINAL)
    assert reason(partition.feed(received("RETRO-LAMP", 5, event_id="PO-1"))) == "id_conflict"
    assert partition.kinds("RETRO-LAMP") == ["id_conflict"]
    assert partition.row("RETRO-LAMP").movements == 0


def test_a_refused_record_never_speaks_for_its_id_nor_for_its_number():
    """The original is forgotten; the conflict that came after it must not make its resend a conflict."""
    partition = OnePartition(limit=3)
    partition.feed_all(ORIGINAL, received(CLOCK, 1, sequence=2))
    assert reason(partition.feed(received(CLOCK, 6, event_id="PO-1", sequence=1))) == "id_conflict"
    partition.feed(received(CLOCK, 1, sequence=3))
    assert partition.feed(ORIGINAL) == DUPLICATE
    assert partition.sellable(CLOCK) == 7


def test_a_resend_older_than_the_memory_is_known_by_its_number():
    partition = OnePartition(limit=2)
    partition.feed_all(ORIGINAL, *(received(CLOCK, 1, sequence=n, at=f"10:0{n}") for n in range(2, 6)))
    assert partition.feed(ORIGINAL, "11:00") == DUPLICATE
    assert partition.sellable(CLOCK) == 9


def test_without_a_number_the_memory_is_all_there_is():
    partition = OnePartition(limit=2)
    first = received(CLOCK, 5)
    partition.feed_all(first, received(CLOCK, 1), first)
    assert partition.sellable(CLOCK) == 6
    partition.feed_all(received(CLOCK, 1), received(CLOCK, 1))
    assert partition.feed(first) == APPLIED


def test_a_report_that_names_a_channel_nobody_knows_is_refused_each_time():
    partition = OnePartition()
    for _ in range(2):
        assert reason(partition.feed(observed(CLOCK, 1, channel="myspace", event_id="O-1", sequence=4))) == "field"
    assert partition.row(CLOCK).issues == {}
    assert partition.row(CLOCK).sources == {}


def test_a_source_that_goes_back_with_new_ids_is_refused():
    partition = OnePartition()
    partition.feed_all(*(received(CLOCK, 1, sequence=n) for n in (1, 2, 3)))
    assert reason(partition.feed(received(CLOCK, 100, sequence=1, at="11:00"))) == "sequence"
    assert partition.sellable(CLOCK) == 3
    assert partition.row(CLOCK).version == 3
    assert partition.kinds(CLOCK) == ["sequence_regression"]


def test_a_reinstalled_source_is_refused_also_when_the_memory_forgot_its_numbers():
    """What it sends now is newer than all that was forgotten, so it is no resend."""
    partition = OnePartition(limit=1)
    partition.feed_all(*(received(CLOCK, 1, sequence=n, at=f"10:0{n}") for n in (1, 2, 3, 4)))
    assert reason(partition.feed(received(CLOCK, 1, sequence=1, at="11:00"))) == "sequence"


def test_sequences_are_per_source_and_sku():
    partition = OnePartition()
    verdicts = partition.feed_all(
        received(CLOCK, 1, sequence=7),
        received("RETRO-LAMP", 1, sequence=1),
        sold(CLOCK, 1, sequence=1),
        sold(CLOCK, 1, sequence=2),
    )
    assert verdicts == [APPLIED] * 4


@pytest.mark.parametrize(("number", "verdict"), [(36, APPLIED), (35, "sequence")])
def test_a_number_within_64_of_the_first_lowers_the_baseline(number, verdict):
    partition = OnePartition()
    partition.feed(received(CLOCK, 1, sequence=100))
    assert reason(partition.feed(received(CLOCK, 1, sequence=number))) == verdict


def test_a_lowered_baseline_leaves_a_hole_that_fills_in_any_order():
    partition = OnePartition()
    partition.feed_all(*(received(CLOCK, 1, sequence=n) for n in (10, 6, 8)))
    sequence = partition.row(CLOCK).sources["wms"].sequence
    assert sequence == Sequence(6, 10, [(7, 7), (9, 9)])
    partition.feed_all(*(received(CLOCK, 1, sequence=n) for n in (9, 7)))
    assert sequence == Sequence(6, 10, [])
    assert partition.row(CLOCK).issues == {}


def test_counts_and_reports_have_numbers_too():
    partition = OnePartition()
    partition.feed_all(counted(CLOCK, 5, sequence=1), observed(CLOCK, 5, sequence=1))
    assert partition.row(CLOCK).sources["wms"].sequence == Sequence(1, 1)
    assert partition.row(CLOCK).sources["sink-shopify"].sequence == Sequence(1, 1)


@pytest.mark.parametrize(
    ("number", "found"),
    [(21, "next"), (25, "next"), (20, "seen"), (10, "seen"), (13, "next"), (14, "seen"), (9, "next"), (-54, "next"),
     (-55, "behind")],
)  # fmt: skip
def test_look(number, found):
    assert look(Sequence(10, 20, [(12, 13)]), number) == found


def test_holes_are_bounded():
    state = None
    for number in range(0, 4 * MAX_HOLES, 2):
        state = note(state, number)
    assert state is not None
    assert len(state.holes) == MAX_HOLES
    assert look(state, state.holes[0][0]) == "next"
    assert look(state, state.high) == "seen"


def test_a_movement_that_may_come_on_two_topics_is_one():
    partition = OnePartition()
    moved = reclassified(CLOCK, 1, "quality_control", "sellable")
    partition.feed(moved)
    assert partition.feed(moved, topic="returns.movements.v1") == DUPLICATE


def test_an_old_stamp_does_not_make_a_resend_of_a_number_that_is_remembered():
    """The memory holds number 4 under another id: this is no resend, however old it claims to be."""
    partition = OnePartition(limit=2)
    partition.feed_all(*(received(CLOCK, 1, sequence=n, at=f"10:0{n}") for n in (1, 2, 3, 4)))
    assert reason(partition.feed(received(CLOCK, 9, sequence=4, at="09:00"), "11:00")) == "sequence"
