"""Workers as processes, and what tests ask of Kafka around them: produce, wait until all is applied, read."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec
from prometheus_client.parser import text_string_to_metric_families

from tests.builders.events import topic_of
from tests.kafka import admin_client, wait_until
from topics.catalogue import CLOCK, EXTERNAL_INPUTS, REROUTED, SYNC, Topic
from topics.codec import decode_sync, encode
from topics.events import Command, Event, Item
from topics.updates import SyncUpdate

Headers = Sequence[tuple[str, bytes | None]]

POLICY = {
    "channels": {"shopify": {"kind": "shopify"}, "outlet": {"kind": "webhook", "percent": 50}},
    "grace_seconds": {"default": 1, "count_variance": 1, "negative_on_hand": 1, "oversold": 1, "channel_drift": 1},
}
READY_S, APPLIED_S, CALL_S = 40.0, 40.0, 15.0


class Raw(NamedTuple):
    """A record as bytes; partition -1 lets the partitioner choose."""

    topic: Topic
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int = -1


class Answer(NamedTuple):
    """What the worker said over HTTP."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


def at(time: str, days_ago: int = 1) -> datetime:
    """`13:05` of yesterday (or before): the broker gives its own time, which a stamp must not be far ahead of."""
    day = datetime.now(UTC).date() - timedelta(days=days_ago)
    return datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=UTC)


def record(event: Event | Command | Item, headers: Headers = (), partition: int = -1) -> Raw:
    """The record of an event, on the topic where such events come."""
    return Raw(topic_of(event), event.sku.encode(), encode(event), headers, partition)


def produce(
    bootstrap: str, records: Iterable[Raw | Event | Command | Item], partitioner: str = "murmur2_random"
) -> None:
    """Send records in this order and wait until all have arrived."""
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": partitioner, "linger.ms": 5})
    failed: list[str] = []
    for one in records:
        raw = one if isinstance(one, Raw) else record(one)
        _put(producer, raw, failed)
    assert producer.flush(CALL_S) == 0
    assert not failed, failed[:3]


def _put(producer: Producer, raw: Raw, failed: list[str]) -> None:
    producer.produce(
        raw.topic.name,
        raw.value,
        raw.key,
        partition=raw.partition,
        headers=list(raw.headers),
        on_delivery=lambda error, _: failed.append(error.str()) if error is not None else None,
    )
    producer.poll(0)


def produce_in_transaction(bootstrap: str, records: Iterable[Raw | Event], *, commit: bool) -> None:
    """Send records in one transaction and commit or abort it; either leaves a control record in the log."""
    producer = Producer(
        {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "transactional.id": "stockstream-test"}
    )
    producer.init_transactions(CALL_S)
    producer.begin_transaction()
    failed: list[str] = []
    for one in records:
        _put(producer, one if isinstance(one, Raw) else record(one), failed)
    assert producer.flush(CALL_S) == 0
    assert not failed
    if commit:
        producer.commit_transaction(CALL_S)
    else:
        producer.abort_transaction(CALL_S)


def read(bootstrap: str, *topics: Topic | str) -> list[Message]:
    """All committed records of these topics up to their ends, each partition in order."""
    config = {"bootstrap.servers": bootstrap, "group.id": "stockstream-test", "enable.partition.eof": True}
    quick = {"fetch.wait.max.ms": 10, "log_level": 0}  # an end is told only with the answer to a fetch
    consumer = Consumer({**config, **quick, "isolation.level": "read_committed"})
    names = [topic if isinstance(topic, str) else topic.name for topic in topics]
    try:
        known = consumer.list_topics(timeout=CALL_S).topics
        places = {(name, number) for name in names for number in known[name].partitions}
        consumer.assign([TopicPartition(*place, OFFSET_BEGINNING) for place in places])
        found = []
        while places:
            message = consumer.poll(CALL_S)
            assert message is not None, f"nothing of {places} in {CALL_S:.0f} s"
            error = message.error()
            if error is None:
                found.append(message)
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                places.discard((str(message.topic()), message.partition() or 0))
        return found
    finally:
        consumer.close()


def syncs(bootstrap: str) -> list[SyncUpdate]:
    """All sync updates."""
    return [decode_sync(message.value() or b"") for message in read(bootstrap, SYNC)]


def newest(bootstrap: str) -> dict[str, SyncUpdate]:
    """The last sync update of each SKU."""
    return {update.sku: update for update in syncs(bootstrap)}


def on_hand(bootstrap: str) -> dict[str, int]:
    """SKU -> units on hand, as last published."""
    return {sku: update.on_hand for sku, update in newest(bootstrap).items()}


def ends(bootstrap: str, topics: Iterable[Topic]) -> dict[tuple[str, int], int]:
    """(topic, partition) -> the offset after its last record."""
    admin = admin_client(bootstrap)
    known = admin.list_topics(timeout=CALL_S).topics
    places = {
        TopicPartition(topic.name, number): OffsetSpec.latest()  # type: ignore[no-untyped-call]
        for topic in topics
        for number in known[topic.name].partitions
    }
    futures = admin.list_offsets(places, request_timeout=CALL_S)
    return {(place.topic, place.partition): future.result(CALL_S).offset for place, future in futures.items()}


