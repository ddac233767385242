"""`python -m streams verify`: fold the input logs again from their start and compare, SKU by SKU, with the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from streams.core.ledger import Partition
from streams.core.numbers import numbers
from streams.core.rows import decode_row
from streams.core.stock import Stock
from streams.reader import Reader, ReadError
from topics.catalogue import BY_NAME, MOVEMENTS, REROUTED
from topics.policy import Policy

REPLAYED = (*MOVEMENTS, REROUTED)
"""What makes stock. Order between topics does not matter; counts stand in the first, so memory is needed only there."""
CHUNK = 5_000


class Difference(NamedTuple):
    """A SKU whose live row says other than its log."""

    sku: str
    what: str
    live: object
    replayed: object


class Outcome(NamedTuple):
    """What was compared."""

    skus: int
    records: int
    differences: list[Difference]


def verify(reader: Reader, policy: Policy, progress: Callable[[int], None]) -> Outcome:
    """Replay all partitions.

    Raises:
        ReadError: Kafka does not answer, or its retention has deleted the start of an input.
    """
    skus = records = 0
    differences: list[Difference] = []
    for number in range(reader.partitions):
        rows, positions = reader.table(number)
        replayed = Partition(number, reader.partitions, policy)
        for topic in REPLAYED:
            first, end = reader.start_of(topic.name, number), positions.get(topic.name, 0)
            if first:
                raise ReadError(f"{topic.name} partition {number}: its first {first} records were deleted by retention")
            for chunk in _chunks(reader, topic.name, number, end):
                replayed.fold(BY_NAME[topic.name], chunk, chunk[-1].offset + 1)
                replayed.close()
                records += len(chunk)
                progress(records)
        live = {key.decode(): decode_row(value) for key, value in rows.items()}
        skus += len(live)
        differences += _compare(live, replayed)
    return Outcome(skus, records, differences)


def _chunks(reader: Reader, topic: str, number: int, end: int) -> Iterator[list]:  # type: ignore[type-arg]
    chunk = []
    for entry in reader.scan(topic, number, until=end):
        chunk.append(entry)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _compare(live: dict[str, Stock], replayed: Partition) -> Iterator[Difference]:
    for sku in sorted(live.keys() | {key.decode() for key in replayed.rows}):
        left, right = live.get(sku) or Stock(sku), replayed.stock(sku) or Stock(sku)
        for what, a, b in _facts(left, right):
            if a != b:
                yield Difference(sku, what, a, b)


def _facts(left: Stock, right: Stock) -> Iterator[tuple[str, object, object]]:
    yield "movements applied", left.movements, right.movements
    for name in ("sold", "cancelled", "shipped", "returned"):
        yield name, getattr(left, name), getattr(right, name)
    yield "balances", numbers(left).locations, numbers(right).locations
    yield "on hand", numbers(left).on_hand, numbers(right).on_hand
    yield "in transit", numbers(left).in_transit, numbers(right).in_transit
