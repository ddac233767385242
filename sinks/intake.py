"""What a sink reads from Kafka: committed sync updates as a member of its group, and the catalogue's listings.

Each consumer is used from one thread of its own, so that the event loop never waits for Kafka. What a rebalance needs
of the loop (finish what is under way, say what may be committed) is asked for from that thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from topics.catalogue import ITEMS, REPORTS, SYNC
from topics.codec import ItemRemoved, decode
from topics.events import Item

_T = TypeVar("_T")
SESSION_TIMEOUT_MS = 6_000
REVOKE_WITHIN_S = 8.0
_READ_AT_ONCE = 1000
_POLL_S = 0.1
_METADATA_S = 5.0
_ALIVE_S = 2.0
_ITEMS_POLL_S = 0.25


class MissingTopicError(Exception):
    """A topic that a sink needs is not there as it should be; one line that says what to do."""


class Owner(Protocol):
    """Who is told of partitions, on the event loop."""

    async def assigned(self, partitions: list[int]) -> None:
        """These are ours now."""

    async def revoked(self, partitions: list[int]) -> dict[int, int]:
        """These are about to go: finish them, and return what may be committed."""

    async def lost(self, partitions: list[int]) -> None:
        """These went without asking; nothing may be committed."""


def read_some(consumer: Consumer, wait_s: float) -> list[Message]:
    """What is there, as soon as anything is: `consume` alone would wait for more until its time is over."""
    first = consumer.poll(wait_s)
    return [] if first is None else [first, *consumer.consume(_READ_AT_ONCE - 1, 0)]


class Intake:
    """The consumer of `stock.sync.v1`."""

    def __init__(self, config: Mapping[str, Any], group: str, instance_id: str | None, owner: Owner) -> None:
        own: dict[str, Any] = {
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": SESSION_TIMEOUT_MS,
            "heartbeat.interval.ms": SESSION_TIMEOUT_MS // 4,
            "enable.partition.eof": True,
        }
        if instance_id is not None:
            own["group.instance.id"] = instance_id
        self._consumer = Consumer({**config, **own})
        self._owner = owner
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="intake")
        self._loop = asyncio.get_running_loop()

    async def _run(self, call: Callable[[], _T]) -> _T:
        return await self._loop.run_in_executor(self._thread, call)

    async def subscribe(self) -> None:
        """Join the group."""

        def subscribe() -> None:
            self._consumer.subscribe(
                [SYNC.name], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )

        await self._run(subscribe)

    async def read(self) -> list[Message]:
        """The next records and ends of partitions; an empty list when nothing came for a moment."""
        return await self._run(lambda: read_some(self._consumer, _POLL_S))

    async def check(self) -> None:
        """Whether Kafka answers and our topics are there. Raises KafkaException, or MissingTopicError."""
        await self._run(self._check)

    def _check(self) -> None:
        counts: dict[str, int] = {}
        for topic in (SYNC, ITEMS, REPORTS):
            found = self._consumer.list_topics(topic.name, timeout=_METADATA_S).topics[topic.name]
            if found.error is not None:
                raise MissingTopicError(f"{topic.name}: does not exist; create it with: python -m topics apply")
            counts[topic.name] = len(found.partitions)
        if len(set(counts.values())) > 1:
            shown = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise MissingTopicError(f"topics differ in their number of partitions: {shown}")

    async def alive(self) -> None:
        """Whether Kafka answers, soon. Raises KafkaException."""
        await self._run(lambda: self._consumer.list_topics(SYNC.name, timeout=_ALIVE_S))

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit, and wait until it is done. Raises KafkaException."""
        await self._run(lambda: self._commit(offsets))

    async def close(self) -> None:
        """Leave the group; the owner is asked for a last commit."""
        await self._run(self._consumer.close)
        self._thread.shutdown(wait=False)

    def _commit(self, offsets: Mapping[int, int]) -> None:
        if offsets:
            places = [TopicPartition(SYNC.name, p, offset) for p, offset in offsets.items()]
            self._consumer.commit(offsets=places, asynchronous=False)

    def _ask(self, question: Awaitable[_T]) -> _T:
        async def answer() -> _T:
            return await question

        return asyncio.run_coroutine_threadsafe(answer(), self._loop).result(REVOKE_WITHIN_S)

    def _on_assign(self, _: Consumer, places: list[TopicPartition]) -> None:
        self._ask(self._owner.assigned([place.partition for place in places]))

    def _on_revoke(self, _: Consumer, places: list[TopicPartition]) -> None:
        offsets = self._ask(self._owner.revoked([place.partition for place in places]))
        try:
            self._commit(offsets)
        except KafkaException:
            return  # the next owner reads a little again; all it sends is absolute

    def _on_lost(self, _: Consumer, places: list[TopicPartition]) -> None:
        self._ask(self._owner.lost([place.partition for place in places]))


