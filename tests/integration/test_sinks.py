"""A sink against a real Kafka and a simulator over HTTP: what is published stands on the channel, and is reported."""

from __future__ import annotations

import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from deploy.local.cluster import Cluster
from sinks.simulators.base import SECRET, TOKEN
from tests.builders.sinks import Program, fetch, program, shopify_key, shopify_listing, sync_bytes
from tests.kafka import wait_until
from topics.catalogue import ITEMS, REPORTS, SYNC

pytestmark = pytest.mark.kafka

POLICY = """
channels:
  outlet: {kind: webhook}
  shopify: {kind: shopify}
"""
FAULTS = ("throttle=0.05", "error=0.1", "reset=0.1", "timeout=0.05", "unavailable=0.02")
METRICS = {
    f"stockstream_{name}"
    for name in (
        "sync_updates_total",
        "sync_requests_total",
        "sync_request_seconds",
        "sync_retries_total",
        "sync_throttled_seconds_total",
        "sync_freshness_seconds",
        "cas_conflicts_total",
        "circuit_state",
        "pending_keys",
        "oldest_pending_timestamp_seconds",
    )
}
Record = tuple[str, str, bytes | None]


def produce(bootstrap: str, records: Iterable[Record]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
    for topic, key, value in records:
        producer.produce(topic, key=key, value=value)
        producer.poll(0)
    assert producer.flush(20) == 0


def read_all(bootstrap: str, topic: str) -> list[dict[str, Any]]:
    return [orjson.loads(value or b"null") for value in read_values(bootstrap, topic)]


def read_values(bootstrap: str, topic: str) -> list[bytes | None]:
    """All values of a topic, to its high watermarks."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test-reader", "enable.partition.eof": True})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    values: list[bytes | None] = []
    ended = 0
    deadline = time.monotonic() + 20
    while ended < len(partitions):
        assert time.monotonic() < deadline, "the topic has no end"
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error() is None:
            values.append(message.value())
        else:
            ended += 1
    consumer.close()
    return values


def committed(bootstrap: str, group: str) -> dict[int, tuple[int, int]]:
    """Partition -> committed offset, end."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    partitions = consumer.list_topics(SYNC.name, timeout=10).topics[SYNC.name].partitions
    places = consumer.committed([TopicPartition(SYNC.name, p) for p in partitions], timeout=10)
    ends = {p.partition: consumer.get_watermark_offsets(TopicPartition(SYNC.name, p.partition), 10)[1] for p in places}
    consumer.close()
    return {p.partition: (p.offset, ends[p.partition]) for p in places}


def shown_metrics(sink: Program) -> set[str]:
    """The names of the metrics that a ready sink shows."""
    with urllib.request.urlopen(f"{sink.url()}/readyz", timeout=5) as ready:
        assert ready.status == 200
    with urllib.request.urlopen(f"{sink.url()}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return {line.split()[2] for line in lines if line.startswith("# TYPE ")}


class Channel:
    """One channel of the test: its simulator and its sink, both as processes."""

    def __init__(self, stack: ExitStack, kind: str, name: str, folder: Path, *faults: str) -> None:
        self._stack, self._folder, self.name = stack, folder, name
        options = [part for fault in faults for part in ("--fault", fault)]
        simulator = program(folder / "simulator.log", "simulate", kind, "--seed", "7", "--hang-s", "3", *options)
        self.simulator = stack.enter_context(simulator).url()
        policy = folder / "policy.yaml"
        policy.write_text(POLICY)
        prefix = f"STOCKSTREAM_CHANNEL_{name.upper()}"
        self._environment = {
            "STOCKSTREAM_POLICY": str(policy),
            "STOCKSTREAM_ALLOW_LOCAL_HTTP": "1",
            "STOCKSTREAM_HTTP_TIMEOUT_S": "0.7",
            f"{prefix}_URL": self.simulator,
            f"{prefix}_SECRET": SECRET,
            f"{prefix}_TOKEN": TOKEN,
        }
        self._starts = 0

    def sink(self, instance: str = "one") -> Program:
        """Another sink; one with the same instance as one that was killed gets its partitions back at once."""
        self._starts += 1
        log = self._folder / f"sink-{self._starts}.log"
        own = {**self._environment, "STOCKSTREAM_INSTANCE_ID": instance}
        return self._stack.enter_context(program(log, "run", self.name, **own))

    def holds(self) -> dict[str, int]:
        return dict(fetch(f"{self.simulator}/admin/quantities")["quantities"])

    def account(self) -> dict[str, Any]:
        return dict(fetch(f"{self.simulator}/admin/requests"))


def settled(sink: Program) -> bool:
    """It has read everything, sent everything and committed everything."""
    status = sink.status()
    return len(status.get("partitions", ())) == 4 and status["pending"] == 0 and status["lag"] == 0


@pytest.mark.parametrize("kind", ["webhook", "shopify"])
def test_what_is_published_stands_on_the_channel_and_is_reported(kafka: str, tmp_path: Path, kind: str) -> None:
    """Through faults and kill -9: the newest quantities, a report for each, offsets at the end, exit 0 on SIGTERM."""
    name = {"webhook": "outlet", "shopify": "shopify"}[kind]
    skus = [f"SKU-{n}" for n in range(400)]
    key_of = {sku: shopify_key(n) if kind == "shopify" else sku for n, sku in enumerate(skus)}
    items = [item(n, sku) for n, sku in enumerate(skus)]
    with ExitStack() as stack:
        channel = Channel(stack, kind, name, tmp_path, *FAULTS)
        produce(kafka, items)
        first = channel.sink()
        produce(kafka, [(SYNC.name, s, sync_bytes(s, v, {name: 10 * v})) for v in (1, 2, 3) for s in skus])
        wait_until(lambda: channel.account()["writes"] > 50, 30, f"the sink writes: {first.log}")
        first.process.kill()
        first.process.wait(10)
        final = {s: n % 7 for n, s in enumerate(skus)}
        produce(kafka, [(SYNC.name, s, sync_bytes(s, 4, {name: final[s]})) for s in skus])
        second = channel.sink()
        wait_until(lambda: settled(second), 60, "everything is settled")

        assert channel.holds() == {key_of[s]: quantity for s, quantity in final.items()}
        account = channel.account()
        assert account["faults"], "the simulator injected nothing"
        assert account["duplicate_effects"] == 0
        assert account.get("older_versions", 0) == 0
        assert all(offset == end for offset, end in committed(kafka, f"stockstream-sink-{name}").values())
        reports = read_all(kafka, REPORTS.name)
        assert len({report["event_id"] for report in reports}) == len(reports)
        newest = {r["sku"]: r["quantity"] for r in reports if r["type"] == "confirmed" and r["version"] == 4}
        assert newest == final
        assert shown_metrics(second) >= METRICS
        began = time.monotonic()
        second.process.send_signal(signal.SIGTERM)
        assert second.process.wait(15) == 0, second.text()
        assert time.monotonic() - began < 10


def item(n: int, sku: str) -> Record:
    return ITEMS.name, sku, orjson.dumps({"sku": sku, "title": sku, "listings": {"shopify": shopify_listing(n)}})


def test_a_listing_that_comes_late_and_records_that_cannot_be_read(kafka: str, tmp_path: Path) -> None:
    """A SKU without a listing waits, and goes out when it has one; bad records are buried and block nothing."""
    good = sync_bytes("CLOCK", 1, {"shopify": 7})
    bad: list[tuple[str, bytes]] = [
        ("CLOCK", b"{"),
        ("CLOCK", b""),
        ("PANTS", good),
        ("CLOCK", b"x" * 300_000),
    ]
    with ExitStack() as stack:
        channel = Channel(stack, "shopify", "shopify", tmp_path)
        produce(kafka, [item(1, "CLOCK"), *[(SYNC.name, sku, value) for sku, value in bad]])
        produce(kafka, [(SYNC.name, "CLOCK", good), (SYNC.name, "GONE", None)])
        produce(kafka, [(SYNC.name, "LATE", sync_bytes("LATE", 1, {"shopify": 3}))])
        sink = channel.sink()
        wait_until(lambda: sink.status().get("unlisted") == 1 and bool(channel.holds()), 40, "one waits, one is there")
        assert channel.holds() == {shopify_key(1): 7}
        produce(kafka, [item(2, "LATE")])
        wait_until(lambda: settled(sink), 20, "everything is settled")
        assert channel.holds() == {shopify_key(1): 7, shopify_key(2): 3}
        assert sink.status()["dead_letters"] == {"malformed": 1, "empty": 1, "key_mismatch": 1, "too_large": 1}
        assert len(read_values(kafka, SYNC.dlq)) == len(bad)


def test_a_channel_that_refuses_us_is_stopped_and_says_so(kafka: str, tmp_path: Path) -> None:
    """401: the process lives on to say why, is not ready, reports and commits nothing; SIGTERM still ends it."""
    with ExitStack() as stack:
        channel = Channel(stack, "webhook", "outlet", tmp_path, "auth=1")
        produce(kafka, [(SYNC.name, "CLOCK", sync_bytes("CLOCK", 1, {"outlet": 7}))])
        sink = channel.sink()
        wait_until(lambda: sink.status().get("state") == "stopped", 40, "the channel is stopped")
        status = sink.status()
        assert "401" in status["reason"]
        assert (status["pending"], status["reports"], status["requests"]) == (1, {}, {"4xx": 1})
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"{sink.url()}/readyz", timeout=5)
        assert read_all(kafka, REPORTS.name) == []
        sink.process.send_signal(signal.SIGTERM)
        assert sink.process.wait(15) == 0, sink.text()


def test_two_sinks_share_the_partitions_and_hand_them_over(kafka: str, tmp_path: Path) -> None:
    """A second sink joins under load, and the first one leaves: no version goes back, nothing is left out."""
    skus = [f"SKU-{n}" for n in range(300)]
    with ExitStack() as stack:
        channel = Channel(stack, "webhook", "outlet", tmp_path, "slow=0.2", "timeout=0.02")
        first = channel.sink("")  # dynamic members: they say good-bye
        produce(kafka, [(SYNC.name, s, sync_bytes(s, 1, {"outlet": 10})) for s in skus])
        wait_until(lambda: channel.account()["writes"] > 50, 30, "the first one writes")
        second = channel.sink("")
        version = 1
        while not second.status().get("partitions"):
            version += 1
            produce(kafka, [(SYNC.name, s, sync_bytes(s, version, {"outlet": 10 * version})) for s in skus])
            assert version < 400, second.text()
        assert set(first.status()["partitions"]).isdisjoint(second.status()["partitions"])
        produce(kafka, [(SYNC.name, s, sync_bytes(s, version + 1, {"outlet": 5})) for s in skus])
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(15) == 0, first.text()
        produce(kafka, [(SYNC.name, s, sync_bytes(s, version + 2, {"outlet": 6})) for s in skus])
        wait_until(lambda: settled(second), 60, "everything is settled")
        assert channel.holds() == dict.fromkeys(skus, 6)
        account = channel.account()
        assert account.get("older_versions", 0) == account["duplicate_effects"] == 0


def test_a_sink_stops_in_time_when_kafka_is_gone(broker: Cluster, kafka: str, tmp_path: Path) -> None:
    """SIGTERM with nobody to commit to or to leave: exit 0 within 10 s."""
    with ExitStack() as stack:
        channel = Channel(stack, "shopify", "shopify", tmp_path)
        produce(kafka, [item(1, "CLOCK"), (SYNC.name, "CLOCK", sync_bytes("CLOCK", 1, {"shopify": 7}))])
        sink = channel.sink()
        wait_until(lambda: settled(sink), 40, "everything is settled")
        broker.pause(1)
        wait_until(lambda: "Kafka" in str(sink.status().get("reason")), 30, "the sink notices")
        began = time.monotonic()
        sink.process.send_signal(signal.SIGTERM)
        assert sink.process.wait(15) == 0, sink.text()
        assert time.monotonic() - began < 10
        broker.resume(1)
