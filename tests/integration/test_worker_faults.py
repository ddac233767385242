"""Workers that are killed, stopped and joined by others in the middle of a feed: every movement counts once."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec

from tests.integration.feed import SKUS, Sender, check, feed
from tests.integration.worker import CALL_S, Worker, committed, ends, newest, wait_applied, workers
from tests.kafka import admin_client, wait_until
from topics.catalogue import MOVEMENTS, SYNC, changelog

STOPS_WITHIN_S = 10.0  # issue and quality.md: SIGTERM under load
KILLS = 3
SEED = 20261123
FENCED = '"event": "partitions_assigned"'
"""The former owner is fenced; recovery begins."""


def published(kafka: str) -> int:
    """The end of stock.sync.v1, over its partitions."""
    return sum(ends(kafka, (SYNC,)).values())


def open_transactions(kafka: str) -> int:
    """Changelog partitions with records whose transaction is not decided."""
    admin, name = admin_client(kafka), changelog("stockstream").name
    found = []
    for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED):
        places = {TopicPartition(name, number): OffsetSpec.latest() for number in range(4)}  # type: ignore[no-untyped-call]
        asked = admin.list_offsets(places, isolation_level=level, request_timeout=CALL_S)
        found.append({place.partition: future.result(CALL_S).offset for place, future in asked.items()})
    return sum(found[0][number] < found[1][number] for number in found[1])


def behind(kafka: str) -> int:
    """Movements that were sent and are not yet committed."""
    now = committed(kafka)
    return sum(end - now.get(place, 0) for place, end in ends(kafka, MOVEMENTS).items())


def _let_publish(kafka: str, worker: Worker, sender: Sender, share: float, records: int) -> None:
    """Let the feed go on up to `share`, and return in the middle of it."""
    mark = published(kafka) + records
    sender.allow(share)
    try:
        wait_until(lambda: published(kafka) > mark, 20, f"{records} records are published")
    except AssertionError as exc:
        raise AssertionError(f"{exc}\n{worker.text()}") from None


def _answers_like_the_topic(kafka: str, *owners: Worker, busy: bool = False) -> None:
    """`/api/stock/{sku}` of the owner, found by way of any worker. `busy`: versions go on meanwhile."""
    elsewhere = 0
    for sku, update in list(newest(kafka).items())[:20]:
        for asked in owners:
            answer = asked.get(f"/api/stock/{sku}")
            if answer.status == 421:
                elsewhere += 1
                owner = urlsplit(answer.json["owner"])
                assert answer.headers["Location"] == answer.json["url"]
                (other,) = [w for w in owners if w.port == owner.port]
                assert other is not asked
                answer = other.get(urlsplit(answer.json["url"]).path)
            assert answer.status == 200, answer
            if busy:
                assert answer.json["version"] >= update.version
            else:
                assert (answer.json["version"], answer.json["on_hand"]) == (update.version, update.on_hand)
    assert bool(elsewhere) == (len(owners) > 1)


def test_sigterm_under_load(kafka: str, tmp_path: Path) -> None:
    """In order within 10 s: exit 0, no transaction torn, and the next life reads on exactly where this one stopped."""
    records, oracle = feed(SEED + 1, 8_000)
    with workers(kafka, tmp_path) as worker, Sender(kafka, records, per_second=1500) as sender:
        worker.start().ready()
        _let_publish(kafka, worker, sender, 0.7, 100)
        _answers_like_the_topic(kafka, worker, busy=True)
        began = time.monotonic()
        assert worker.stop() == 0, worker.text()
        assert time.monotonic() - began < STOPS_WITHIN_S
        assert not sender.is_waiting or behind(kafka), "the feed was over before the stop"
        assert open_transactions(kafka) == 0
        lives = worker.text(whole=True).count(FENCED)
        worker.start()  # and a stop while it takes its partitions over is one in order, too
        wait_until(lambda: worker.text(whole=True).count(FENCED) > lives, 30, "partitions are assigned")
        assert worker.stop() == 0, worker.text()
        sender.finish()
        at_stop, all_of_it = committed(kafka), ends(kafka, MOVEMENTS)
        worker.start().ready()
        wait_applied(kafka, worker)
        consumed = worker.metrics()["stockstream_records_consumed_total"]
        left = sum(end - at_stop.get(place, 0) for place, end in all_of_it.items())
        assert sum(consumed[topic.name,] for topic in MOVEMENTS) == left > 0
        check(kafka, oracle)
        assert worker.stop() == 0


def test_a_second_worker_comes_and_goes(kafka: str, tmp_path: Path) -> None:
    """1 -> 2 -> 1 under load: both ready, each SKU answered by its owner, and the same stock as ever."""
    records, oracle = feed(SEED + 2, 12_000)
    with workers(kafka, tmp_path, "first", "second") as (first, second), Sender(kafka, records, 900) as sender:
        first.start().ready()
        sender.allow(1)
        second.start().ready()
        wait_until(lambda: sorted(map(owned, (first, second))) == [2, 2], 30, "two partitions each")
        first.ready()
        second.ready()
        assert sender.is_alive(), "the feed was over before the scaling"
        assert second.stop() == 0, second.text()
        wait_until(lambda: owned(first) == 4, 30, "the first has all again")
        second.start().ready()
        wait_until(lambda: sorted(map(owned, (first, second))) == [2, 2], 30, "two partitions each")
        first.ready()
        sender.finish()
        wait_applied(kafka, first, second)
        check(kafka, oracle)
        assert len(newest(kafka)) == SKUS
        _answers_like_the_topic(kafka, first, second)
        assert second.stop() == 0, second.text()
        assert first.stop() == 0, first.text()  # while it takes over what the other left


def owned(worker: Worker) -> int:
    """How many partition numbers it has; 0 while it cannot say."""
    if worker.status("/readyz") != 200:
        return 0
    return int(worker.metrics()["stockstream_partitions_assigned"][()])


def test_kills_in_the_middle_of_a_feed(kafka: str, tmp_path: Path) -> None:
    """kill -9 as often as it takes to hit open transactions: no movement is lost, none counts twice.

    The last of this module: its static member outlives it in the group, and Kafka is made anew for a test after that.
    """
    records, oracle = feed(SEED, 20_000)
    rng, kills, torn = Random(SEED), 0, 0
    with workers(kafka, tmp_path, static=True) as worker, Sender(kafka, records, per_second=2000) as sender:
        worker.environment["STOCKSTREAM_WINDOW_MS"] = "5"  # nearly always in a transaction
        while kills < KILLS or not torn:
            assert kills < 2 * KILLS, f"seed {SEED}: no kill hit an open transaction"
            worker.start().ready()
            _let_publish(kafka, worker, sender, (kills + 1) / (2 * KILLS + 1), rng.randint(20, 400))
            worker.kill()
            assert not sender.is_waiting or behind(kafka), f"seed {SEED}: kill {kills} found nothing to do"
            kills += 1
            torn += bool(open_transactions(kafka))
        lives = worker.text(whole=True).count(FENCED)
        worker.start()  # and once more, while it takes its partitions over
        wait_until(lambda: worker.text(whole=True).count(FENCED) > lives, 30, "partitions are assigned")
        worker.kill()
        worker.start().ready()
        sender.finish()
        wait_applied(kafka, worker)
        check(kafka, oracle)
        _answers_like_the_topic(kafka, worker)
        assert worker.stop() == 0
