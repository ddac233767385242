"""A log of one partition number in memory, and a ledger that reads it in any chunks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.core.ledger import Batch, Partition
from streams.core.outputs import Output
from streams.core.stock import moment
from tests.builders.events import ms, policy, topic_of
from topics.catalogue import BY_NAME, CLOCK, DISCREPANCIES, REMEMBERED, SYNC, Topic
from topics.codec import decode_discrepancy, decode_sync, encode
from topics.events import Command, Event, Item, Tick
from topics.policy import Policy
from topics.updates import Discrepancy, SyncUpdate

START = ms("10:00")
REMEMBERED_NAMES = {topic.name for topic in REMEMBERED}
Headers = Sequence[tuple[str, bytes]]


@dataclass
class Rec:
    """One record, as a Kafka client hands it out."""

    topic: Topic
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@dataclass
class Log:
    """Records in the order in which a worker reads them; offsets ascend by one in each topic."""

    records: list[Rec] = field(default_factory=list)
    ends: dict[Topic, int] = field(default_factory=dict)

    def raw(self, topic: Topic, key: bytes | None, value: bytes | None, headers: Headers = (), at: int = 0) -> Rec:
        offset = self.ends.get(topic, 0)
        self.ends[topic] = offset + 1
        record = Rec(topic, offset, at or START + 1000 * len(self.records), key, value, headers)
        self.records.append(record)
        return record

    def say(self, *events: Event | Command | Item) -> Log:
        for event in events:
            self.raw(topic_of(event), event.sku.encode(), encode(event))
        return self

    def tick(self, at: int) -> Log:
        self.raw(CLOCK, None, encode(Tick(occurred_at=moment(at * 1000))), at=at)
        return self


@dataclass
class Reader:
    """Folds records, closes windows, and keeps what a changelog and the output topics would hold."""

    rules: Policy = field(default_factory=policy)
    partitions: int = 1
    number: int = 0
    changelog: dict[bytes, bytes] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = Partition(self.number, self.partitions, self.rules)
        self.ledger.load(self.changelog)

    def fold(self, records: Iterable[Rec]) -> Reader:
        """One by one, as chunks of one topic; the window stays open."""
        for record in records:
            self.ledger.fold(record.topic, [record], record.offset + 1)
        return self

    def close(self) -> Batch:
        batch = self.ledger.close()
        self.changelog.update(batch.rows)
        self.outputs += batch.outputs
        return batch

    def read(self, records: Iterable[Rec]) -> Batch:
        return self.fold(records).close()

    def restarted(self, log: Log, rules: Policy | None = None) -> Reader:
        """What a worker is that starts with this changelog: rows loaded, memory read back topic by topic."""
        other = Reader(rules or self.rules, self.partitions, self.number, dict(self.changelog), list(self.outputs))
        limit = other.rules.memory.records
        for name, position in other.ledger.positions.items():
            mine = [r for r in log.records if r.topic.name == name and position - limit <= r.offset < position]
            if name in REMEMBERED_NAMES:
                other.ledger.remember(BY_NAME[name], mine)
        return other

    def values(self, topic: Topic) -> list[bytes]:
        return [output.value or b"" for output in self.outputs if output.topic == topic.name]

    def syncs(self) -> list[SyncUpdate]:
        return [decode_sync(value) for value in self.values(SYNC)]

    def told(self) -> list[Discrepancy]:
        return [decode_discrepancy(value) for value in self.values(DISCREPANCIES)]

    def shown(self) -> dict[str, dict[str, Any]]:
        """The last sync update of each SKU, without what tells how it came about."""
        how = {"version", "occurred_at", "caused_by", "caused_by_count"}
        return {update.sku: update.model_dump(exclude=how) for update in self.syncs()}

    def dead_letters(self) -> list[Output]:
        return [output for output in self.outputs if output.topic.endswith(".dlq")]

    def by_key(self) -> dict[tuple[str, bytes | None], list[Output]]:
        """The outputs of each topic and key, in order."""
        found: dict[tuple[str, bytes | None], list[Output]] = {}
        for output in self.outputs:
            found.setdefault((output.topic, output.key), []).append(output)
        return found
