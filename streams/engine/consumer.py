"""Faust's consumer with chunks of records as its messages, and our own idea of where each partition stands.

Every fetched slice knows the position it was read from; one that does not continue the last is refused and read again.
Sources are sought to the positions of the changelog, never to the group's committed offsets: those are for lag tools.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Any

import structlog
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from streams.engine.crash import OffsetJumpError, crash
from streams.engine.runtime import Runtime
from streams.engine.slices import Slice, SliceThread
from streams.engine.writer import PartitionWriter
from topics.catalogue import CLOCK

log = structlog.get_logger("stockstream.engine")

MAX_REFETCH = 20
"""Times in a row that a partition may be refused before we give up: the records are not there any more."""


class BatchMessage(ConsumerMessage):
    """A chunk of one partition: [start, end) is the range that it covers; `epoch` dies with every seek."""

    __slots__ = ("end", "epoch", "records", "start")


class BatchConsumer(driver.Consumer):
    """See the module. The agent calls `take` and `finish` for each message."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.epoch = 0
        self._expected: dict[TP, int] = {}
        self._inflight: dict[TP, deque[BatchMessage]] = defaultdict(deque)
        self._busy: BatchMessage | None = None
        self._refused: dict[TP, int] = defaultdict(int)
        self._room, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._offered: dict[TP, int] = {}

    @property
    def runtime(self) -> Runtime:
        """The engine that this consumer is a part of."""
        return self.app.runtime  # type: ignore[no-any-return]

    def _new_consumer_thread(self) -> SliceThread:
        return SliceThread(self, loop=self.loop, beacon=self.beacon)

    # -- the agent's side ------------------------------------------------------------------------------------
    def take(self, message: BatchMessage) -> bool:
        """True: work on it. False: superseded by a seek, its range will come again."""
        if message.epoch != self.epoch:
            return False
        first = self._inflight[message.tp][0]
        if first is not message:
            crash("out_of_order", OffsetJumpError(f"{message.tp}: {message.start} was delivered before {first.start}"))
        self._busy = message
        self._idle.clear()
        return True

    def finish(self, message: BatchMessage) -> None:
        """Everything that this chunk caused is in its partition's window."""
        if self._busy is message:
            self._busy = None
            self._idle.set()
        if message.epoch == self.epoch:
            self._inflight[message.tp].popleft()
            self._room.set()

    # -- fetching --------------------------------------------------------------------------------------------
    @property
    def _held(self) -> bool:
        """Sources stay shut until Faust has sought, cleared its queues and said that the rebalance is over."""
        return bool(self.app.rebalancing)

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                if not self.flow_active:
                    await self.wait(self.can_resume_flow)
                # Faust resumes the flow before it seeks, and clears the queues after it. An empty set would mean all.
                wanted = frozenset(
                    tp for tp in self._get_active_partitions() if self._is_changelog_tp(tp) or not self._held
                )
                if not wanted:
                    await self.sleep(0.02)
                    continue
                for tp, part in (await self._getmany(active_partitions=wanted, timeout=1.0)).items():
                    await self._deliver(tp, part)
                await asyncio.sleep(0)
        except (asyncio.CancelledError, *self.consumer_stopped_errors):
            if not self.app.should_stop:
                raise
        except Exception as exc:
            crash("fetch_failed", exc)

    async def _deliver(self, tp: TP, part: Slice) -> None:
        source = not self._is_changelog_tp(tp)
        position, records = part.start, part.records
        expected = self._expected.get(tp)
        if self._stale(part, source):
            return
        if expected is not None and position != expected:
            if position > expected:
                await self._refuse(tp, expected, position)
                return
            records = [record for record in records if record.offset >= expected]
            position = expected
        self._refused.pop(tp, None)
        size, epoch = self.runtime.options.chunk, self.epoch
        for i in range(0, len(records) or int(position < part.end), size):
            chunk = records[i : i + size]
            # the last chunk covers the control records behind it, too
            end = chunk[-1].offset + 1 if i + size < len(records) else part.end
            message = self._message(tp, chunk, position, end, part.generation)
            if source and not await self._admit(message, part):
                return
            self._expected[tp] = position = end
            await self.wait_first(self.callback(message), self.suspend_flow.wait())
            if epoch != self.epoch or self._stale(part, source):
                return

    def _message(self, tp: TP, chunk: list[Any], start: int, end: int, generation: int) -> BatchMessage:
        message = BatchMessage(
            tp.topic, tp.partition, end - 1, 0.0, 0, [], None, b"", None, 0, 0, tp, generation_id=generation
        )
        message.records, message.start, message.end, message.epoch = chunk, start, end, self.epoch
        return message

    async def _admit(self, message: BatchMessage, part: Slice) -> bool:
        """Back-pressure: wait until few enough chunks are under way. False: a seek came in between."""
        while sum(map(len, self._inflight.values())) >= self.runtime.options.max_inflight:
            self._room.clear()
            await self.wait_first(self._room.wait(), self.suspend_flow.wait())
            if message.epoch != self.epoch or self._stale(part, source=True):
                return False
        self._inflight[message.tp].append(message)
        return True

    def _stale(self, part: Slice, source: bool) -> bool:
        return (
            not self.flow_active
            or part.generation != self.app.consumer_generation_id
            or (source and (self._held or not self.runtime.ledgers))
        )

    async def _refuse(self, tp: TP, expected: int, position: int) -> None:
        self._refused[tp] += 1
        self.runtime.observer.jumped(tp.topic)
        log.warning("slice_refused", topic=tp.topic, partition=tp.partition, expected=expected, got=position)
        if self._refused[tp] > MAX_REFETCH:
            crash("records_gone", OffsetJumpError(f"{tp}: {expected} cannot be read, the log continues at {position}"))
        try:
            await self.seek_wait({tp: expected})
        except IllegalStateError:
            log.info("partition_lost", topic=tp.topic, partition=tp.partition)

    # -- seeking ---------------------------------------------------------------------------------------------
    def _reset(self) -> None:
        self.epoch += 1
        self._inflight.clear()
        self._expected = {tp: offset for tp, offset in self._expected.items() if self._is_changelog_tp(tp)}
        self._room.set()

    async def perform_seek(self) -> None:
        """Seek each source to the position that its ledger was read up to, or to the start of its log."""
        await self.wait_empty()
        sources = [tp for tp in map(_tp, self.assignment()) if not self._is_changelog_tp(tp)]
        if not sources:
            return
        starts = {_tp(tp): offset for tp, offset in (await self.earliest_offsets(*sources)).items()}
        wanted: dict[TP, int] = {}
        for tp in sources:
            ledger, first = self.runtime.ledgers.get(tp.partition), starts.get(tp) or 0
            if ledger is None:
                return  # another rebalance began; its own seek follows
            position = ledger.positions.get(tp.topic)
            if position is not None and position < first:
                if tp.topic != CLOCK.name:
                    crash("retention_overtook", OffsetJumpError(_gap(tp, position, first)))
                # Ticks are kept for a day: a worker that was away for longer goes on with the next one.
                log.info("ticks_skipped", partition=tp.partition, ticks=first - position)
                position = ledger.positions[tp.topic] = first
            wanted[tp] = first if position is None else position
        await self.seek_wait(wanted)
        self._expected.update(wanted)
        self._committed_offset.update(wanted)

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """As Faust's, which asks for an offset before a changelog's start once its head was deleted."""
        wanted = {_tp(tp): offset for tp, offset in partitions.items()}
        changelogs = [tp for tp in wanted if self._is_changelog_tp(tp)]
        if changelogs:
            first = {_tp(tp): offset for tp, offset in (await self.earliest_offsets(*changelogs)).items()}
            wanted.update({tp: max(wanted[tp], first.get(tp) or 0) for tp in changelogs})
        await super().seek_wait(wanted)
        self._expected.update({tp: offset for tp, offset in wanted.items() if self._is_changelog_tp(tp)})

    # -- fencing and committing ------------------------------------------------------------------------------
    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002
        """Tell the group how far we are. Advisory: positions travel with the rows."""
        offsets: dict[TP, int] = {}
        for writer in self.runtime.writers.values():
            offsets.update(writer.committable)
        offsets = {tp: end for tp, end in offsets.items() if self._offered.get(tp) != end and tp in self.assignment()}
        if not offsets:
            return False
        committed = bool(await self._commit(offsets))
        if committed:  # else they are offered again
            self._offered.update(offsets)
        return committed

    async def wait_empty(self) -> None:
        """Accept nothing more, finish the running chunk, commit the windows. Faust calls it on stop, too."""
        self._reset()
        limit = self.runtime.options.drain_timeout
        try:
            await asyncio.wait_for(self._idle.wait(), limit)
            await asyncio.wait_for(asyncio.gather(*(w.flush() for w in self.runtime.writers.values())), limit)
        except TimeoutError:
            crash("not_drained", f"a chunk or a transaction took more than {limit:.0f} s")
        await self.force_commit()
        self._unacked_messages.clear()

    async def close_writers(self) -> None:
        """Let go of everything that we own."""
        writers = list(self.runtime.writers.values())
        self.runtime.writers.clear()
        self.runtime.ledgers.clear()
        await asyncio.gather(*(writer.close() for writer in writers))

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Finish the windows, commit them, then drop."""
        try:
            if revoked:
                self.stop_flow()
                self.app.flow_control.suspend()
                self.app.flow_control.clear()
            await self.wait_empty()
            await super().on_partitions_revoked(revoked)
            await self.close_writers()
        except Exception as exc:  # aiokafka would log it and go on
            crash("revoke_failed", exc)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Fence first: Faust looks up the changelog's end after this."""
        try:
            await self.close_writers()
            self._offered.clear()
            numbers = sorted({tp.partition for tp in assigned if not self._is_changelog_tp(tp)})
            changelog = next(iter(self.app.tables.changelog_topics))
            writers = {number: PartitionWriter(self.app, self.runtime, number, changelog) for number in numbers}
            starting = asyncio.gather(*(writer.start() for writer in writers.values()))
            await asyncio.wait_for(starting, self.runtime.options.drain_timeout)
            self.runtime.writers.update(writers)
            self.runtime.observer.rebalanced(len(writers))
            log.info("partitions_assigned", partitions=numbers, generation=generation_id)
        except Exception as exc:
            crash("assignment_failed", exc)
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_stop(self) -> None:
        """Faust drained us before."""
        await super().on_stop()
        await self.close_writers()


def _tp(tp: Any) -> TP:
    return TP(tp[0], tp[1])


def _gap(tp: TP, position: int, first: int) -> str:
    return (
        f"{tp.topic} partition {tp.partition}: records {position} to {first - 1} ({first - position}) were deleted by "
        "Kafka's retention before they were read; stock may be wrong until the next count; nothing was applied"
    )
