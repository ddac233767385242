"""A long feed of movements with resends and bad records, sent at a pace by a thread, and what must come of it."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from confluent_kafka import Producer

from tests.builders.events import adjusted, cancelled, received, returned, shipped, sold
from tests.integration.worker import Raw, at, headers_of, read, record
from topics.catalogue import DEAD_LETTERS, STOREFRONT, SYNC, WAREHOUSE
from topics.codec import decode_sync
from topics.events import Event

SKUS = 150
RESENT, BAD = 0.15, 0.005


@dataclass
class Oracle:
    """Plain arithmetic over what was sent: each distinct movement once, in whatever order."""

    on_hand: Counter[str] = field(default_factory=Counter)
    owed: Counter[str] = field(default_factory=Counter)
    movements: Counter[str] = field(default_factory=Counter)
    bad: int = 0

    def book(self, event: Any) -> None:
        sign = {"received": 1, "shipped": -1, "adjusted": 1, "returned": 1}.get(event.type, 0)
        self.on_hand[event.sku] += sign * event.quantity
        self.owed[event.sku] += {"sold": 1, "cancelled": -1, "shipped": -1}.get(event.type, 0) * event.quantity
        self.movements[event.sku] += 1


def feed(seed: int, size: int) -> tuple[list[Raw], Oracle]:
    """`size` records: movements of three sources, a seventh of them sent again later, some that nobody can read."""
    rng, oracle = Random(seed), Oracle()
    records: list[Raw] = []
    sent: list[Event] = []
    start = at("00:00", days_ago=2)
    while len(records) < size:
        if sent and rng.random() < RESENT:
            records.append(record(rng.choice(sent[-2000:])))
        elif rng.random() < BAD:
            topic = rng.choice([WAREHOUSE, STOREFRONT])
            records.append(Raw(topic, f"SKU-{rng.randrange(SKUS)}".encode(), b'{"quantity":'))
            oracle.bad += 1
        else:
            event = _movement(rng, start + timedelta(seconds=len(records)))
            sent.append(event)
            oracle.book(event)
            records.append(record(event))
    return records, oracle


def _movement(rng: Random, when: Any) -> Event:
    sku, units = f"SKU-{rng.randrange(SKUS)}", rng.randint(1, 9)
    place = rng.choice(["AMS-1", "BER-1"])
    match rng.randrange(8):
        case 0 | 1:
            return received(sku, units * 3, when, place)
        case 2 | 3:
            return sold(sku, units, when)
        case 4:
            return cancelled(sku, 1, when)
        case 5:
            return adjusted(sku, -units, when, place)
        case 6:
            return returned(sku, 1, rng.choice(["restock", "inspect", "damaged"]), when, place)
        case _:
            return shipped(sku, units, when, place)


class Sender(threading.Thread):
    """Sends records at a pace, as far as it was allowed to. A context: it ends with the test."""

    def __init__(self, bootstrap: str, records: list[Raw], per_second: int) -> None:
        super().__init__(daemon=True)
        own = {"partitioner": "murmur2_random", "linger.ms": 5, "log_level": 0}
        self._producer = Producer({"bootstrap.servers": bootstrap, **own})
        self._records, self._per_second = records, per_second
        self._allowed = 0
        self._hurry, self._stopped = threading.Event(), threading.Event()
        self.sent = 0
        self.failed: list[str] = []

    def __enter__(self) -> Sender:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._producer.purge()
        self.join(10)

    @property
    def is_waiting(self) -> bool:
        """All that is allowed has been handed over."""
        return self.sent >= self._allowed

    def allow(self, share: float) -> None:
        """Go on up to this share of the feed."""
        self._allowed = round(len(self._records) * share)

    def run(self) -> None:
        step = max(1, self._per_second // 50)
        while self.sent < len(self._records) and not self._stopped.is_set():
            for raw in self._records[self.sent : min(self.sent + step, self._allowed)]:
                self._producer.produce(raw.topic.name, raw.value, raw.key, on_delivery=self._delivered)
                self.sent += 1
            self._producer.poll(0)
            if not self._hurry.is_set():
                self._stopped.wait(1 / 50)
        if not self._stopped.is_set() and self._producer.flush(30):
            self.failed.append("not all was sent")

    def _delivered(self, error: Any, _: Any) -> None:
        if error is not None:
            self.failed.append(str(error))

    def finish(self) -> None:
        """Send the rest at once."""
        self.allow(1)
        self._hurry.set()
        self.join(60)
        assert not self.is_alive()
        assert not self.failed, self.failed[:3]


def check(bootstrap: str, oracle: Oracle) -> None:
    """The stock is the oracle's, each movement counted once, no version twice or back, each dead letter once."""
    last: dict[str, Any] = {}
    for message in read(bootstrap, SYNC):
        update = decode_sync(message.value() or b"")
        before = last.get(update.sku)
        assert before is None or update.version > before.version, f"{update.sku}: {before.version} {update.version}"
        last[update.sku] = update
    assert {sku: update.on_hand for sku, update in last.items()} == dict(oracle.on_hand)
    assert {sku: update.reserved for sku, update in last.items()} == {
        sku: max(0, oracle.owed[sku]) for sku in oracle.on_hand
    }
    # a movement that shows nothing new raises the version and is not published
    assert all(update.version <= oracle.movements[sku] for sku, update in last.items())
    places = Counter(
        tuple(value for name, value in headers_of(letter) if name in PLACE) for letter in read(bootstrap, *DEAD_LETTERS)
    )
    assert set(places.values()) == ({1} if oracle.bad else set())
    assert len(places) == oracle.bad


PLACE = ("__connect.errors.topic", "__connect.errors.partition", "__connect.errors.offset")
