"""Fetched records that know the position from which they were read, and in which generation of the group.

Faust forgets both: a fetch that began before a rebalance may wake after it, its records dropped although the consumer's
position has moved. A slice that does not continue the last one can then be refused and read again.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

FETCH_WAIT_MS = 200
"""Faust's 1,500 ms: the long poll of the recovery delays the first fetch of the sources."""


class Slice(NamedTuple):
    """`end` is the position after the read: past the last record, and past control records behind it."""

    generation: int
    start: int
    end: int
    records: list[Any]


class SliceThread(driver.AIOKafkaConsumerThread):
    """The thread that owns the Kafka consumer; reads committed records only."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # fetches stop, and end offsets are, at the last stable offset
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: Any,
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,
    ) -> dict[TP, Slice]:
        """As Faust's, but with positions. Commit markers and aborted records move a position without a record: that is
        an empty slice."""
        if not self.consumer.flow_active:
            return {}
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        subscriptions = fetcher._subscriptions
        deadline = time.monotonic() + (timeout or 0)
        with subscriptions.fetch_context():
            while True:
                generation = self.app.consumer_generation_id
                assignment = subscriptions.subscription and subscriptions.subscription.assignment
                if not assignment:
                    return {}
                states = {tp: assignment.state_value(tp) for tp in active_partitions if tp in assignment.tps}
                start = {tp: state.position for tp, state in states.items() if state.has_valid_position}
                # timeout=0: no suspension between this look and the read
                found = await fetcher.fetched_records(active_partitions, timeout=0, max_records=max_records)
                moved = [
                    tp
                    for tp, state in states.items()
                    if tp in start and state.has_valid_position and (tp in found or state.position > start[tp])
                ]
                if moved and assignment is subscriptions.subscription.assignment:
                    return {
                        TP(*tp): Slice(generation, start[tp], states[tp].position, found.get(tp, [])) for tp in moved
                    }
                left = deadline - time.monotonic()
                if found or moved or left <= 0:
                    return {}
                waiter = fetcher._create_fetch_waiter()
                await asyncio.wait([waiter], timeout=left)
                if not waiter.done():
                    waiter.cancel()
