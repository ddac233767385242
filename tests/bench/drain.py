"""How fast one worker drains a backlog, and what each stage costs: python -m tests.bench.drain [--events N]

Preloads movements of all kinds over a Zipf-like choice of SKUs, starts a worker, and follows the group's committed
offsets from outside. The stock is then checked against plain arithmetic: a wrong result voids the figure.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from deploy.local.cluster import local_kafka
from deploy.local.ports import free_ports
from streams.reader import Reader
from topics.admin import apply_topics
from topics.catalogue import MOVEMENTS, RETURNS, STOREFRONT, SYNC, WAREHOUSE
from topics.codec import Bad, decode
from topics.settings import KafkaSettings

APP = "stockstream-bench"
POLICY = "channels:\n" + "".join(f"  c{i}: {{kind: webhook, percent: {100 - i}}}\n" for i in range(3))
LIMIT_SECONDS = 300.0


def events(count: int, skus: int, seed: int) -> Iterator[tuple[str, str, dict[str, object]]]:
    """(topic, sku, movement): receipts, sales, shipments and returns, a few counts; 5 % resends."""
    rng = random.Random(seed)
    last: tuple[str, str, dict[str, object]] | None = None
    for i in range(count):
        if last is not None and rng.random() < 0.05:
            yield last
            continue
        sku = f"SKU-{int(skus * rng.random() ** 3):06d}"
        base = {
            "event_id": f"{seed}-{i:09d}",
            "sku": sku,
            "occurred_at": "2026-11-24T12:00:00.000Z",
            "reference": f"R-{i}",
        }
        roll = rng.random()
        if roll < 0.30:
            last = WAREHOUSE.name, sku, base | {"source": "wms", "type": "received", "location": "AMS-1", "quantity": 5}
        elif roll < 0.55:
            last = WAREHOUSE.name, sku, base | {"source": "wms", "type": "shipped", "location": "AMS-1", "quantity": 1}
        elif roll < 0.92:
            last = STOREFRONT.name, sku, base | {"source": "shop", "type": "sold", "quantity": 1}
        else:
            back = {"source": "rma", "type": "returned", "location": "AMS-1", "quantity": 1, "disposition": "restock"}
            last = RETURNS.name, sku, base | back
        yield last


def preload(bootstrap: str, count: int, skus: int, seed: int) -> dict[str, tuple[int, int]]:
    """Produce, and return the expected (on hand, sold) of each SKU."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "linger.ms": 50,
            "queue.buffering.max.messages": 2_000_000,
        }
    )
    seen: set[object] = set()
    on_hand: dict[str, int] = defaultdict(int)
    sold: dict[str, int] = defaultdict(int)
    sign = {"received": 1, "shipped": -1, "returned": 1}
    for n, (topic, sku, movement) in enumerate(events(count, skus, seed)):
        producer.produce(topic, key=sku, value=orjson.dumps(movement))
        if n % 2_000 == 0:
            producer.poll(0)
        if movement["event_id"] not in seen:
            seen.add(movement["event_id"])
            units = int(str(movement["quantity"]))
            on_hand[sku] += sign.get(str(movement["type"]), 0) * units
            sold[sku] += units * (movement["type"] == "sold")
    if producer.flush(120):
        raise SystemExit("preload: Kafka did not take everything")
    return {sku: (on_hand[sku], sold[sku]) for sku in on_hand | sold}


