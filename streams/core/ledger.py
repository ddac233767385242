"""One partition number: its rows, its memory and its desk; records in, one window of output at a time.

A window is what one transaction will hold: the rows that changed, what is published of them, dead letters, rerouted
records, and the position that all of it follows from. Nothing here waits or writes: the engine carries the bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, Protocol

import orjson

from streams.core.desk import Desk
from streams.core.memory import PartitionMemory
from streams.core.outputs import (
    MAX_CAUSES,
    Basis,
    Output,
    basis,
    discrepancy_value,
    shown,
    shown_of,
    sync_fields,
    sync_value,
)
from streams.core.reports import sent
from streams.core.requests import command, item_facts, set_item, set_policy
from streams.core.rows import (
    POLICY_KEY,
    POSITION_KEY,
    check_row,
    decode_position,
    decode_row,
    encode_position,
    encode_row,
    needs_attention,
)
from streams.core.step import Applied, Books, Duplicate, Refused, Verdict, remember_again, step
from streams.core.stock import At, Published, Stock, micros, moment
from topics.catalogue import CLOCK, DISCREPANCIES, REROUTED, SYNC, Topic
from topics.codec import Bad, Decoded, ItemRemoved, decode, encode, unknown_fields
from topics.dead_letters import bury
from topics.events import Command, Event, Item, Report, Resync, Tick
from topics.murmur2 import partition_of
from topics.policy import Policy
from topics.rerouted import Header, origin_of, reroute_headers

CONNECTOR = "stockstream-worker"
SKEWED_MS = 5 * 60 * 1000
"""A stamp this far ahead of the broker's time is a wrong clock, worth a metric."""


class PoisonError(Exception):
    """The rules failed on a record: a bug of ours. Its row is half changed, so the window must never be written."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        super().__init__(f"{topic} partition {partition} offset {offset}: the rules failed")
        self.place = (topic, partition, offset)


class Record(Protocol):
    """What a Kafka client hands out; `timestamp` is in ms since 1970."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]


@dataclass(slots=True)
class Touched:
    """A row that the open window holds. `before`: what an update would have shown when the window began."""

    stock: Stock
    before: Basis | None
    dirty: bool = False
    forced: bool = False
    causes: list[str] = field(default_factory=list)
    cause_count: int = 0


