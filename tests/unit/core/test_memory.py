"""The memory: what is remembered, exactly how long, and that only the set of remembered records speaks."""

import pytest

from streams.core import memory as module
from streams.core.memory import Forgotten, PartitionMemory, Remembered
from streams.core.stock import Place
from tests.builders.events import AMS

SHELF = Place(AMS, "sellable")
W, R = "warehouse", "returns"


def record(offset, event_id="E", units=1, stamp=None, sequence=None):
    """A receipt at `offset`; its stamp is its offset where none is said."""
    effects = ((SHELF, units),) if units else ()
    when = offset if stamp is None else stamp
    return Remembered(offset, ("wms", event_id), hash((event_id, units)), "SKU", units, sequence, when, effects)


def test_a_record_is_remembered_until_its_topic_was_read_limit_past_it():
    memory = PartitionMemory(3)
    memory.add(W, record(0, "A"))
    memory.advance(W, 3)
    assert memory.find(("wms", "A"))
    memory.advance(W, 4)
    assert memory.find(("wms", "A")) is None
    assert len(memory) == 0


@pytest.mark.parametrize("last", ["add", "void"])
def test_adding_and_voiding_forget_by_themselves(last):
    """So batches cannot matter: nobody has to say that a window ended."""
    memory = PartitionMemory(2)
    memory.add(W, record(0, "A"))
    memory.add(W, record(1, "B"))
    if last == "add":
        memory.add(W, record(2, "C"))
    else:
        memory.void(W, 2)
    assert memory.find(("wms", "A")) is None
    assert memory.find(("wms", "B"))
    assert memory.forgotten == Forgotten(0, 0)
    memory.advance(W, 9)
    assert memory.forgotten.any == (2 if last == "add" else 1)


def test_topics_are_forgotten_apart():
    memory = PartitionMemory(1)
    memory.add(R, record(0, "A"))
    for offset in range(50):
        memory.add(W, record(offset, f"W{offset}"))
    assert memory.find(("wms", "A"))
    assert len(memory) == 2


def test_a_slow_topic_does_not_make_a_busy_one_pile_up():
    memory = PartitionMemory(2)
    memory.add(R, record(0, "SLOW"))
    for offset in range(500):
        memory.add(W, record(offset, f"W{offset}"))
    assert len(memory._moves["SKU"]) == 3
    memory.advance(W, 600)
    memory.advance(R, 600)
    assert [memory._moves, memory._ids, memory._sequences, memory._repeats] == [{}, {}, {}, {}]


def test_movements_after_a_stamp():
    memory = PartitionMemory(10)
    for offset, units in enumerate((1, 2, 4, 8)):
        memory.add(W, record(offset, str(offset), units, stamp=10 * offset))
    assert [memory.moved_after("SKU", SHELF, stamp) for stamp in (-1, 0, 9, 10, 30)] == [15, 14, 14, 12, 0]
    assert memory.moved_after("SKU", Place(AMS, "damaged"), -1) == 0
    assert memory.moved_after("OTHER", SHELF, -1) == 0


@pytest.mark.parametrize("order", [(W, R), (R, W)])
def test_a_resend_counts_once_with_the_earlier_stamp_whichever_is_read_first(order):
    memory = PartitionMemory(10)
    stamps = {W: 100, R: 200}
    for topic in order:
        memory.add(topic, record(0, "A", 5, stamp=stamps[topic]))
    assert [memory.moved_after("SKU", SHELF, stamp) for stamp in (99, 100, 150, 200)] == [5, 0, 0, 0]


@pytest.mark.parametrize("order", [(W, R), (R, W)])
@pytest.mark.parametrize("gone", [W, R])
def test_forgetting_either_of_a_movement_and_its_resend_makes_older_counts_late(order, gone):
    memory = PartitionMemory(10)
    for topic in order:
        memory.add(topic, record(0, "A", 5, stamp=100, sequence=7))
    memory.advance(gone, 11)
    assert memory.forgotten == Forgotten(100, 100)
    assert memory.find(("wms", "A"))
    assert memory.knows_sequence("wms", "SKU", 7)
    assert memory.moved_after("SKU", SHELF, 50) == 5
    memory.advance(W if gone == R else R, 11)
    assert memory.find(("wms", "A")) is None
    assert not memory.knows_sequence("wms", "SKU", 7)
    assert memory.moved_after("SKU", SHELF, 50) == 0


def test_what_moves_nothing_does_not_make_counts_late():
    memory = PartitionMemory(1)
    memory.add(W, record(0, "A", 1, stamp=5))
    memory.add(W, record(1, "B", 0, stamp=9))
    memory.advance(W, 5)
    assert memory.forgotten == Forgotten(9, 5)


def test_retention_that_removed_records_forgets_them():
    memory = PartitionMemory(1)
    memory.lost(7)
    memory.lost(5)
    assert memory.forgotten == Forgotten(7, 7)


def test_voided_offsets_are_kept_as_long_as_the_memory_reaches():
    memory = PartitionMemory(3)
    for offset in range(4):
        memory.void(W, offset)
    assert memory.voided == {W: [1, 2, 3]}
    assert [memory.is_void(W, offset) for offset in range(5)] == [False, True, True, True, False]
    memory.advance(W, 9)
    assert memory.voided == {W: []}
    assert not memory.is_void(R, 1)


def test_a_flood_of_refused_records_shortens_the_memory_alike_in_the_one_that_is_read_back(monkeypatch):
    """`voided` has room for two: what lies before the older of them is forgotten by both."""
    monkeypatch.setattr(module, "MAX_VOIDED", 2)
    lived = PartitionMemory(10)
    records = {0: record(0, "A"), 2: record(2, "B"), 4: record(4, "C"), 6: record(6, "D")}
    for offset in range(7):
        if offset in records:
            lived.add(W, records[offset])
        else:
            lived.void(W, offset)
    read_back = PartitionMemory(10)
    read_back.restore(lived.forgotten, lived.voided)
    for offset in range(7):
        if not read_back.is_void(W, offset):
            read_back.add(W, records[offset])
    assert lived.forgotten == read_back.forgotten == Forgotten(2, 2)
    assert list(lived._ids) == list(read_back._ids) == [("wms", "C"), ("wms", "D")]


def test_the_resend_speaks_with_its_own_stamp_when_the_original_is_forgotten():
    """As in a memory that was read back, which never saw the original."""
    memory = PartitionMemory(10)
    memory.add(W, record(0, "A", 5, stamp=100))
    memory.add(R, record(0, "A", 5, stamp=200))
    memory.advance(W, 11)
    assert memory.moved_after("SKU", SHELF, 150) == 5
