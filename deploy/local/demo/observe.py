"""What the pipeline says while it runs, read from its topics as any other consumer would: committed records only."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from topics.catalogue import CLOCK, DEAD_LETTERS, DISCREPANCIES, MOVEMENTS, REPORTS, SYNC
from topics.dead_letters import CONNECT, REASON
from topics.settings import KafkaSettings

GROUP = "stockstream-demo-observer"
BATCH = 5_000
Position = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter: where the record stood, why it was refused, and its bytes."""

    topic: str
    reason: str
    key: bytes | None
    value: bytes | None
    position: Position


@dataclass(slots=True)
class Shown:
    """What one channel was to show: the version that first asked for it, and the movements that caused it."""

    version: int
    quantity: int
    causes: list[str]


@dataclass(slots=True)
class Seen:
    """All that was read so far. One thread writes it; others may look at it at any time."""

    movements: int = 0
    newest_movement_ms: int = 0
    sync: dict[str, dict[str, Any]] = field(default_factory=dict)
    updates: int = 0
    versions: set[tuple[str, int]] = field(default_factory=set)
    went_back: list[str] = field(default_factory=list)
    told_twice: list[str] = field(default_factory=list)
    discrepancies: dict[str, dict[str, Any]] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)
    reports: Counter[tuple[str, str]] = field(default_factory=Counter)
    confirmed: dict[tuple[str, str], list[tuple[int, int, int]]] = field(default_factory=lambda: defaultdict(list))
    shown: dict[tuple[str, str], list[Shown]] = field(default_factory=lambda: defaultdict(list))
    written_ms: dict[str, int] = field(default_factory=dict)
    ticks: dict[int, int] = field(default_factory=dict)

    def movement(self, message: Message, value: bytes) -> None:
        """A movement stands in the log; the first telling counts for the way's duration."""
        self.movements += 1
        stamp = message.timestamp()[1]
        self.newest_movement_ms = max(self.newest_movement_ms, stamp)
        start = value.find(b'"event_id":"') + 12
        if start > 12 or value.startswith(b'{"event_id":"'):
            self.written_ms.setdefault(value[start : value.find(b'"', start)].decode("ascii", "replace"), stamp)

    def sync_update(self, value: bytes) -> None:
        """One record of stock.sync.v1: the newest holds, and none may be older than the one before or come twice."""
        update = orjson.loads(value)
        sku, version = update["sku"], update["version"]
        before = self.sync.get(sku)
        self.updates += 1
        if (sku, version) in self.versions:
            self.told_twice.append(f"{sku} version {version}")
        elif before is not None and version < before["version"]:
            self.went_back.append(f"{sku} from version {before['version']} to {version}")
        self.versions.add((sku, version))
        self.sync[sku] = update
        for channel, chain in update["channels"].items():
            self._showing(sku, channel, version, chain["quantity"], update["caused_by"])

    def _showing(self, sku: str, channel: str, version: int, quantity: int, causes: list[str]) -> None:
        history = self.shown[sku, channel]
        if not history or history[-1].quantity != quantity:
            history.append(Shown(version, quantity, causes))

    def discrepancy(self, value: bytes) -> None:
        """The newest record of a discrepancy holds."""
        record = orjson.loads(value)
        self.discrepancies[record["discrepancy_id"]] = record

    def report(self, message: Message, value: bytes) -> None:
        """What a channel said."""
        record = orjson.loads(value)
        self.reports[record["channel"], record["type"]] += 1
        if record["type"] == "confirmed":
            stamp = message.timestamp()[1]
            self.confirmed[record["sku"], record["channel"]].append((record["version"], record["quantity"], stamp))

    def letter(self, message: Message, value: bytes | None) -> None:
        """A dead letter."""
        headers = {name: _text(held) for name, held in list(message.headers() or [])}
        at = [headers.get(f"{CONNECT}{part}", "?") for part in ("topic", "partition", "offset")]
        reason = headers.get(REASON, "no reason")
        self.letters.append(Letter(at[0], reason, _bytes(message.key()), value, (at[0], at[1], at[2])))


class Observer:
    """A thread that reads the topics from their beginning."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.seen = Seen()
        self.failure: str | None = None
        self._settings = kafka
        self._stop = threading.Event()
        self._dlqs = {topic.name for topic in DEAD_LETTERS}
        self._movements = {topic.name for topic in MOVEMENTS}
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """End (bounded)."""
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        try:
            self._read()
        except Exception as exc:  # told by the demo, which ends
            self.failure = f"the demo's own reader failed: {exc!r}"

    def _read(self) -> None:
        consumer = Consumer(
            {
                **self._settings.client_config(),
                "group.id": GROUP,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
            }
        )
        try:
            names = [SYNC.name, CLOCK.name, DISCREPANCIES.name, REPORTS.name, *self._movements, *self._dlqs]
            parts = range(self._settings.partitions)
            consumer.assign([TopicPartition(name, part, OFFSET_BEGINNING) for name in names for part in parts])
            while not self._stop.is_set():
                for message in consumer.consume(BATCH, 0.2):
                    self._take(message)
        finally:
            consumer.close()

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            if error.retriable():
                return
            raise KafkaException(error)
        topic, value = message.topic() or "", _bytes(message.value())
        if topic in self._dlqs:
            self.seen.letter(message, value)
        elif topic in self._movements:
            self.seen.movement(message, value or b"")
        elif value is None:
            return
        elif topic == CLOCK.name:
            self.seen.ticks[message.partition() or 0] = message.timestamp()[1]
        elif topic == SYNC.name:
            self.seen.sync_update(value)
        elif topic == DISCREPANCIES.name:
            self.seen.discrepancy(value)
        elif topic == REPORTS.name:
            self.seen.report(message, value)


def _bytes(held: str | bytes | None) -> bytes | None:
    return held.encode() if isinstance(held, str) else held


def _text(held: str | bytes | None) -> str:
    return held.decode("utf-8", "replace") if isinstance(held, bytes) else held or ""


def latencies_ms(seen: Seen, channel: str) -> list[int]:
    """From the broker's time of a movement to the channel's confirmation of what it changed, sorted."""
    found: list[int] = []
    for (sku, name), history in seen.shown.items():
        if name != channel:
            continue
        answers = sorted(seen.confirmed.get((sku, name), []))
        answered: int | None = None
        for shown in reversed(history):
            while answers and answers[-1][0] >= shown.version:
                at = answers.pop()[2]
                answered = at if answered is None else min(answered, at)
            if answered is not None:
                found += [max(0, answered - seen.written_ms[c]) for c in shown.causes if c in seen.written_ms]
    return sorted(found)
