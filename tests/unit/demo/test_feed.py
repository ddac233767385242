"""The sources' pace, and one source that sends as it is told."""

from collections import Counter
from typing import Any
from zlib import crc32

from deploy.local.demo import check
from deploy.local.demo.conductor import LONGEST_STEP_MS, MAX_BEHIND, MAX_BEHIND_ALONE, Conductor
from deploy.local.demo.figures import Worker, misrouted
from deploy.local.demo.producer import send_as_told
from deploy.local.demo.script import Record
from topics.catalogue import RETURNS, WAREHOUSE
from topics.murmur2 import partition_of


def records(*due: int) -> list[Record]:
    return [Record(at, WAREHOUSE.name, b"OAK-STOOL", b"%d" % at) for at in due]


class Kafka:
    def __init__(self) -> None:
        self.sent: list[int] = []

    def send(self, record: Record) -> None:
        self.sent.append(record.due)

    def poll(self, seconds: float = 0) -> None:
        pass


def test_a_source_sends_what_is_due_and_no_more() -> None:
    kafka: Any = Kafka()
    told = []

    def lines() -> Any:
        for line in ("0\n", "10\n", "25\n", "25\n"):
            yield line
            told.append(list(kafka.sent))

    assert send_as_told(kafka, records(5, 10, 20, 30), lines()) == 3
    assert told == [[], [5, 10], [5, 10, 20], [5, 10, 20]]


def test_the_beat_goes_with_the_clock_in_small_steps() -> None:
    conductor = Conductor([records(0, 1000)])
    assert conductor.beat(100.0, 0) == 0
    assert conductor.beat(100.1, 0) == 100
    assert conductor.beat(160.0, 0) == 100 + LONGEST_STEP_MS
    assert not conductor.over
    for second in range(4):
        conductor.beat(161.0 + second, 2)
    assert conductor.over


def test_the_beat_holds_while_the_worker_is_too_far_behind() -> None:
    many = records(*range(MAX_BEHIND + 2), 10**6)
    conductor = Conductor([many[:3000], many[3000:]])
    seconds = 0.0
    while not conductor.holds:
        seconds += 0.25
        conductor.beat(seconds, 0)
    held = conductor.now_ms
    assert conductor.beat(seconds + 1, 0) == held
    assert conductor.beat(seconds + 2, 0, alone=True) > held, "sources do not wait for a worker that has died"
    assert conductor.beat(seconds + 3, MAX_BEHIND) > held
    assert MAX_BEHIND < MAX_BEHIND_ALONE


def test_misrouted_records_are_those_that_crc32_puts_elsewhere() -> None:
    keys = [f"SKU-{n}".encode() for n in range(200)]
    apart = [key for key in keys if crc32(key) % 4 != partition_of(key, 4)]
    assert misrouted([*keys, None], 4) == len(apart)
    assert 100 < len(apart) < 200
    assert misrouted(keys, 1) == 0


def test_every_record_has_one_end_and_each_end_its_number() -> None:
    outcomes = {WAREHOUSE.name: Counter(applied=5, duplicate=1), RETURNS.name: Counter(applied=2, rerouted=1)}
    worker = Worker(Counter({WAREHOUSE.name: 6, RETURNS.name: 4}), outcomes)
    assert check.balance(worker) == [f"{RETURNS.name}: 4 records were read, and 3 came to an end"]
    foreseen = {"applied": 7, "duplicate": 2, "dead_lettered": 0, "rerouted": 1}
    assert check.totals(worker, foreseen) == ["1 movements were duplicate, must be 2"]


def test_a_channel_that_took_something_twice_is_told() -> None:
    assert check.effects("outlet", {"duplicate_effects": 0, "repeats": 3}) == []
    assert check.effects("outlet", {"duplicate_effects": 2}) == ["outlet saw 2 duplicate effects"]
