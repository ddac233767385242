"""Reading topics from Kafka up to where they end now: for commands that look, not for the worker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from topics.admin import Kafka, TopicsError
from topics.settings import KafkaSettings

_SILENCE_SECONDS = 30.0
_POLL_SECONDS = 0.05
"""How long a batch is gathered: what a person waits for at the end of each topic."""
_BATCH = 500


def read_to_end(
    kafka: KafkaSettings, topics: list[str], start: TopicPartition | None = None, seconds: float = _SILENCE_SECONDS
) -> Iterator[Message]:
    """The committed records of these topics up to their ends now, partition by partition in order, each once.

    `start`: only this partition, from this offset on. Nothing is committed and no consumer group is joined.

    Raises:
        TopicsError: a topic is missing, or Kafka is silent for `seconds`.
    """
    places = [start] if start is not None else _places(kafka, topics)
    config: dict[str, Any] = {
        **kafka.client_config(),
        "group.id": "stockstream-reader",  # librdkafka wants one; it is never joined
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 50,  # the broker holds an answer back so long where there is nothing new
    }
    with closing(Consumer(config)) as consumer:
        consumer.assign(places)
        ends = {(p.topic, p.partition): _end(consumer, p) for p in places}
        waiting = set(ends)
        heard = time.monotonic()
        while waiting:
            for message in consumer.consume(_BATCH, _POLL_SECONDS):
                heard = time.monotonic()
                error = message.error()
                place = (message.topic(), message.partition())
                if error is None:
                    if place in waiting and (message.offset() or 0) < ends[place]:
                        yield message
                    else:  # it was not there when we began
                        waiting.discard(place)
                elif error.code() == KafkaError._PARTITION_EOF:
                    waiting.discard(place)
                elif not error.retriable():
                    raise TopicsError(f"{message.topic()} cannot be read: {error.str()}")
            if time.monotonic() - heard > seconds:
                raise TopicsError(f"Kafka at {kafka.bootstrap} (KAFKA_BOOTSTRAP) has been silent for {seconds:.0f} s")


def read_one(kafka: KafkaSettings, topic: str, partition: int, offset: int) -> Message:
    """One record. Raises TopicsError if it is not there."""
    found = [p.partition for p in _places(kafka, [topic])]
    if partition in found:
        for message in read_to_end(kafka, [topic], TopicPartition(topic, partition, offset)):
            if message.offset() == offset:
                return message
            break
    raise TopicsError(f"{topic}/{partition}/{offset}: no such record (never written, or deleted by retention)")


def _end(consumer: Consumer, place: TopicPartition) -> int:
    try:
        return consumer.get_watermark_offsets(place, timeout=_SILENCE_SECONDS)[1]
    except KafkaException as exc:
        raise TopicsError(f"{place.topic} cannot be read: {exc.args[0].str()}") from None


def _places(kafka: KafkaSettings, topics: list[str]) -> list[TopicPartition]:
    metadata = Kafka(kafka).metadata()
    for topic in topics:
        if topic not in metadata.topics:
            raise TopicsError(f"topic {topic} does not exist; run: python -m topics apply")
    return [TopicPartition(topic, p, OFFSET_BEGINNING) for topic in topics for p in metadata.topics[topic].partitions]


class Sender:
    """Sends records and says for each whether it arrived; nothing is sent twice and nothing is lost in silence."""

    def __init__(self, kafka: KafkaSettings, seconds: float = 30.0) -> None:
        self._seconds = seconds
        self.sent = 0
        self.failed: list[str] = []
        config: dict[str, Any] = {
            **kafka.client_config(),
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "message.timeout.ms": int(seconds * 1000),
        }
        from confluent_kafka import Producer

        self._producer = Producer(config)

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]) -> None:
        """Hand over one record; waits where too many are under way."""
        deadline = time.monotonic() + self._seconds
        while True:
            try:
                self._producer.produce(topic, value, key, headers=list(headers), on_delivery=self._delivered)
                self._producer.poll(0)
                return
            except BufferError:
                if time.monotonic() > deadline:
                    raise TopicsError(f"Kafka took nothing for {self._seconds:.0f} s") from None
                self._producer.poll(_POLL_SECONDS)
            except KafkaException as exc:
                self.failed.append(exc.args[0].str())
                return

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self.sent += 1
        else:
            self.failed.append(error.str())

    def flush(self) -> None:
        """Wait until all have arrived or failed."""
        left = self._producer.flush(self._seconds + 5)
        if left:
            self.failed += ["no answer"] * left
