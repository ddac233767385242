"""Numbers that the programs show over HTTP, and how far the groups have read; asked for now and then."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.demo.stack import fetch
from topics.catalogue import CLOCK, INPUTS, MOVEMENTS, REROUTED
from topics.murmur2 import partition_of
from topics.settings import KafkaSettings

OUTCOMES = ("applied", "duplicate", "dead_lettered", "rerouted")
CALL_S = 10.0
OURS_IN_TRANSACTIONS = {CLOCK.name, REROUTED.name}
"""Topics that the worker writes in transactions: the marker at their end is no record, and nobody commits past it."""


@dataclass(slots=True)
class Worker:
    """What a worker counts, by topic."""

    consumed: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)

    def total(self, outcome: str, topics: set[str]) -> int:
        """Records of these topics that ended so."""
        return sum(counts[outcome] for topic, counts in self.outcomes.items() if topic in topics)

    def read(self, topics: set[str]) -> int:
        """Records read of these topics."""
        return sum(n for topic, n in self.consumed.items() if topic in topics)


MOVED = {topic.name for topic in (*MOVEMENTS, REROUTED)}
"""Topics that movements come in by."""


def worker(url: str) -> Worker:
    """A worker's counters. Raises OSError when it does not answer."""
    found = Worker()
    for family in text_string_to_metric_families(fetch(f"{url}/metrics").decode()):
        for sample in family.samples:
            topic = sample.labels.get("topic", "")
            if sample.name == "stockstream_records_consumed_total":
                found.consumed[topic] += int(sample.value)
            elif sample.name == "stockstream_records_total":
                counts = found.outcomes.setdefault(topic, Counter())
                counts[sample.labels.get("outcome", "")] += int(sample.value)
    return found


def sink(url: str) -> dict[str, Any]:
    """A sink's status. Raises OSError when it does not answer."""
    status: dict[str, Any] = json.loads(fetch(f"{url}/api/status"))
    return status


def simulator(url: str) -> dict[str, Any]:
    """What a simulated channel has met. Raises OSError when it does not answer."""
    met: dict[str, Any] = json.loads(fetch(f"{url}/admin/requests"))
    return met


def misrouted(keys: Iterable[bytes | None], partitions: int) -> int:
    """How many records librdkafka's own partitioner (CRC32) puts where Java's would not."""
    return sum(1 for key in keys if key and crc32(key) % partitions != partition_of(key, partitions))


class Group:
    """How far a worker's group has read its input topics, by the offsets that it has committed."""

    def __init__(self, kafka: KafkaSettings, group: str) -> None:
        self._group = group
        self._admin = AdminClient(kafka.client_config())
        parts = range(kafka.partitions)
        self._parts = [TopicPartition(topic.name, part) for topic in INPUTS for part in parts]
        self._moved = [part for part in self._parts if part.topic in {topic.name for topic in MOVEMENTS}]

    def done(self) -> int:
        """Records of the movement topics that are applied and published. Raises KafkaException."""
        return sum(max(0, part.offset) for part in self._committed(self._moved))

    def lag(self) -> Counter[str]:
        """Topic -> records that are not. Raises KafkaException."""
        latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = self._admin.list_offsets(dict.fromkeys(self._parts, latest), request_timeout=CALL_S)
        ends = {(part.topic, part.partition): found.result(CALL_S).offset for part, found in asked.items()}
        lags: Counter[str] = Counter()
        for part in self._committed(self._parts):
            lag = max(0, ends[part.topic, part.partition] - max(0, part.offset))
            lags[part.topic] += 0 if lag == 1 and part.topic in OURS_IN_TRANSACTIONS else lag
        return lags

    def _committed(self, parts: list[TopicPartition]) -> list[TopicPartition]:
        wanted = [ConsumerGroupTopicPartitions(self._group, parts)]
        answer = self._admin.list_consumer_group_offsets(wanted, request_timeout=CALL_S)[self._group]
        return answer.result(CALL_S).topic_partitions or []


def records_in(kafka: KafkaSettings, names: list[str]) -> dict[str, int]:
    """Topic -> records that were ever written to it, of those topics that exist. Raises KafkaException."""
    consumer = Consumer({**kafka.client_config(), "group.id": "stockstream-demo-look"})
    try:
        topics = consumer.list_topics(timeout=CALL_S).topics
        held: Counter[str] = Counter()
        for name in names:
            for part in topics[name].partitions if name in topics else ():
                held[name] += consumer.get_watermark_offsets(TopicPartition(name, part), timeout=CALL_S)[1]
        return {name: count for name, count in held.items() if count}
    except TypeError:  # no watermarks in time
        raise KafkaException("no answer") from None
    finally:
        consumer.close()
