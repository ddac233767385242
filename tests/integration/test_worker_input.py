"""Whatever comes in: misrouted, malformed, hostile or aborted records beside good ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from confluent_kafka import Message

from tests.builders.bad_input import BAD_INPUTS, BadInput
from tests.builders.events import received, shipped, sold
from tests.integration.worker import (
    Raw,
    Worker,
    at,
    header,
    headers_of,
    newest,
    on_hand,
    produce,
    produce_in_transaction,
    read,
    record,
    wait_applied,
    workers,
)
from topics.catalogue import CLOCK, DEAD_LETTERS, INPUTS, ITEMS, MOVEMENTS, REROUTED, WAREHOUSE
from topics.events import Event
from topics.murmur2 import partition_of

REPLACED = b"forged"


def outcomes(worker: Worker) -> dict[str, Counter[str]]:
    """Topic -> outcome -> records, and `consumed`; for topics of which something was read."""
    metrics = worker.metrics()
    found: dict[str, Counter[str]] = {topic.name: Counter() for topic in INPUTS}
    for (outcome, topic), count in metrics["stockstream_records_total"].items():
        found[topic][outcome] = int(count)
    for (topic,), count in metrics["stockstream_records_consumed_total"].items():
        found[topic]["consumed"] = int(count)
    return found


def balanced(found: dict[str, Counter[str]]) -> bool:
    """Records read = applied + duplicate + dead-lettered + rerouted, for each topic."""
    return all(2 * counts["consumed"] == counts.total() for counts in found.values())


def test_another_partitioner_ends_in_the_same_stock(kafka: str, tmp_path: Path) -> None:
    """librdkafka's default is CRC32: two thirds of its records are elsewhere, and are moved, never folded there."""
    skus = [f"SKU-{n}" for n in range(60)]
    right: list[Event] = [received(sku, 10 + n, at("10:00")) for n, sku in enumerate(skus)]
    wrong: list[Event] = [shipped(sku, 1 + n % 3, at("11:00")) for n, sku in enumerate(skus)]
    wrong += [sold(sku, 1, at("11:00")) for sku in skus]
    with workers(kafka, tmp_path) as worker:
        worker.start().ready()
        produce(kafka, right)
        produce(kafka, [record(event, [("trace", b"t"), ("stockstream.topic", b"forged")]) for event in wrong],
                partitioner="consistent_random")  # fmt: skip
        produce(kafka, wrong)  # and all of it again, from one that partitions as it should
        wait_applied(kafka, worker)
        assert on_hand(kafka) == {sku: 10 + n - (1 + n % 3) for n, sku in enumerate(skus)}
        moved = read(kafka, REROUTED)
        _check_moved(kafka, moved)
        found = outcomes(worker)
        assert balanced(found), found
        assert sum(counts["rerouted"] for counts in found.values()) == len(moved) > len(wrong) // 2
        total = sum((found[topic.name] for topic in INPUTS if topic is not CLOCK), Counter())
        assert total["duplicate"] == len(wrong)
        assert total["applied"] == len(right) + len(wrong)
        assert total["dead_lettered"] == 0
        assert worker.stop() == 0


def _check_moved(kafka: str, moved: list[Message]) -> None:
    sent = {(str(m.topic()), str(m.partition()), str(m.offset())): m for m in read(kafka, *MOVEMENTS)}
    for message in moved:
        key = message.key() or b""
        assert message.partition() == partition_of(key, 4)
        place = tuple(header(message, f"stockstream.{name}") for name in ("topic", "partition", "offset"))
        original = sent.pop(place)  # type: ignore[arg-type]
        assert int(place[1]) != message.partition()
        assert (original.key(), original.value()) == (key, message.value())
        assert header(message, "trace") == "t"