@dataclass(slots=True)
class Tally:
    """What became of the records of a window, for metrics.

    outcomes by (topic, outcome); reasons by (topic, reason of the dead letter); late by what became of the count;
    ages by source: (oldest in ms, number of stamps from the future); told by (kind, severity, what happened).
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    unknown_fields: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    ages: dict[str, tuple[int, int]] = field(default_factory=dict)
    told: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    updates: int = 0


class Batch(NamedTuple):
    """A closed window: what one transaction writes. rows: (key, value) for the changelog, position last."""

    rows: list[tuple[bytes, bytes]]
    outputs: list[Output]
    positions: dict[str, int]
    tally: Tally


class Partition:
    """The single writer of one partition number's stock."""

    def __init__(self, number: int, partitions: int, policy: Policy) -> None:
        self.number = number
        self.partitions = partitions
        self.policy = policy
        self.rows: dict[bytes, Stock | bytes] = {}
        self.positions: dict[str, int] = {}
        self.poison: frozenset[tuple[str, int]] = frozenset()
        """(topic, offset) of records that ended a worker before: they are dead letters now."""
        self.rewind = policy.memory.records
        """How many records before each position the memory is read back from: as many as the last worker remembered."""
        self.books = Books(policy, PartitionMemory(policy.memory.records), Desk(policy))
        self.touched: dict[bytes, Touched] = {}
        self.outputs: list[Output] = []
        self.carried = 0
        """Bytes of dead letters and rerouted records in the open window."""
        self.tally = Tally()
        self._policy_value = orjson.dumps(policy.model_dump(mode="json"))
        self._stored_policy: bytes | None = None
        self._to_migrate: Iterator[bytes] | None = None

    # -- at a start -----------------------------------------------------------------------------------------------
    def load(self, records: Mapping[bytes, bytes]) -> None:
        """Take over what the changelog says: encoded rows, the position and the policy that the rows were shown by.

        Raises:
            RowError: a row is damaged or of a newer format.
        """
        rows = dict(records)
        self._stored_policy = rows.pop(POLICY_KEY, None)
        position = rows.pop(POSITION_KEY, None)
        if position is not None:
            found = decode_position(position)
            self.positions = dict(found["positions"])
            self.books.memory.restore(found["forgotten"], found["voided"])
            self.books.desk.now = found["clock"]
            self.rewind = found["memory"]
        self.rows.update(rows)
        for key, value in rows.items():
            if needs_attention(value):
                stock = self.rows[key] = decode_row(value)
                self.books.desk.adopt(stock)
            else:
                check_row(value)
        if self._stored_policy not in (None, self._policy_value):
            self._to_migrate = iter(list(self.rows))

    def remember(self, topic: Topic, records: Iterable[Record]) -> None:
        """Read records that were applied long ago back into the memory alone. Offsets ascend."""
        for record in records:
            told_in = _told_in(topic, record)
            if told_in is None:
                continue
            event = decode(told_in, record.key, record.value, record.timestamp)
            if isinstance(event, Event | Command) and self._is_mine(record.key):
                remember_again(event, At(topic.name, record.offset, record.timestamp), self.books.memory)

    def migrate(self, most: int) -> bool:
        """Show up to `most` rows by the new policy, in the open window. False: there was nothing left to do.

        The window of the last rows holds the new policy, too: a start after it has nothing to show again.
        """
        if self._to_migrate is None or self._stored_policy is None:
            return False
        old = Policy.model_validate_json(self._stored_policy)
        keys = list(islice(self._to_migrate, most))
        for key in keys:
            row = self._touch(key)
            told = len(row.stock.channels)
            row.forced = set_policy(row.stock, old, self.policy)
            row.dirty |= row.forced or told != len(row.stock.channels)
            if not row.dirty:
                del self.touched[key]
        if len(keys) < most:
            self._to_migrate = None
            self._stored_policy = None  # the new one is written as this window closes
        return True

    # -- records in -----------------------------------------------------------------------------------------------
    def fold(self, topic: Topic, records: Iterable[Record], end: int) -> None:
        """Let records meet their rows. `end`: the position after them; what lies before the own position is skipped.

        Raises:
            PoisonError: the rules failed; the partition must be loaded anew.
        """
        position = self.positions.get(topic.name, 0)
        for record in records:
            if record.offset < position:
                continue
            if self.poison and (topic.name, record.offset) in self.poison:
                self._bury(topic, record, Bad("internal", "the rules failed on it; see the worker's log"), "step")
                self.books.memory.void(topic.name, record.offset)
                continue
            try:
                self._take(topic, record)
            except Exception as exc:
                raise PoisonError(topic.name, self.number, record.offset) from exc
        if end > position:
            self.positions[topic.name] = end
            self.books.memory.advance(topic.name, end)  # control records behind the last one count, as at a restart

    def strike(self, now_ms: int) -> None:
        """Put a tick of the clock into the window; it takes effect when it is read back from the log."""
        tick = encode(Tick(occurred_at=moment(now_ms * 1000)))
        self.outputs.append(Output(CLOCK.name, self.number, None, tick, (), now_ms))

    def _take(self, topic: Topic, record: Record) -> None:
        told_in = _told_in(topic, record)
        if told_in is None:
            return self._bury(topic, record, Bad("field", "headers stockstream.topic, .partition, .offset"), "decode")
        event = decode(told_in, record.key, record.value, record.timestamp)
        if isinstance(event, Bad):
            return self._bury(topic, record, event, "decode")
        if isinstance(event, Tick):
            self.books.desk.tick(min(micros(event.occurred_at) // 1000, record.timestamp), self._look_up)
            self.tally.outcomes[topic.name, "applied"] += 1
            return None
        if not self._is_mine(record.key):
            return self._reroute(topic, record)
        return self._meet(topic, record, event)

    def _meet(self, topic: Topic, record: Record, event: Decoded) -> None:
        row = self._touch(record.key or b"")
        at = At(topic.name, record.offset, record.timestamp)
        verdict: Verdict | None
        match event:
            case Event():
                verdict = step(row.stock, event, at, self.books)
            case Command():
                verdict = command(row.stock, event, at, self.books)
            case Item() | ItemRemoved():
                facts = item_facts(event) if isinstance(event, Item) else None
                verdict = Applied() if set_item(row.stock, facts) else Duplicate()
                self.books.memory.advance(topic.name, record.offset + 1)
        match verdict:
            case Applied(what):
                row.dirty = True
                self._applied(topic, record, event, row, what)
            case Duplicate():
                self.tally.outcomes[topic.name, "duplicate"] += 1
            case Refused(reason, detail):
                row.dirty |= reason in ("id_conflict", "sequence")
                self._bury(topic, record, Bad(reason, detail), "step", advance=False)

    def _applied(self, topic: Topic, record: Record, event: Decoded, row: Touched, what: str) -> None:
        tally = self.tally
        tally.outcomes[topic.name, "applied"] += 1
        if isinstance(event, ItemRemoved):  # a null value: no fields, no source
            return
        if unknown := unknown_fields(event):  # type: ignore[arg-type]
            tally.unknown_fields[topic.name] += unknown
        if isinstance(event, Resync):
            row.forced = True
        elif not isinstance(event, Event) or isinstance(event, Report):
            return
        else:
            age = record.timestamp - micros(event.occurred_at) // 1000
            oldest, skewed = tally.ages.get(event.source, (age, 0))
            tally.ages[event.source] = (max(oldest, age), skewed + (age < -SKEWED_MS))
            if what != "applied":
                tally.late[what] += 1
        row.cause_count += 1
        row.causes.append(event.event_id)
        del row.causes[:-MAX_CAUSES]

    def _is_mine(self, key: bytes | None) -> bool:
        return key is None or key in self.rows or partition_of(key, self.partitions) == self.number

    def _bury(self, topic: Topic, record: Record, bad: Bad, stage: str, *, advance: bool = True) -> None:
        letter = bury(
            topic.name, self.number, record.offset, record.key, record.value, record.headers, bad, stage, CONNECTOR
        )
        self.outputs.append(Output(letter.topic, self.number, letter.key, letter.value, letter.headers))
        self.carried += len(letter.value or b"")
        self.tally.outcomes[topic.name, "dead_lettered"] += 1
        self.tally.reasons[topic.name, bad.reason] += 1
        if advance:
            self.books.memory.advance(topic.name, record.offset + 1)

    def _reroute(self, topic: Topic, record: Record) -> None:
        """Misrouted twice is a contradiction: the worker itself put it here."""
        if topic is REROUTED:
            return self._bury(topic, record, Bad("key_mismatch", "rerouted to the wrong partition"), "decode")
        headers = tuple(reroute_headers(topic.name, self.number, record.offset, record.headers))
        target = partition_of(record.key or b"", self.partitions)
        self.outputs.append(Output(REROUTED.name, target, record.key, record.value, headers, record.timestamp))
        self.carried += len(record.value or b"")
        self.tally.outcomes[topic.name, "rerouted"] += 1
        return self.books.memory.advance(topic.name, record.offset + 1)

    # -- rows -----------------------------------------------------------------------------------------------------
    def stock(self, sku: str) -> Stock | None:
        """The row of a SKU as it stands, the open window included."""
        return self._row(sku.encode("utf-8", "surrogatepass"))

    def _row(self, key: bytes) -> Stock | None:
        row = self.rows.get(key)
        if isinstance(row, bytes):
            row = self.rows[key] = decode_row(row)
        return row

    def told(self, sku: str) -> dict[str, Any] | None:
        """The last sync update of a SKU, what the open window changes left out; None if there was none."""
        key = sku.encode("utf-8", "surrogatepass")
        stock, touched = self._row(key), self.touched.get(key)
        if stock is None or stock.published is None:
            return None
        before = touched.before if touched is not None else basis(stock)
        if before is None:
            return None
        return sync_fields(stock, shown_of(before, self.policy), stock.published)

    def _touch(self, key: bytes) -> Touched:
        row = self.touched.get(key)
        if row is None:
            stock = self._row(key)
            if stock is None:
                stock = self.rows[key] = Stock(key.decode())
            row = self.touched[key] = Touched(stock, basis(stock))
        return row

    def _look_up(self, sku: str) -> Stock | None:
        """For the desk, which changes what it looks up."""
        if sku.encode() not in self.rows:
            return None
        row = self._touch(sku.encode())
        row.dirty = True
        return row.stock

    # -- a window out -----------------------------------------------------------------------------------------------
    def close(self) -> Batch:
        """End the window. Everything is encoded here, at once: no later fold may show in its transaction."""
        rows: list[tuple[bytes, bytes]] = []
        outputs, tally = self.outputs, self.tally
        for key, row in self.touched.items():
            if row.dirty:
                self._publish(key, row)
                rows.append((key, encode_row(row.stock)))
            elif not row.stock.version and not row.stock.issues and not row.stock.channels:
                del self.rows[key]  # nobody but a refused record spoke of it
        self._tell()
        if self._stored_policy is None:
            self._stored_policy = self._policy_value
            rows.append((POLICY_KEY, self._policy_value))
        memory = self.books.memory
        position = encode_position(self.positions, memory.forgotten, memory.voided, self.books.desk.now, memory.limit)
        rows.append((POSITION_KEY, position))
        self.touched, self.outputs, self.carried, self.tally = {}, [], 0, Tally()
        return Batch(rows, outputs, dict(self.positions), tally)

    def _publish(self, key: bytes, row: Touched) -> None:
        """A sync update, when what it shows has changed or a person asked for it."""
        stock = row.stock
        if basis(stock) == row.before and not row.forced:
            return
        now = shown(stock, self.policy)
        if now is None:
            return
        before = row.before
        if before is not None and before[0] == now[0] and not row.forced and shown_of(before, self.policy) == now:
            return  # only the item has changed, and says what was so without it
        stock.published = Published(stock.version, stock.changed_at, tuple(row.causes), row.cause_count)
        for name, chain in now[1].items():
            sent(stock.channel(name), stock.version, chain.quantity)
        self.outputs.append(Output(SYNC.name, self.number, key, sync_value(stock, now, stock.published)))
        self.tally.updates += 1

    def _tell(self) -> None:
        records, self.books.desk.records = self.books.desk.records, []
        for told in records:
            value = discrepancy_value(told)
            self.outputs.append(Output(DISCREPANCIES.name, self.number, told.issue.id.encode(), value))
            issue, how = told.issue, str(told.issue.state)
            if how == "resolved":
                how = "auto_resolved" if issue.resolution and issue.resolution.auto else "resolved"
            elif how == "opened" and issue.published != issue.opened_at:
                how = "repeated"
            self.tally.told[issue.key.kind, issue.severity, how] += 1


def _told_in(topic: Topic, record: Record) -> Topic | None:
    """The topic that a record was sent to first; None if it was rerouted and does not say from where."""
    if topic is not REROUTED:
        return topic
    origin = origin_of(record.headers)
    return origin.topic if origin is not None else None
