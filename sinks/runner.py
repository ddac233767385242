"""One channel's sink: read, coalesce, push, report, commit. At least once, and every repetition is harmless.

Order is everything here: an offset is committed after the report of its update is in Kafka, which is after the channel
has confirmed it. Killed anywhere in between, the sink asks the channel again for the same absolute quantities.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message

from sinks.channel import Channel
from sinks.delivery import Delivery, Update
from sinks.http import HttpSender
from sinks.intake import Intake, Listings
from sinks.metrics import Metrics, percentiles
from sinks.outbox import Outbox, as_letter, notes_of
from sinks.pace import Pace, Schedule
from sinks.push import Pusher
from sinks.records import dead_letter, read_update
from sinks.settings import Endpoint, SinkSettings
from topics.events import Report
from topics.refusals import Bad

COMMIT_EVERY_S = 0.5
KAFKA_LOOK_EVERY_S = 5.0
FINISH_WITHIN_S = 4.0
"""After SIGTERM, for the calls that are out: with the last commit and leaving the group it stays below 10 s."""
LEAVE_WITHIN_S = 2.5
FLUSH_WITHIN_S = 1.0
CATCH_UP_S = 30.0
"""New partitions: after this long the newest that was read goes out, although there is more to read."""
_BREAKER = {"closed": 0, "half_open": 1, "open": 2}

log = structlog.get_logger()


class Sink:
    """All parts of one channel's sink, and their life."""

    def __init__(
        self,
        kind: str,
        channel: Channel,
        endpoint: Endpoint,
        settings: SinkSettings,
        kafka: Mapping[str, Any],
        schedule: Schedule | None = None,
    ) -> None:
        self.kind = kind
        self.channel = channel
        self.metrics = Metrics(channel.name)
        self._stop = asyncio.Event()
        self._draining = False
        self.stuck = False
        """A consumer's thread waits for a Kafka that does not answer."""
        self._group = f"{settings.app_id}-sink-{channel.name}"
        self._listings = (
            Listings(kafka, channel.name, channel.lists, self._listed) if channel.limits.needs_listing else None
        )
        self._delivery = Delivery(self._listings.get if self._listings is not None else lambda _: {})
        self._pace = Pace(schedule or Schedule(), random.Random())  # noqa: S311 - jitter is no secret
        self._sender = HttpSender(endpoint.url, settings.http_timeout_s, channel.limits.concurrency)
        self._outbox = Outbox(dict(kafka))
        self._pusher = Pusher(channel, self._delivery, self._sender, self._pace, self.metrics, self._write)
        self._intake = Intake(kafka, self._group, settings.instance_id, self)
        self._owned: set[int] = set()
        self._ever_assigned = False
        self._ends: dict[int, int] = {}
        self._loaders: set[asyncio.Task[None]] = set()
        self._committed: dict[int, int] = {}
        self._kafka_error: str | None = None
        self._gauges()

    def _gauges(self) -> None:
        gauge, delivery = self.metrics.gauge, self._delivery
        gauge("circuit_state", "0 closed, 1 half open, 2 open", lambda: _BREAKER[self._pace.state(time.monotonic())])
        gauge("pending_keys", "SKUs whose newest quantity is not confirmed", lambda: delivery.pending)
        gauge("unlisted_keys", "SKUs that wait for a listing", lambda: delivery.unlisted)
        gauge("inflight_keys", "SKUs that are in a call now", lambda: delivery.in_flight)
        gauge("oldest_pending_timestamp_seconds", "when the oldest pending update was written; 0: none", self._oldest)
        gauge(
            "channel_stopped",
            "1: the channel refuses us; a person has to act",
            lambda: self._pusher.refused is not None,
        )

    def _oldest(self) -> float:
        return self._delivery.oldest_written_at() or 0.0

    # life -------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop in order, soon."""
        self._stop.set()

    async def run(self) -> None:
        """Run until `stop`, or until something fails that this process cannot mend."""
        await self._intake.check()
        await self._intake.subscribe()
        parts: list[Coroutine[Any, Any, None]] = [self._read(), self._commit_often(), self._look_after_kafka()]
        if self._listings is not None:
            parts.append(self._listings.follow())
        tasks = [asyncio.create_task(part) for part in parts]
        workers = [asyncio.create_task(self._pusher.work()) for _ in range(self.channel.limits.concurrency)]
        watched = [*tasks, asyncio.create_task(_failure_of(workers)), asyncio.create_task(_set(self._stop))]
        try:
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await self._close(watched, workers)

    async def _close(self, tasks: Sequence[asyncio.Task[Any]], workers: Sequence[asyncio.Task[None]]) -> None:
        """Finish the calls that are out, commit what they settled, leave the group."""
        self._draining = True
        self._pusher.stop()
        _, late = await asyncio.wait(workers, timeout=FINISH_WITHIN_S)
        if late:
            self._pusher.cancel()
            await asyncio.wait(late, timeout=1.0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await asyncio.wait_for(self._leave(), LEAVE_WITHIN_S)
        except TimeoutError:  # Kafka is away; the group will notice by itself
            self.stuck = True
            log.warning("left without a last commit", channel=self.channel.name)
        await self._sender.close()
        await asyncio.to_thread(self._outbox.close, FLUSH_WITHIN_S)

    async def _leave(self) -> None:
        await self._intake.close()  # first: it still asks for the listings to be given up
        if self._listings is not None:
            await self._listings.close()

    async def _commit_often(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_EVERY_S)
            await self._commit()

    async def _look_after_kafka(self) -> None:
        while True:
            await asyncio.sleep(KAFKA_LOOK_EVERY_S)
            try:
                await self._intake.alive()
                self._kafka_error = None
            except KafkaException as exc:
                self._kafka_error = exc.args[0].name()

    async def _commit(self) -> None:
        offsets = {p: o for p, o in self._delivery.commits().items() if self._committed.get(p) != o}
        if not offsets:
            return
        try:
            await self._intake.commit(offsets)
        except KafkaException as exc:  # a rebalance or a broker that is away: later, or by the next owner
            log.warning("commit failed", channel=self.channel.name, error=exc.args[0].name())
            return
        self._committed.update({p: o for p, o in offsets.items() if p in self._owned})

    # reading ----------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            messages = await self._intake.read()
            for message in messages:
                await self._take(message)
            if messages:
                self._pusher.wake()

    async def _take(self, message: Message) -> None:
        error, partition, offset = message.error(), message.partition(), message.offset()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            self._kafka_error = error.name()
            if error.fatal() or error.code() in _BEYOND_REPAIR:
                raise KafkaException(error)
            return
        if partition is None or offset is None or partition not in self._owned:
            return
        if error is not None:
            self._delivery.reached(partition, offset)
            self._ends[partition] = offset
            return
        if partition in self._ends:
            self._ends[partition] = max(self._ends[partition], offset + 1)
        update = read_update(message, self.channel.name)
        if isinstance(update, Update):
            taken = self._delivery.offer(partition, offset, update)
            if taken == "superseded":
                self.metrics.update("superseded")
            elif taken == "stale":
                self.metrics.update("stale_rejected")
            return
        if isinstance(update, Bad):
            await self._bury(message, update)
        self._delivery.reached(partition, offset + 1)

    async def _bury(self, message: Message, bad: Bad) -> None:
        await self._outbox.write([as_letter(dead_letter(message, bad, self._group))])
        self.metrics.dead_letter(bad.reason)

    async def _write(self, reports: Sequence[Report]) -> None:
        await self._outbox.write(notes_of(reports))

    def _listed(self, skus: list[str]) -> None:
        self._delivery.listed(skus)
        self._pusher.wake()

    # partitions -------------------------------------------------------------------------------------------------

    async def assigned(self, partitions: list[int]) -> None:
        """Nothing is sent before what waits is read to its end (only the newest goes out), and the listings too."""
        self._owned |= set(partitions)
        self._ever_assigned = True
        log.info("partitions assigned", channel=self.channel.name, partitions=sorted(partitions))
        if not partitions:
            return
        self._pusher.hold()
        if self._listings is not None:
            await self._listings.add(partitions)
        loader = asyncio.create_task(self._resume_when_read(time.monotonic() + CATCH_UP_S))
        self._loaders.add(loader)
        loader.add_done_callback(self._loaders.discard)

    async def _resume_when_read(self, deadline: float) -> None:
        def read() -> bool:
            if self._listings is not None and not self._listings.loaded:
                return False
            return self._owned <= self._ends.keys() or time.monotonic() > deadline

        while not read():  # noqa: ASYNC110 - two consumers' threads change it; a look now and then is enough
            await asyncio.sleep(0.02)
        self._pusher.resume()

    async def revoked(self, partitions: list[int]) -> dict[int, int]:
        """Let the calls of these partitions end, but not for long; then say how far they are settled."""
        self._pusher.hold()
        try:
            deadline = time.monotonic() + FINISH_WITHIN_S
            while self._delivery.flying_in(partitions) and time.monotonic() < deadline:  # noqa: ASYNC110 - bounded
                await asyncio.sleep(0.02)
            if self._delivery.flying_in(partitions):
                self._pusher.cancel()
                await asyncio.sleep(0)
            offsets = {p: o for p, o in self._delivery.commits().items() if p in partitions}
            await self.lost(partitions)
            return offsets
        finally:
            self._pusher.resume()

    async def lost(self, partitions: list[int]) -> None:
        """Another sink may already write these SKUs: forget them."""
        self._owned -= set(partitions)
        self._delivery.drop(partitions)
        for partition in partitions:
            self._ends.pop(partition, None)
            self._committed.pop(partition, None)
        if self._listings is not None:
            await self._listings.remove(partitions)
        log.info("partitions given up", channel=self.channel.name, partitions=sorted(partitions))

    # what is shown ----------------------------------------------------------------------------------------------

    def unready(self) -> str | None:
        """Why the sink is not ready; None: it is."""
        if self._draining or self._stop.is_set():
            return "draining"
        if self._pusher.refused is not None:
            return f"stopped: {self._pusher.refused}"
        if not self._ever_assigned:
            return "no partitions assigned yet"
        if self._listings is not None and not self._listings.loaded:
            return "listings are being read"
        if self._kafka_error is not None:
            return f"Kafka: {self._kafka_error}"
        return None

    def _lag(self) -> int | None:
        """Offsets between what is committed and what we know to be there; None before we have seen every end."""
        if not self._owned <= self._ends.keys():
            return None
        return sum(max(0, self._ends[p] - self._committed.get(p, 0)) for p in self._owned)

    def status(self) -> dict[str, Any]:
        """Everything that a person or the demo wants to know."""
        now, metrics, delivery = time.monotonic(), self.metrics, self._delivery
        breaker = self._pace.state(now)
        refused, unready = self._pusher.refused, self.unready()
        state = "stopped" if refused else "running" if unready is None else "starting"
        if state == "running" and (breaker != "closed" or self._pace.wait_s(now) > 0):
            state = "waiting"
        oldest = delivery.oldest_written_at()
        positions = delivery.commits()
        return {
            "channel": self.channel.name,
            "kind": self.kind,
            "group": self._group,
            "state": "draining" if self._draining else state,
            "reason": refused or unready,
            "breaker": breaker,
            "wait_seconds": round(self._pace.wait_s(now), 3),
            "partitions": sorted(self._owned),
            "pending": delivery.pending,
            "in_flight": delivery.in_flight,
            "unlisted": delivery.unlisted,
            "listings": len(self._listings) if self._listings is not None else None,
            "oldest_pending_at": datetime.fromtimestamp(oldest, UTC).isoformat() if oldest else None,
            "updates": dict(metrics.updates),
            "requests": dict(metrics.requests),
            "reports": dict(metrics.reports),
            "dead_letters": dict(metrics.dead_letters),
            **metrics.counts,
            "freshness_seconds": percentiles(metrics.fresh_s),
            "delivery_seconds": percentiles(metrics.delivery_s),
            "offsets": {
                str(p): {"settled": o, "committed": self._committed.get(p), "end": self._ends.get(p)}
                for p, o in positions.items()
            },
            "lag": self._lag(),
        }


_BEYOND_REPAIR = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError._AUTHENTICATION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.FENCED_INSTANCE_ID,
}


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def _failure_of(workers: Sequence[asyncio.Task[None]]) -> None:
    """Ends only when a worker failed: those of a stopped channel end in order, and the sink goes on showing why."""
    done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()
    await asyncio.Event().wait()
