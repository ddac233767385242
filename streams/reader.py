"""Questions answered from Kafka alone: bounded scans of single partitions, read committed, no worker needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.core.rows import POLICY_KEY, POSITION_KEY, decode_position, decode_row
from streams.core.stock import Stock
from topics.admin import check_inputs
from topics.catalogue import DISCREPANCIES, MOVEMENTS, changelog
from topics.codec import decode_discrepancy
from topics.murmur2 import partition_of
from topics.policy import Policy
from topics.rerouted import Header, headers_of
from topics.settings import KafkaSettings
from topics.updates import Discrepancy

CALL_SECONDS = 15.0
STALLED_SECONDS = 30.0
BATCH = 10_000


class ReadError(RuntimeError):
    """Kafka did not answer, or what it holds cannot be read: one line."""


@dataclass(slots=True)
class Entry:
    """One record of a log; `timestamp` in ms since 1970."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]


class Reader:
    """A consumer that joins no group and commits nothing."""

    def __init__(self, kafka: KafkaSettings, app_id: str) -> None:
        self.kafka = kafka
        self.app_id = app_id
        self.partitions = check_inputs(kafka, app_id)

    def scan(self, topic: str, partition: int, last: int | None = None, until: int | None = None) -> Iterator[Entry]:
        """The records of a partition up to its end as of now. `last`: only about that many; `until`: an offset."""
        consumer = self._consumer()
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=CALL_SECONDS)
            end = high if until is None else min(high, until)
            start = low if last is None else max(low, end - last)
            if start < end:
                consumer.assign([TopicPartition(topic, partition, start)])
                yield from _until(consumer, end)
        except KafkaException as exc:
            raise ReadError(f"{topic} partition {partition}: {exc.args[0].str()}") from None
        finally:
            consumer.close()

    def start_of(self, topic: str, partition: int) -> int:
        """The first offset that Kafka still has."""
        consumer = self._consumer()
        try:
            low, _ = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=CALL_SECONDS)
            return int(low)
        except KafkaException as exc:
            raise ReadError(f"{topic} partition {partition}: {exc.args[0].str()}") from None
        finally:
            consumer.close()

    def _consumer(self) -> Consumer:
        config: dict[str, Any] = {
            **self.kafka.client_config(),
            "group.id": f"{self.app_id}-reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
        }
        return Consumer(config)

    # -- the table ------------------------------------------------------------------------------------------------
    def row(self, sku: str) -> tuple[Stock | None, Policy]:
        """The row of a SKU and the policy that it is shown by."""
        key = sku.encode("utf-8", "surrogatepass")
        row = policy = None
        for entry in self.scan(changelog(self.app_id).name, partition_of(key, self.partitions)):
            if entry.key == key:
                row = entry.value
            elif entry.key == POLICY_KEY:
                policy = entry.value
        known = Policy.model_validate_json(policy) if policy is not None else Policy()
        return (decode_row(row) if row is not None else None), known

    def table(self, partition: int) -> tuple[dict[bytes, bytes], dict[str, int]]:
        """All rows of a partition, encoded, and the positions that they follow from."""
        rows: dict[bytes, bytes] = {}
        for entry in self.scan(changelog(self.app_id).name, partition):
            if entry.key is not None and entry.value is not None:
                rows[entry.key] = entry.value
        position = rows.pop(POSITION_KEY, None)
        rows.pop(POLICY_KEY, None)
        return rows, decode_position(position)["positions"] if position is not None else {}

    def discrepancies(self, wanted: Callable[[Discrepancy], bool]) -> list[Discrepancy]:
        """The newest record of each discrepancy, oldest first."""
        newest: dict[bytes, Discrepancy] = {}
        for partition in range(self.partitions):
            for entry in self.scan(DISCREPANCIES.name, partition):
                if entry.key is not None and entry.value is not None:
                    newest[entry.key] = decode_discrepancy(entry.value)
        return sorted(filter(wanted, newest.values()), key=lambda found: found.opened_at)

    def movements(self, sku: str, last: int, look_back: int) -> list[Entry]:
        """The last movements of a SKU, as far as `look_back` records of each topic hold them, oldest first."""
        key = sku.encode("utf-8", "surrogatepass")
        partition = partition_of(key, self.partitions)
        found = [
            entry
            for topic in MOVEMENTS
            for entry in self.scan(topic.name, partition, last=look_back)
            if entry.key == key
        ]
        return sorted(found, key=lambda entry: entry.timestamp)[-last:]


def _until(consumer: Consumer, end: int) -> Iterator[Entry]:
    deadline = time.monotonic() + STALLED_SECONDS
    while True:
        messages = consumer.consume(BATCH, timeout=0.5)
        if messages:
            deadline = time.monotonic() + STALLED_SECONDS
        elif time.monotonic() > deadline:
            raise ReadError(f"Kafka sent nothing for {STALLED_SECONDS:.0f} s")
        for message in messages:
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                return
            if error is not None:
                raise KafkaException(error)
            offset = message.offset() or 0
            if offset >= end:
                return
            yield Entry(
                str(message.topic()),
                int(message.partition() or 0),
                offset,
                message.timestamp()[1],
                message.key(),
                message.value(),
                headers_of(message),
            )
            if offset == end - 1:
                return
