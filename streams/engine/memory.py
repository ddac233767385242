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
    headers: Sequence[tuple[str, bytes]]


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
        wanted = _ranges(consumer, runtime, ledgers)
        if not wanted:
            return 0
        consumer.assign([TopicPartition(topic, number, start) for (topic, number), (start, _) in wanted.items()])
        return _read(consumer, runtime, ledgers, {tp: end for tp, (_, end) in wanted.items()})
    finally:
        consumer.close()


def _ranges(
    consumer: Consumer, runtime: Runtime, ledgers: dict[int, Partition]
) -> dict[tuple[str, int], tuple[int, int]]:
    """What to read again: from `memory.records` before each position, as far as Kafka still has it."""
    found = {}
    limit = runtime.policy.memory.records
    for number, ledger in ledgers.items():
        for topic in REMEMBERED:
            end = ledger.positions.get(topic.name, 0)
            if not end:
                continue
            low, _ = consumer.get_watermark_offsets(TopicPartition(topic.name, number), timeout=CALL_SECONDS)
            start = max(low, end - limit)
            if start < end:
                found[topic.name, number] = (start, end)
    return found


def _read(consumer: Consumer, runtime: Runtime, ledgers: dict[int, Partition], ends: dict[tuple[str, int], int]) -> int:
    limit, count, seen = runtime.policy.memory.records, 0, set()
    deadline = time.monotonic() + STALLED_SECONDS
    while ends:
        messages = consumer.consume(BATCH, timeout=0.2)
        if messages:
            deadline = time.monotonic() + STALLED_SECONDS
            runtime.progress()
        elif time.monotonic() > deadline:
            raise RebuildError(f"no records of {sorted(ends)} within {STALLED_SECONDS:.0f} s")
        for message in messages:
            place = (str(message.topic()), int(message.partition() or 0))
            end = ends.get(place)
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            if end is None:
                continue
            offset = message.offset() or 0
            if error is None and offset < end:
                ledger, record = ledgers[place[1]], _record(message)
                if place not in seen and record.offset > max(0, end - limit):
                    ledger.books.memory.lost(record.timestamp * 1000)
                seen.add(place)
                ledger.remember(BY_NAME[place[0]], (record,))
                count += 1
            if error is not None or offset >= end - 1:
                del ends[place]
                consumer.incremental_unassign([TopicPartition(*place)])
    return count


def _record(message: Any) -> _Record:
    _, timestamp = message.timestamp()
    return _Record(message.offset(), timestamp, message.key(), message.value(), message.headers() or [])