@contextmanager
def running_worker(kafka: KafkaSettings, folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """One worker process, stopped at the end."""
    (folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
    env = os.environ | {
        "KAFKA_BOOTSTRAP": kafka.bootstrap,
        "STOCKSTREAM_APP_ID": APP,
        "STOCKSTREAM_POLICY": str(folder / "policy.yaml"),
        "STOCKSTREAM_WEB_PORT": str(port),
    }
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "streams", "worker"], env=env, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def drain(kafka: KafkaSettings, partitions: int, process: subprocess.Popen[bytes]) -> tuple[float, float, int]:
    """Wait until all is committed: (seconds from the first seen commit to the last, from start, records in between)."""
    places = [TopicPartition(t.name, p) for t in MOVEMENTS for p in range(partitions)]
    asker = Consumer({**kafka.client_config(), "group.id": APP})
    ends = sum(asker.get_watermark_offsets(place, timeout=15)[1] for place in places)
    began = time.monotonic()
    first: tuple[float, int] | None = None
    while process.poll() is None and time.monotonic() - began < LIMIT_SECONDS:
        done = sum(max(0, place.offset) for place in asker.committed(places, timeout=15))
        now = time.monotonic()
        if done and first is None:
            first = (now, done)
        if done >= ends and first is not None:
            asker.close()
            return now - first[0], now - began, done - first[1]
        time.sleep(0.05)
    raise SystemExit("the worker ended or did not finish: see its log")


def scrape(port: int) -> dict[str, float]:
    """The worker's plain samples, summed over labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found: dict[str, float] = defaultdict(float)
    for line in lines:
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            found[name.partition("{")[0]] += float(value)
    return found


def wrong_rows(reader: Reader, expected: dict[str, tuple[int, int]]) -> int:
    """SKUs whose row differs from plain arithmetic."""
    from streams.core.numbers import numbers
    from streams.core.rows import decode_row

    rows = {}
    for partition in range(reader.partitions):
        table, _ = reader.table(partition)
        rows.update({key.decode(): decode_row(value) for key, value in table.items()})
    return sum(
        (numbers(rows[sku]).on_hand, rows[sku].sold) != want for sku, want in expected.items() if sku in rows
    ) + len(expected.keys() ^ rows.keys())


def decode_us(count: int = 20_000) -> float:
    """Microseconds to decode one movement, measured alone."""
    sample = [(t, s.encode(), orjson.dumps(m)) for t, s, m in events(count, 20_000, 1)]
    topics = {t.name: t for t in MOVEMENTS}
    now = int(time.time() * 1000)
    began = time.perf_counter()
    bad = sum(isinstance(decode(topics[t], key, value, now), Bad) for t, key, value in sample)
    took = time.perf_counter() - began
    if bad:
        raise SystemExit(f"{bad} events of the benchmark are refused")
    return took / count * 1e6


def main() -> None:
    """Run it once and print a table, and with --json the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--skus", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    given = os.environ.get("KAFKA_BOOTSTRAP")
    with nullcontext() if given else local_kafka(profile="bench") as cluster, tempfile.TemporaryDirectory() as name:
        kafka = KafkaSettings(bootstrap=given or cluster.bootstrap)
        apply_topics(kafka, APP)
        expected = preload(kafka.bootstrap, args.events, args.skus, args.seed)
        (port,) = free_ports(1)
        with running_worker(kafka, Path(name), port) as process:
            steady, total, counted = drain(kafka, kafka.partitions, process)
            metrics = scrape(port)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        reader = Reader(kafka, APP)
        updates = sum(1 for p in range(reader.partitions) for _ in reader.scan(SYNC.name, p))
        wrong = wrong_rows(reader, expected)
    figures = {
        "events": args.events,
        "skus": len(expected),
        "events_per_second": round(counted / steady) if steady and counted else round(args.events / total),
        "events_per_second_from_start": round(args.events / total),
        "cpu_us_per_event": round(metrics["process_cpu_seconds_total"] / args.events * 1e6, 2),
        "decode_us": round(decode_us(), 2),
        "fold_us": round(metrics["stockstream_fold_seconds_total"] / args.events * 1e6, 2),
        "encode_us": round(metrics["stockstream_encode_seconds_total"] / args.events * 1e6, 2),
        "records_written_per_event": round(metrics["stockstream_records_written_total"] / args.events, 2),
        "sync_updates": updates,
        "peak_memory_mb": round(children.ru_maxrss / 1024),
        "wrong_rows": wrong,
    }
    if args.json:
        print(json.dumps(figures))
    else:
        for key, value in figures.items():
            print(f"{key:32} {value:>12,}")
        print("fold holds decode; the rest of the CPU time is start-up, fetching, unpacking and sending")
    if wrong:
        raise SystemExit(f"{wrong} rows are wrong: the figures are void")


if __name__ == "__main__":
    main()
