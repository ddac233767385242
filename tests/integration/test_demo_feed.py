"""The demo's sources and its reader on a real Kafka: what is sent stands in the log, where a partitioner puts it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import orjson
import pytest

from deploy.local.demo.figures import misrouted, records_in
from deploy.local.demo.main import _refuse_used
from deploy.local.demo.observe import Observer
from deploy.local.demo.producer import CRC32, MURMUR2, Sender, Sheet
from deploy.local.demo.script import Record
from deploy.local.demo.stack import DemoError, Stack, clean_environment
from tests.kafka import wait_until
from topics.catalogue import REPORTS, RETURNS, WAREHOUSE
from topics.log import read_to_end
from topics.murmur2 import partition_of
from topics.settings import KafkaSettings

KEYS = [f"SKU-{n}".encode() for n in range(60)]


@pytest.fixture
def settings(kafka: str) -> KafkaSettings:
    return KafkaSettings.load(bootstrap=kafka)


@pytest.fixture
def stack(kafka: str, tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path, clean_environment() | {"KAFKA_BOOTSTRAP": kafka})
    yield stack
    stack.stop()


def speak(stack: Stack, source: str, partitioner: str, topic: str) -> None:
    """A source sends one movement for each key, all due at once, and ends."""
    records = [
        Record(n, topic, key, orjson.dumps({"event_id": f"{source}-{n}", "sku": key.decode()}))
        for n, key in enumerate(KEYS)
    ]
    sheet = stack.folder / f"{source}.records"
    sheet.write_bytes(msgspec.msgpack.encode(Sheet(source, partitioner, records)))
    child = stack.start(source, ["-m", "deploy.local.demo.producer", str(sheet)], talks=True)
    child.tell("1000")
    child.hang_up()
    stack.wait_until(lambda: not child.running, 60, f"{source} does not end")
    assert child.process.returncode == 0, child.tail()


def apart(settings: KafkaSettings, topic: str) -> int:
    """Records that stand where Java's partitioner would not have put them."""
    found = list(read_to_end(settings, [topic]))
    assert len(found) == len(KEYS)
    return sum(m.partition() != partition_of(m.key() or b"", settings.partitions) for m in found)


def test_sources_write_where_their_partitioner_says_and_the_reader_sees_all(
    settings: KafkaSettings, stack: Stack
) -> None:
    observer = Observer(settings)
    observer.start()
    speak(stack, "wms", MURMUR2, WAREHOUSE.name)
    speak(stack, "returns", CRC32, RETURNS.name)
    wait_until(lambda: observer.seen.movements == 2 * len(KEYS), 30, "the reader has seen all movements")
    observer.stop()
    assert observer.failure is None
    assert len(observer.seen.written_ms) == 2 * len(KEYS)
    assert apart(settings, WAREHOUSE.name) == 0
    assert apart(settings, RETURNS.name) == misrouted(KEYS, settings.partitions) > 0


def test_topics_that_were_used_are_refused(settings: KafkaSettings) -> None:
    _refuse_used(settings)
    sender = Sender(settings)
    sender.send(Record(0, REPORTS.name, b"SKU-1", b"{}"))
    assert sender.flush()
    assert records_in(settings, [REPORTS.name, WAREHOUSE.name]) == {REPORTS.name: 1}
    with pytest.raises(DemoError, match=f"have been used \\({REPORTS.name} took 1 records\\)"):
        _refuse_used(settings)
