"""Movements through real topics and a real worker: what the contract publishes comes out of stock.sync.v1."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import Any

import orjson

from tests.builders.events import (
    acknowledge,
    adjusted,
    cancelled,
    counted,
    item,
    received,
    reclassified,
    reopen,
    resolve,
    resync,
    returned,
    shipped,
    sold,
    transfer_received,
    transfer_sent,
)
from tests.integration.worker import POLICY, Raw, Worker, at, newest, produce, read, syncs, wait_applied, workers
from tests.kafka import wait_until
from topics.catalogue import DISCREPANCIES, ITEMS, SYNC
from topics.codec import decode_discrepancy
from topics.events import Event
from topics.updates import Discrepancy, SyncUpdate


def discrepancies(kafka: str) -> list[Discrepancy]:
    return [decode_discrepancy(message.value() or b"") for message in read(kafka, DISCREPANCIES)]


def wait_told(kafka: str, kind: str, status: str) -> Discrepancy:
    """The record that says so, once it stands there."""
    found: list[Discrepancy] = []

    def told() -> bool:
        found[:] = [d for d in discrepancies(kafka) if d.kind == kind and d.status == status]
        return bool(found)

    wait_until(told, 15, f"{kind} is {status}")
    return found[-1]


def same_as_published(worker: Worker, update: SyncUpdate, kafka: str) -> None:
    """The API's object is the last record's, byte for byte of its JSON."""
    answer = worker.get(f"/api/stock/{update.sku}")
    assert answer.status == 200
    last = [m.value() for m in read(kafka, SYNC) if m.key() == update.sku.encode()][-1]
    assert answer.json == orjson.loads(last or b"")


def test_the_published_scenarios(kafka: str, tmp_path: Path) -> None:
    """Square: 97, 90, 90, 88. IBM: 101, 99, 99. An unknown SKU is a 404."""
    square, ibm = "SQUARE", "IBM"
    with workers(kafka, tmp_path) as worker:
        worker.start().ready()
        produce(kafka, [received(square, 100, at("13:00")), received(ibm, 102, at("12:00"))])
        shown: dict[str, list[int]] = {square: [], ibm: []}
        for events in zip_longest(
            [
                shipped(square, 3, at("13:10")),
                counted(square, 90, at("13:30")),
                shipped(square, 2, at("13:20")),
                adjusted(square, -2, at("13:40")),
            ],
            [adjusted(ibm, -1, at("12:04")), counted(ibm, 100, at("12:03")), adjusted(ibm, -2, at("12:02"))],
        ):
            now = [event for event in events if event is not None]
            produce(kafka, now)
            wait_applied(kafka, worker)
            for event in now:
                shown[event.sku].append(worker.get(f"/api/stock/{event.sku}").json["on_hand"])
        assert shown == {square: [97, 90, 90, 88], ibm: [101, 99, 99]}
        for update in newest(kafka).values():
            same_as_published(worker, update, kafka)
        assert worker.get("/api/stock/NOBODY").status == 404
        assert worker.get("/api/stock/NOBODY").json["sku"] == "NOBODY"
        assert worker.get("/livez").status == 200
        assert b"stockstream" in worker.get("/").body
        assert worker.stop() == 0, worker.text()


def test_all_movements_items_and_commands(kafka: str, tmp_path: Path) -> None:
    """Three movement topics into one row; the catalogue chooses channels; people work on what disagrees."""
    sku = "RETRO-CLOCK"
    movements: list[Event] = [
        received(sku, 20, at("10:00")),
        received(sku, 4, at("10:00"), condition="damaged"),
        sold(sku, 6, at("10:10")),
        cancelled(sku, 1, at("10:11")),
        shipped(sku, 2, at("10:20")),
        transfer_sent(sku, 5, "T-1", at("10:30")),
        transfer_received(sku, 3, "T-1", at("10:40")),
        returned(sku, 1, "inspect", at("10:50")),
        returned(sku, 1, "missing", at("10:50")),
        reclassified(sku, 1, "damaged", "sellable", at("11:00")),
    ]
    with workers(kafka, tmp_path) as worker:
        worker.start().ready()
        produce(kafka, [item(sku, "12.50", safety_stock=2, listings={"outlet": {}})])
        wait_applied(kafka, worker)
        assert not syncs(kafka), "the catalogue alone publishes nothing"
        produce(kafka, movements)
        wait_applied(kafka, worker)
        update = newest(kafka)[sku]
        assert update.model_dump(include={"sellable", "on_hand", "reserved", "available"}) == {
            "sellable": 20 - 2 - 5 + 3 + 1,
            "on_hand": 17 + 3 + 1,
            "reserved": 6 - 1 - 2,
            "available": 14,
        }
        assert update.conditions.model_dump() == {"quality_control": 1, "damaged": 3, "in_transit": 2}
        assert update.locations == {"AMS-1": 14, "BER-1": 3}
        assert {name: c.quantity for name, c in update.channels.items()} == {"outlet": (17 - 3 - 2) // 2}
        assert set(update.caused_by) <= {movement.event_id for movement in movements}
        same_as_published(worker, update, kafka)

        produce(kafka, [Raw(ITEMS, sku.encode(), None)])
        wait_applied(kafka, worker)
        removed = newest(kafka)[sku]
        assert set(removed.channels) == {"shopify", "outlet"}
        assert removed.version > update.version
        produce(kafka, [resync(sku, "shopify", at("12:00"))])
        wait_applied(kafka, worker)
        again = newest(kafka)[sku]
        assert again.version == removed.version + 1
        assert again.model_dump(exclude={"version", "caused_by"}) == removed.model_dump(
            exclude={"version", "caused_by"}
        ) | {"caused_by_count": again.caused_by_count}
        _people(kafka, worker, sku)
        assert worker.stop() == 0


def _people(kafka: str, worker: Worker, sku: str) -> None:
    opened = wait_told(kafka, "refund_without_goods", "opened")
    short = wait_told(kafka, "transfer_short", "opened")  # by ticks, after its grace
    assert (short.expected, short.observed, short.difference, short.reference) == (5, 3, -2, "T-1")
    found = opened.discrepancy_id
    produce(kafka, [acknowledge(sku, found, at("12:01"))])
    assert wait_told(kafka, "refund_without_goods", "acknowledged").discrepancy_id == found
    produce(kafka, [resolve(sku, found, at("12:02"), note="paid back")])
    resolution = wait_told(kafka, "refund_without_goods", "resolved").resolution
    assert resolution is not None
    assert (resolution.by, resolution.note) == ("ann", "paid back")
    produce(kafka, [reopen(sku, found, at("12:03"))])
    assert wait_told(kafka, "refund_without_goods", "reopened").discrepancy_id == found
    produce(kafka, [transfer_received(sku, 2, "T-1", at("12:04"))])
    ended = wait_told(kafka, "transfer_short", "resolved")
    assert ended.resolution is not None
    assert ended.resolution.auto
    statuses = {d["discrepancy_id"]: d["status"] for d in worker.get("/api/discrepancies").json["discrepancies"]}
    assert statuses[found] == "reopened"
    listed = worker.get("/api/discrepancies?kind=refund_without_goods&status=reopened&sku=RETRO-CLOCK").json
    assert [d["discrepancy_id"] for d in listed["discrepancies"]] == [found]
    assert worker.get("/api/discrepancies?status=acknowledged").json["discrepancies"] == []


def test_a_changed_policy_republishes_what_it_changes(kafka: str, tmp_path: Path) -> None:
    """At the next start, with higher versions; a SKU of which nothing shows differently stays silent."""
    changed: dict[str, Any] = {**POLICY, "channels": {**POLICY["channels"], "outlet": {"kind": "webhook", "cap": 3}}}  # type: ignore[dict-item]
    skus = [f"SKU-{n}" for n in range(30)]
    with workers(kafka, tmp_path) as worker:
        worker.start().ready()
        produce(kafka, [received(sku, n + 1, at("10:00")) for n, sku in enumerate(skus)])
        wait_applied(kafka, worker)
        before = newest(kafka)
        assert worker.stop() == 0, worker.text()
        worker.policy(changed)
        worker.start().ready()
        expected = {sku: min(3, n + 1) for n, sku in enumerate(skus)}
        wait_until(
            lambda: {sku: update.channels["outlet"].quantity for sku, update in newest(kafka).items()} == expected,
            15,
            "all are shown by the new policy",
        )
        after = newest(kafka)
        for sku in skus:
            old, new = before[sku].channels["outlet"], after[sku].channels["outlet"]
            assert after[sku].version - before[sku].version == (1 if old != new else 0), sku
        assert worker.stop() == 0