def test_the_bad_input_catalogue_between_good_records(kafka: str, tmp_path: Path) -> None:
    """All good ones applied; each bad one in its dead-letter topic once, untouched, with its reason and its place."""
    headers = [
        ("trace", b"00-1"),
        ("none", None),
        ("stockstream.reason", REPLACED),
        ("__connect.errors.topic", REPLACED),
        ("trace", b"00-2"),
    ]
    # the broker itself refuses a record without a key on a compacted topic, and only the worker writes the clock
    expected = [bad for bad in BAD_INPUTS if bad.topic is not CLOCK and not (bad.topic is ITEMS and bad.key is None)]
    records: list[Raw] = []
    goods = 0
    for n, bad in enumerate(expected):
        number = partition_of(bad.key, 4) if bad.key else n % 4
        records.append(Raw(bad.topic, bad.key, bad.value, headers, number))
        records.append(record(received(f"GOOD-{n % 20}", 1, at("10:00"))))
        goods += 1
    many = [(f"h{i}", b"x" * 90) for i in range(1000)]
    records.append(record(received("GOOD-0", 1, at("10:00")), many))
    records.append(Raw(WAREHOUSE, b"BAD-CLOCK", b"{", many))
    records.append(record(received("GOOD-0", 1, at("10:00")), [("none", None), ("", b""), ("traceparent", b"\xff")]))
    with workers(kafka, tmp_path) as worker:
        worker.start().ready()
        produce(kafka, records)
        wait_applied(kafka, worker)
        stock = on_hand(kafka)
        assert sum(stock.values()) == goods + 2
        assert "BAD-CLOCK" not in stock
        letters = read(kafka, *DEAD_LETTERS)
        _check_letters([*expected, BadInput("many headers", WAREHOUSE, b"BAD-CLOCK", b"{", "malformed")], letters)
        found = outcomes(worker)
        assert balanced(found), found
        assert sum(counts["dead_lettered"] for counts in found.values()) == len(expected) + 1
        assert sum(counts["applied"] for name, counts in found.items() if name != CLOCK.name) == goods + 2
        assert worker.get("/readyz").status == 200
        assert worker.stop() == 0


def _check_letters(expected: list[BadInput], letters: list[Message]) -> None:
    wanted: Counter[Any] = Counter()
    for bad in expected:
        value = bad.value[:1024] if bad.value is not None and bad.reason == "too_large" else bad.value
        wanted[bad.topic.dlq, bad.key, value, bad.reason] += 1
    found: Counter[Any] = Counter()
    places: Counter[Any] = Counter()
    for message in letters:
        name = str(message.topic())
        found[name, message.key(), message.value(), header(message, "stockstream.reason")] += 1
        names = ("topic", "partition", "offset")
        place = [header(message, f"__connect.errors.{part}") for part in names]
        assert (f"{place[0]}.dlq", place[1]) == (name, str(message.partition()))
        places[tuple(place)] += 1
        assert header(message, "__connect.errors.connector.name") == "stockstream-worker"
        assert header(message, "__connect.errors.stage") == "decode"
        assert header(message, "__connect.errors.exception.message")
        own = [(key, value) for key, value in headers_of(message) if "." not in key]
        if own[0][0] == "h0":
            assert header(message, "stockstream.headers_dropped") == "900"
            assert own == [(f"h{i}", b"x" * 90) for i in range(100)]
        else:
            assert own == [("trace", b"00-1"), ("none", None), ("trace", b"00-2")]
    assert found == wanted
    assert set(places.values()) == {1}


def test_transactions_of_producers(kafka: str, tmp_path: Path) -> None:
    """What was aborted never was; commit and abort markers leave gaps that are no loss."""
    with workers(kafka, tmp_path) as worker:
        worker.start().ready()
        produce_in_transaction(kafka, [received("A", 5, at("10:00")), received("B", 5, at("10:00"))], commit=True)
        produce_in_transaction(kafka, [received("A", 100, at("10:01")), Raw(WAREHOUSE, b"A", b"{")], commit=False)
        produce(kafka, [shipped("A", 1, at("10:02"))])
        produce_in_transaction(kafka, [received("B", 100, at("10:03"))], commit=False)
        wait_applied(kafka, worker)  # the last thing in the log is a marker
        assert on_hand(kafka) == {"A": 4, "B": 5}
        assert not read(kafka, WAREHOUSE.dlq)
        found = outcomes(worker)
        assert found[WAREHOUSE.name] == Counter(consumed=3, applied=3)
        assert sum(worker.metrics()["stockstream_offset_jumps_total"].values()) == 0
        assert worker.stop() == 0
        worker.start().ready()  # from a position that is a marker's
        produce(kafka, [shipped("B", 2, at("10:04"))])
        wait_applied(kafka, worker)
        assert {sku: (u.on_hand, u.version) for sku, u in newest(kafka).items()} == {"A": (4, 2), "B": (3, 2)}
        assert worker.stop() == 0
