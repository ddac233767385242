"""What a sink writes to Kafka: reports of what the channel said, and dead letters. Delivery is awaited, always."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from sinks.channel import Wanted
from topics.catalogue import REPORTS
from topics.codec import encode
from topics.dead_letters import DeadLetter
from topics.events import Confirmed, Observed, Rejected, Report
from topics.refusals import printable
from topics.values import MAX_QUANTITY

DELIVERY_TIMEOUT_MS = 120_000
"""A Kafka that takes nothing for this long ends the sink with nothing committed; whoever runs it starts it again."""
_REASON_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class Note:
    """One record to be written."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class Reports:
    """Reports of one channel. Each has an id of its own: the same id with another content would be a conflict."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._source = f"sink-{channel.lower()}"[:64]

    def _common(self, sku: str, at: datetime) -> dict[str, Any]:
        own = {"event_id": uuid4().hex, "source": self._source, "channel": self._channel}
        return {**own, "sku": sku, "occurred_at": at}

    def confirmed(self, item: Wanted, at: datetime) -> Confirmed:
        """The channel shows what the version asked for."""
        common = self._common(item.sku, at)
        return Confirmed(type="confirmed", version=item.version, quantity=item.quantity, **common)

    def rejected(self, item: Wanted, reason: str, at: datetime) -> Rejected:
        """The channel refused the version for good."""
        common = self._common(item.sku, at)
        why = printable(reason or "refused", _REASON_CHARACTERS)
        return Rejected(type="rejected", version=item.version, quantity=item.quantity, reason=why, **common)

    def observed(self, sku: str, quantity: int, at: datetime) -> Observed:
        """The channel was seen to show this; what it shows below zero is reported as zero."""
        common = self._common(sku, at)
        return Observed(type="observed", quantity=min(max(0, quantity), MAX_QUANTITY), **common)


def as_note(report: Report) -> Note:
    """A report's record."""
    return Note(REPORTS.name, report.sku.encode(), encode(report))


def as_letter(letter: DeadLetter) -> Note:
    """A dead letter's record."""
    return Note(letter.topic, letter.key, letter.value, letter.headers)


class Outbox:
    """A producer whose `write` returns when Kafka has everything."""

    def __init__(self, config: dict[str, Any]) -> None:
        own = {
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 5,
            "message.timeout.ms": DELIVERY_TIMEOUT_MS,
        }
        self._producer = Producer({**config, **own})
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="outbox", daemon=True)
        self._thread.start()

    async def write(self, notes: Sequence[Note]) -> None:
        """Write these records in order; raises KafkaException when one of them cannot be delivered."""
        loop = asyncio.get_running_loop()
        futures = [self._produce(note, loop.create_future(), loop) for note in notes]
        await asyncio.gather(*[await future for future in futures])

    async def _produce(
        self, note: Note, future: asyncio.Future[None], loop: asyncio.AbstractEventLoop
    ) -> asyncio.Future[None]:
        def delivered(error: KafkaError | None, _: Message) -> None:
            loop.call_soon_threadsafe(_conclude, future, error)

        while True:
            try:
                self._producer.produce(
                    note.topic, key=note.key, value=note.value, headers=list(note.headers), on_delivery=delivered
                )
            except BufferError:
                await asyncio.sleep(0.05)  # the producer's queue is full: its thread is emptying it
            else:
                return future

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(0.1)

    def close(self, timeout_s: float) -> None:
        """Give what is still queued a last chance; what was not delivered is not committed either."""
        self._closing.set()
        self._thread.join(1.0)
        self._producer.flush(timeout_s)


def _conclude(future: asyncio.Future[None], error: KafkaError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(KafkaException(error))


def notes_of(reports: Iterable[Report]) -> list[Note]:
    """The records of these reports."""
    return [as_note(report) for report in reports]
