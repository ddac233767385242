"""The memory read back from the input topics at a start: "the log is the memory" (see `streams.core.memory`).

Each input partition is read again from `memory.records` before its position, by a plain consumer in a thread, and fed
to the memory alone, never to the stock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.core.ledger import Partition
from streams.engine.runtime import Runtime
from topics.catalogue import BY_NAME, REMEMBERED
from topics.rerouted import Header, headers_of

BATCH = 10_000
STALLED_SECONDS = 30.0
CALL_SECONDS = 15.0


class RebuildError(RuntimeError):
    """The log could not be read back."""


@dataclass(slots=True)
class _Record:
    """As `streams.core.ledger.Record` wants it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]


@dataclass(slots=True)
class _Stretch:
    """Offsets to read again, [start, end). cut: retention deleted what should come before."""

    start: int
    end: int
    cut: bool


async def rebuild(runtime: Runtime, ledgers: dict[int, Partition]) -> int:
    """Fill the ledgers' memories; returns how many records were read."""
    return await asyncio.to_thread(_rebuild, runtime, ledgers)


def _rebuild(runtime: Runtime, ledgers: dict[int, Partition]) -> int:
    config: dict[str, Any] = {
        **runtime.kafka.client_config(),
        "group.id": f"{runtime.app_id}-memory",  # never joined and never committed
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 50,
    }
    consumer = Consumer(config)
    try:
        stretches = _stretches(consumer, ledgers)
        if not stretches:
            return 0
        consumer.assign([TopicPartition(*place, stretch.start) for place, stretch in stretches.items()])
        return _read(consumer, runtime, ledgers, stretches)
    finally:
        consumer.close()


def _stretches(consumer: Consumer, ledgers: dict[int, Partition]) -> dict[tuple[str, int], _Stretch]:
    """What to read again: as far before each position as the last worker remembered, if Kafka still has it."""
    found = {}
    for number, ledger in ledgers.items():
        for topic in REMEMBERED:
            end = ledger.positions.get(topic.name, 0)
            if not end:
                continue
            low, _ = consumer.get_watermark_offsets(TopicPartition(topic.name, number), timeout=CALL_SECONDS)
            wanted = max(0, end - ledger.rewind)
            if max(low, wanted) < end:
                found[topic.name, number] = _Stretch(max(low, wanted), end, cut=low > wanted)
    return found


def _read(
    consumer: Consumer, runtime: Runtime, ledgers: dict[int, Partition], left: dict[tuple[str, int], _Stretch]
) -> int:
    count = 0
    deadline = time.monotonic() + STALLED_SECONDS
    while left:
        messages = consumer.consume(BATCH, timeout=0.2)
        if messages:
            deadline = time.monotonic() + STALLED_SECONDS
            runtime.progress()
        elif time.monotonic() > deadline:
            raise RebuildError(f"no records of {sorted(left)} within {STALLED_SECONDS:.0f} s")
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            place = (str(message.topic()), int(message.partition() or 0))
            stretch, offset = left.get(place), message.offset() or 0
            if stretch is None:
                continue
            if error is None and offset < stretch.end:
                _remember(ledgers[place[1]], place[0], _record(message), stretch)
                count += 1
            if error is not None or offset >= stretch.end - 1:
                del left[place]
                consumer.incremental_unassign([TopicPartition(*place)])
    return count


def _remember(ledger: Partition, topic: str, record: _Record, stretch: _Stretch) -> None:
    if stretch.cut:  # retention took what came before: it counts as forgotten
        ledger.books.memory.lost(record.timestamp * 1000)
        stretch.cut = False
    ledger.remember(BY_NAME[topic], (record,))


def _record(message: Any) -> _Record:
    _, timestamp = message.timestamp()
    return _Record(message.offset(), timestamp, message.key(), message.value(), headers_of(message))
