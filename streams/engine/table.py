"""The stock table: rows restored from the changelog in batches, then handed to the ledgers.

The changelog is read committed and its former writer was fenced before: the last record of a key is its newest row.
"""

from __future__ import annotations

import gc
import time
from typing import Any

import faust
import structlog
from faust.types import TP

from streams.core.ledger import Partition
from streams.core.rows import RowError
from streams.engine.crash import OffsetJumpError, crash
from streams.engine.memory import rebuild
from streams.engine.runtime import Runtime
from streams.engine.writer import PartitionWriter

log = structlog.get_logger("stockstream.engine")

MIGRATE_ROWS = 20_000
"""Rows that one transaction may hold when a changed policy is applied."""


class StockTable(faust.Table):
    """What Faust knows as the table. Its rows live in the ledgers; here they only pass during recovery."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._restored: dict[int, dict[bytes, bytes]] = {}
        self._position: dict[Any, int] = {}
        self._began = time.monotonic()

    @property
    def runtime(self) -> Runtime:
        """The engine that this table is a part of."""
        return self.app.runtime  # type: ignore[no-any-return]

    def apply_changelog_batch(self, batch: Any) -> None:
        """Faust's recovery hands over chunks of changelog records."""
        for event in batch:
            message = event.message
            if message.generation_id != self.app.consumer_generation_id:
                continue
            rows = self._restored.setdefault(message.partition, {})
            for record in message.records:
                if record.value is None:
                    rows.pop(record.key, None)
                else:
                    rows[record.key] = record.value
            self._position[message.tp] = message.offset
            self.runtime.progress()

    def persisted_offset(self, tp: Any) -> int:
        """The last changelog offset that the rows contain; -1 makes Faust read from the start."""
        return self._position.get(tp, -1)

    async def on_rebalance(self, *changes: Any, **generation: Any) -> None:  # noqa: ARG002 - Faust's signature
        """Everything is read anew from the changelog: another worker may have written in between."""
        self._restored.clear()
        self._position.clear()
        self._began = time.monotonic()

    async def on_recovery_completed(self, active_tps: Any, standby_tps: Any) -> None:  # noqa: ARG002
        """All rows are here: build the ledgers, read the memory back, apply a changed policy."""
        writers = dict(self.runtime.writers)
        try:
            await self._take_over(self.app.consumer_generation_id)
        except RowError as exc:
            crash("unreadable_row", exc)
        except Exception as exc:  # Faust would not look at it
            if writers == self.runtime.writers:
                crash("recovery_failed", exc)
            log.info("recovery_abandoned", why=repr(exc))  # a stop or a rebalance closed them under us

    async def _take_over(self, generation: int) -> None:
        runtime, writers = self.runtime, dict(self.runtime.writers)
        restored, self._restored = self._restored, {}
        await self._check_complete(writers, dict(self._position))
        ledgers: dict[int, Partition] = {}
        for number in writers:
            ledger = ledgers[number] = Partition(number, runtime.partitions, runtime.policy)
            ledger.poison = frozenset((topic, offset) for topic, place, offset in runtime.poison if place == number)
            try:
                ledger.load(restored.pop(number, {}))
            except RowError as exc:
                raise RowError(f"{self.changelog_topic_name} partition {number}: {exc}") from exc
            runtime.progress()
        remembered = await rebuild(runtime, ledgers)
        if generation != self.app.consumer_generation_id or writers != runtime.writers:
            return  # another rebalance began meanwhile
        runtime.ledgers.update(ledgers)
        for number, ledger in ledgers.items():
            writer = writers[number]
            writer.ledger = ledger
            while runtime.writers.get(number) is writer and ledger.migrate(MIGRATE_ROWS):
                writer.add(1)
                await writer.flush()
                runtime.progress()
        gc.freeze()  # what was restored is not walked by the garbage collector again
        seconds, rows = time.monotonic() - self._began, sum(len(ledger.rows) for ledger in ledgers.values())
        runtime.observer.recovered(rows, remembered, seconds)
        log.info("recovered", rows=rows, remembered=remembered, partitions=sorted(ledgers), seconds=round(seconds, 3))

    async def _check_complete(self, writers: dict[int, PartitionWriter], read: dict[TP, int]) -> None:
        """A ledger of half the rows would be written over the whole one: trust what was read, not that it ended."""
        for number, writer in writers.items():
            position, end = read.get(TP(self.changelog_topic_name, number), -1) + 1, await writer.stable_end()
            if position < end:
                raise OffsetJumpError(f"{self.changelog_topic_name} partition {number}: read to {position} of {end}")
