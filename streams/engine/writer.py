"""The only way to write for one partition number: a window being filled, and at most one being committed.

A window is one Kafka transaction: changed rows, what is published of them, dead letters, rerouted records and, in the
changelog beside the rows, the position that all of it follows from.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.structs import TopicPartition
from faust.types import TP

from streams.core.ledger import Batch, Partition
from streams.core.outputs import Output
from streams.engine.crash import crash
from streams.engine.runtime import Runtime

log = structlog.get_logger("stockstream.engine")

SETTLE_TIMEOUT = 2.0
"""Seconds to wait for the last stable offset to reach the end, see `_settled`."""

Pairs = list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], int | None]]


class SendError(RuntimeError):
    """A record cannot be put into a batch."""


class PartitionWriter:
    """Fences the former owner at `start`, then commits windows of its partition's ledger."""

    def __init__(self, app: Any, runtime: Runtime, partition: int, changelog: str) -> None:
        self.partition = partition
        self.runtime = runtime
        self.changelog = changelog
        self.ledger: Partition | None = None
        self.last_commit = time.monotonic()
        self.committable: dict[TP, int] = {}
        self.changelog_end = -1
        self.producer = app.producer._new_producer(transactional_id=runtime.transactional_id(partition))
        self._events = 0
        self._opened = 0.0
        self._filled, self._urgent, self._clean = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._clean.set()
        self._landed = asyncio.Event()
        self._landed.set()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns once the former owner is fenced and its open transaction is aborted everywhere."""
        await self.producer.start()
        await self._settled()
        self._task = asyncio.ensure_future(self._run())

    async def _settled(self) -> None:
        """Nobody else can write now, so the last stable offset must be the end of the changelog.

        It is not when the coordinator skipped the markers of a decided transaction (seen when a broker came back within
        its session). Our next marker decides those records too; as the position stands in the changelog, both outcomes
        are right, because state and position are read from the same stable prefix.
        """
        deadline = time.monotonic() + SETTLE_TIMEOUT
        while True:
            try:
                high, stable = [await self._end(isolation) for isolation in (0, 1)]
                if stable >= high:
                    return
                seen = f"last stable offset {stable}, end {high}"
            except KafkaError as exc:
                seen = repr(exc)
            if time.monotonic() > deadline:
                log.warning("changelog_unsettled", partition=self.partition, seen=seen)
                return
            await asyncio.sleep(0.05)

    async def stable_end(self) -> int:
        """Up to where the changelog is decided: what a recovery must have read."""
        return await self._end(isolation=1)

    async def _end(self, isolation: int) -> int:
        client = self.producer.client
        await client._wait_on_metadata(self.changelog)
        leader = client.cluster.leader_for_partition(TopicPartition(self.changelog, self.partition))
        request = OffsetRequest(-1, isolation, [(self.changelog, [(self.partition, -1)])])
        ((_, [(_, error, _, offset)]),) = (await client.send(leader, request)).topics
        if error:
            raise KafkaError(f"ListOffsets answered {error}")
        return int(offset)

    # -- filling ---------------------------------------------------------------------------------------------
    def add(self, events: int) -> None:
        """To be called right after a fold, without an await between."""
        if not self._events:
            self._opened = time.monotonic()
        self._events += events or 1
        self._clean.clear()
        self._filled.set()

    async def room(self) -> None:
        """Wait while the window is full."""
        options = self.runtime.options
        while self._events >= options.max_window_events or self._ledger().carried >= options.max_window_bytes:
            self._urgent.set()
            await asyncio.sleep(0.002)

    async def flush(self) -> None:
        """Wait until all that was added is durable."""
        self._urgent.set()
        await self._clean.wait()
        self._urgent.clear()

    async def landed(self) -> None:
        """Wait until no window is on its way: what the ledger tells without its open window is durable, until the next
        await. With `flush` one could wait for ever while records come in."""
        while not self._landed.is_set():
            await self._landed.wait()

    async def close(self) -> None:
        """Let go of the producer; an open transaction is aborted by the next owner."""
        if self._task is not None:
            self._task.cancel()
        self._clean.set()  # nothing will be written any more: nobody may wait for it
        self._landed.set()
        await self.producer.stop()

    # -- committing ------------------------------------------------------------------------------------------
    async def _run(self) -> None:
        try:
            while True:
                await self._filled.wait()
                await self._age()
                events, self._events = self._events, 0
                # Encoded before the next await: no later fold may show in this transaction.
                began = time.perf_counter()
                self._landed.clear()
                batch = self._ledger().close()
                self.runtime.observer.closed(time.perf_counter() - began)
                self._filled.clear()
                await asyncio.wait_for(self._commit(batch, events), self.runtime.options.commit_timeout)
                if not self._events:
                    self._clean.set()
                self._landed.set()
                await asyncio.sleep(0)  # let those look who wait for it
        except Exception as exc:  # fenced, timed out, refused: whatever it was, the transaction is void
            crash("commit_failed", exc)

    def _ledger(self) -> Partition:
        if self.ledger is None:
            raise RuntimeError(f"partition {self.partition} has no ledger yet")
        return self.ledger

    async def _age(self) -> None:
        left = self._opened + self.runtime.options.window - time.monotonic()
        if left > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), left)
        self._urgent.clear()

    async def _commit(self, batch: Batch, events: int) -> None:
        began, producer = time.monotonic(), self.producer
        await producer.begin_transaction()
        rows: Pairs = [(key, value, [], None) for key, value in batch.rows]
        sent = [(self.changelog, await self._send(self.changelog, self.partition, rows))]
        for (topic, partition), records in _by_partition(batch.outputs).items():
            sent.append((topic, await self._send(topic, partition, records)))
        # aiokafka would commit in spite of a failed batch: every future must be looked at.
        for topic, batches in sent:
            for future, count in batches:
                last = (await future).offset + count - 1
                if topic == self.changelog:
                    self.changelog_end = last
        await producer.commit_transaction()
        self.last_commit = time.monotonic()
        self.committable = {TP(topic, self.partition): end for topic, end in batch.positions.items()}
        written = len(batch.rows) + len(batch.outputs)
        self.runtime.observer.committed(self.partition, batch, events, self.last_commit - began, written)

    async def _send(self, topic: str, partition: int, records: Pairs) -> list[tuple[Any, int]]:
        """Append records in as few batches as possible; returns (future, count) pairs."""
        producer, sent = self.producer, []
        batch, count = producer.create_batch(), 0
        append = batch.append
        for key, value, headers, timestamp in records:
            if append(key=key, value=value, timestamp=timestamp, headers=headers) is None:
                batch.close()
                sent.append((await producer.send_batch(batch, topic, partition=partition), count))
                batch, count = producer.create_batch(), 0
                append = batch.append
                if append(key=key, value=value, timestamp=timestamp, headers=headers) is None:
                    raise SendError(f"a record for {topic} is larger than a batch: key {(key or b'')[:64]!r}")
            count += 1
        batch.close()
        if count:
            sent.append((await producer.send_batch(batch, topic, partition=partition), count))
        return sent


def _by_partition(outputs: list[Output]) -> dict[tuple[str, int], Pairs]:
    grouped: dict[tuple[str, int], Pairs] = {}
    for topic, partition, key, value, headers, timestamp in outputs:
        grouped.setdefault((topic, partition), []).append((key, value, [*headers], timestamp))
    return grouped