def committed(bootstrap: str, app_id: str = "stockstream", admin: AdminClient | None = None) -> dict[Any, int]:
    """(topic, partition) -> what the worker's group has committed."""
    client = admin or admin_client(bootstrap)
    asked = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(app_id)], request_timeout=CALL_S)
    places = asked[app_id].result(CALL_S).topic_partitions
    return {(place.topic, place.partition): place.offset for place in places}


def wait_applied(bootstrap: str, *alive: Worker, app_id: str = "stockstream", within_s: float = APPLIED_S) -> None:
    """Until everything that stands in the input topics now is applied and published (contract section 7).

    Rerouted records are written by the worker while it reads the others: their end is taken afterwards. `alive`:
    workers that must not end meanwhile.
    """
    admin = admin_client(bootstrap)
    for topics in (EXTERNAL_INPUTS, (REROUTED,)):
        wanted = ends(bootstrap, topics)
        behind: dict[Any, Any] = {}

        def reached(wanted: dict[Any, int] = wanted, behind: dict[Any, Any] = behind) -> bool:
            for worker in alive:
                assert worker.running.poll() is None, f"{worker.name} ended:\n{worker.text()}"
            now = committed(bootstrap, app_id, admin)
            behind.clear()
            behind.update({place: (now.get(place, 0), end) for place, end in wanted.items() if now.get(place, 0) < end})
            return not behind

        try:
            wait_until(reached, within_s, "everything is applied")
        except AssertionError as exc:
            raise AssertionError(f"{exc}; (committed, end): {behind or 'never asked'}") from None


def ticks(bootstrap: str) -> int:
    """How many records the clock's topic holds, markers included."""
    return sum(ends(bootstrap, (CLOCK,)).values())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Worker:
    """`python -m streams worker`, and how to talk to it."""

    bootstrap: str
    folder: Path
    name: str = "worker"
    instance: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None, "not started"
        return self.process

    def policy(self, policy: Any) -> None:
        """What counts from the next start on (JSON is YAML)."""
        path = self.folder / "policy.yaml"
        path.write_text(json.dumps(policy), encoding="utf-8")
        self.environment["STOCKSTREAM_POLICY"] = str(path)

    def start(self) -> Worker:
        own = {
            "KAFKA_BOOTSTRAP": self.bootstrap,
            "STOCKSTREAM_WEB_PORT": str(self.port),
            "STOCKSTREAM_DATA_DIR": str(self.folder / f"data-{self.name}"),
            "STOCKSTREAM_TICK_SECONDS": "0.5",
            **({"STOCKSTREAM_INSTANCE_ID": self.instance} if self.instance else {}),
            **self.environment,
        }
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streams", "worker"], stdout=out, stderr=out, env={**os.environ, **own}
            )
        return self

    def ready(self, within_s: float = READY_S) -> Worker:
        """Wait until it takes records."""

        def is_ready() -> bool:
            assert self.running.poll() is None, f"ended with {self.running.returncode}:\n{self.text()}"
            return self.status("/readyz") == 200

        try:
            wait_until(is_ready, within_s, f"{self.name} is ready")
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.text()}") from None
        return self

    def stop(self, within_s: float = 15.0) -> int:
        """SIGTERM; returns the exit status."""
        self.running.send_signal(signal.SIGTERM)
        return self.running.wait(within_s)

    def kill(self) -> None:
        """SIGKILL."""
        self.running.kill()
        self.running.wait(10)

    def text(self, *, whole: bool = False) -> str:
        """The end of what it wrote in all its lives."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return text if whole else text[-6000:]

    def get(self, path: str) -> Answer:
        """One HTTP request; redirections are not followed."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return Answer(answer.status, answer.read(), dict(answer.headers))
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read(), dict(error.headers))

    def status(self, path: str) -> int:
        """The status of an answer; 0 if there is none."""
        try:
            return self.get(path).status
        except OSError:
            return 0

    def metrics(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Name -> label values, in the order of the labels' names -> value."""
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for family in text_string_to_metric_families(self.get("/metrics").body.decode()):
            for sample in family.samples:
                labels = tuple(value for _, value in sorted(sample.labels.items()))
                found.setdefault(sample.name, {})[labels] = sample.value
        return found


@contextmanager
def workers(bootstrap: str, folder: Path, *names: str, policy: Any = POLICY, static: bool = False) -> Iterator[Any]:
    """Workers that are not started yet, one for each name; killed at the end if they still run."""
    made = [Worker(bootstrap, folder, name, f"{name}-1" if static else None) for name in names or ("worker",)]
    for worker in made:
        worker.policy(policy)
    try:
        yield made if len(made) > 1 else made[0]
    finally:
        for worker in made:
            if worker.process is not None and worker.process.poll() is None:
                worker.kill()


def refused(bootstrap: str, folder: Path, **environment: str) -> tuple[int, str]:
    """Start a worker that must not start; its exit status and what it wrote."""
    worker = Worker(bootstrap, folder, "refused", environment=environment)
    worker.log.unlink(missing_ok=True)
    worker.start()
    try:
        return worker.running.wait(READY_S), worker.text()
    finally:
        if worker.running.poll() is None:
            worker.kill()


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """All headers, in order."""
    return list(message.headers() or [])  # type: ignore[arg-type]


def header(message: Message, name: str) -> str:
    """A header's value as text; it must be there once."""
    (value,) = [value for key, value in headers_of(message) if key == name]
    assert value is not None
    return value.decode()
