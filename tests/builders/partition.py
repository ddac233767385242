"""One partition in memory: rows, memory and desk around the pure rules, as a worker keeps them, without Kafka."""

from __future__ import annotations

from dataclasses import dataclass, field

from streams.core.desk import Desk, Told
from streams.core.issue import Issue
from streams.core.memory import PartitionMemory
from streams.core.numbers import Numbers, numbers
from streams.core.reports import sent
from streams.core.requests import command
from streams.core.step import Books, Verdict, step
from streams.core.stock import At, Stock
from tests.builders.events import Time, ms, policy, topic_of
from topics.events import Command, Event
from topics.policy import Policy


@dataclass
class OnePartition:
    """Feeds events to the rules in the order in which they are given; each topic's offsets ascend by one."""

    rules: Policy = field(default_factory=policy)
    limit: int | None = None
    rows: dict[str, Stock] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    log: list[tuple[Event | Command, At]] = field(default_factory=list)

    def __post_init__(self) -> None:
        memory = PartitionMemory(self.limit or self.rules.memory.records)
        self.books = Books(self.rules, memory, Desk(self.rules))

    @property
    def told(self) -> list[Told]:
        """The records about discrepancies, oldest first."""
        return self.books.desk.records

    def row(self, sku: str) -> Stock:
        """The row of a SKU, made when it is first spoken of."""
        if sku not in self.rows:
            self.rows[sku] = Stock(sku)
        return self.rows[sku]

    def feed(self, event: Event | Command, arrives: Time | None = None, topic: str | None = None) -> Verdict:
        """Read one record. `arrives`: the broker's time of it (else: when it happened)."""
        name = topic or topic_of(event).name
        at = At(name, self.positions.get(name, 0), ms(arrives if arrives is not None else event.occurred_at))
        self.log.append((event, at))
        return self.replay(event, at)

    def replay(self, event: Event | Command, at: At) -> Verdict:
        """Read a record that stands somewhere."""
        self.positions[at.topic] = at.offset + 1
        row = self.row(event.sku)
        if isinstance(event, Command):
            return command(row, event, at, self.books)
        return step(row, event, at, self.books)

    def feed_all(self, *events: Event | Command) -> list[Verdict]:
        """Read several records, each at the time when it happened."""
        return [self.feed(event) for event in events]

    def tick(self, at: Time) -> None:
        """The clock of the partition strikes."""
        self.books.desk.tick(ms(at), self.rows.get)

    def ticks(self, *times: Time) -> None:
        """The clock strikes several times."""
        for at in times:
            self.tick(at)

    def publish(self, sku: str, quantity: int, channel: str = "shopify") -> int:
        """A sync update went out; returns its version."""
        row = self.row(sku)
        sent(row.channel(channel), row.version, quantity)
        return row.version

    def numbers(self, sku: str) -> Numbers:
        """The derived numbers of a SKU."""
        return numbers(self.row(sku))

    def sellable(self, sku: str) -> int:
        """Sellable units of a SKU."""
        return self.numbers(sku).sellable

    def open(self, sku: str) -> list[Issue]:
        """The open discrepancies of a SKU."""
        return [issue for issue in self.row(sku).issues.values() if issue.is_open]

    def kinds(self, sku: str) -> list[str]:
        """The kinds of the open discrepancies of a SKU, in order."""
        return sorted(issue.key.kind for issue in self.open(sku))

    def states(self, kind: str) -> list[str]:
        """What was told of a kind: the states of its records, oldest first."""
        return [told.issue.state for told in self.told if told.issue.key.kind == kind]