class Listings:
    """SKU -> the ids of its listing on one channel, from `catalog.items.v1`; read to the end before any push."""

    def __init__(
        self,
        config: Mapping[str, Any],
        channel: str,
        usable: Callable[[Mapping[str, Any]], bool],
        changed: Callable[[list[str]], None],
    ) -> None:
        own = {
            "group.id": f"listings-{channel}",  # asked for by the client; it joins no group and commits nothing
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
        self._consumer = Consumer({**config, **own})
        self._channel = channel
        self._usable = usable
        self._changed = changed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="listings")
        self._loop = asyncio.get_running_loop()
        self._listings: dict[int, dict[str, Mapping[str, Any]]] = {}
        self._where: dict[str, int] = {}
        self._loading: set[int] = set()

    @property
    def loaded(self) -> bool:
        """Whether the listings of all our partitions are known."""
        return not self._loading

    def get(self, sku: str) -> Mapping[str, Any] | None:
        """The ids of a SKU; None where the channel cannot be told about it."""
        partition = self._where.get(sku)
        return None if partition is None else self._listings[partition].get(sku)

    def __len__(self) -> int:
        return len(self._where)

    async def add(self, partitions: list[int]) -> None:
        """Read these partitions from their beginning."""
        new = [p for p in partitions if p not in self._listings]
        self._loading |= set(new)
        self._listings.update({p: {} for p in new})
        places = [TopicPartition(ITEMS.name, p, OFFSET_BEGINNING) for p in new]
        if places:
            await self._run(lambda: self._consumer.incremental_assign(places))

    async def remove(self, partitions: list[int]) -> None:
        """Forget these partitions."""
        gone = [p for p in partitions if p in self._listings]
        for partition in gone:
            for sku in self._listings.pop(partition):
                self._where.pop(sku, None)
        self._loading -= set(gone)
        places = [TopicPartition(ITEMS.name, p) for p in gone]
        if places:
            await self._run(lambda: self._consumer.incremental_unassign(places))

    async def follow(self) -> None:
        """Read for ever."""
        while True:
            skus: list[str] = []
            for message in await self._run(lambda: read_some(self._consumer, _ITEMS_POLL_S)):
                partition = message.partition()
                if partition not in self._listings:
                    continue
                error = message.error()
                if error is None:
                    skus += self._take(partition, message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    self._loading.discard(partition)
            self._changed(skus)

    def _take(self, partition: int, message: Message) -> list[str]:
        item = decode(ITEMS, message.key(), message.value(), message.timestamp()[1])
        if isinstance(item, Item):
            listing = item.listings.get(self._channel)
            if listing is not None and self._usable(listing):
                self._listings[partition][item.sku] = listing
                self._where[item.sku] = partition
                return [item.sku]
            self._forget(partition, item.sku)
        elif isinstance(item, ItemRemoved):
            self._forget(partition, item.sku)
        return []  # what cannot be read is the worker's to bury

    def _forget(self, partition: int, sku: str) -> None:
        self._listings[partition].pop(sku, None)
        self._where.pop(sku, None)

    async def _run(self, call: Callable[[], _T]) -> _T:
        return await self._loop.run_in_executor(self._thread, call)

    async def close(self) -> None:
        """Close the consumer."""
        await self._run(self._consumer.close)
        self._thread.shutdown(wait=False)
