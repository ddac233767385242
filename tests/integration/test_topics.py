"""The topics command and its functions on a real Kafka."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from confluent_kafka import Message, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.local.cluster import Cluster
from tests.builders.bad_input import BAD_INPUTS, KEY, raw
from topics.__main__ import main
from topics.admin import Kafka, TopicsError, apply_topics, check_inputs
from topics.catalogue import CLOCK, ITEMS, SYNC, WAREHOUSE, all_topics, changelog
from topics.codec import MAX_VALUE_BYTES, Bad, decode
from topics.dead_letters import DeadLetter, bury
from topics.log import Sender, read_one, read_to_end
from topics.murmur2 import partition_of
from topics.settings import KafkaSettings

Command = Callable[..., int]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `python -m topics ARGS`; the exit status."""

    def run(*args: str) -> int:
        monkeypatch.setattr(sys, "argv", ["topics", *args])
        try:
            return main()
        except SystemExit as exc:
            return int(exc.code or 0)

    return run


def here() -> KafkaSettings:
    return KafkaSettings.load()


def send(letters: Iterable[DeadLetter]) -> None:
    sender = Sender(here())
    for letter in letters:
        sender.send(letter.topic, letter.key, letter.value, list(letter.headers))
    sender.flush()
    assert sender.failed == []


def records(topic: str) -> list[Message]:
    return list(read_to_end(here(), [topic]))


def test_apply_creates_all_and_changes_nothing_twice(broker: Cluster) -> None:
    names = {topic.name for topic in all_topics("shop")}
    first = apply_topics(here(), "shop")
    assert {line.split()[1].rstrip(":") for line in first} == names
    assert all(line.startswith("created ") for line in first)
    assert apply_topics(here(), "shop") == [f"{len(names)} of {len(names)} topics were right already"]
    assert check_inputs(here(), "shop") == 4
    found = Kafka(here()).configs([WAREHOUSE.name, ITEMS.name, SYNC.name, changelog("shop").name])
    assert found[WAREHOUSE.name]["message.timestamp.type"] == "LogAppendTime"
    assert found[WAREHOUSE.name]["retention.ms"] == str(14 * 86_400_000)
    assert found[ITEMS.name]["cleanup.policy"] == "compact"
    assert found[SYNC.name]["message.timestamp.type"] == "CreateTime"
    assert found[changelog("shop").name]["cleanup.policy"] == "compact"


def test_apply_corrects_what_differs_and_leaves_the_rest(kafka: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    set_to = {"retention.ms": "1000", "segment.bytes": "1048576"}
    entries = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in set_to.items()]
    resource = ConfigResource(ResourceType.TOPIC, CLOCK.name, incremental_configs=entries)
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(10)
    wanted = f"corrected {CLOCK.name}: retention.ms 1000 -> 86400000"
    assert _until(lambda: apply_topics(here()), lambda lines: wanted in lines)
    assert _until(lambda: apply_topics(here()), lambda lines: len(lines) == 1)
    assert Kafka(here()).configs([CLOCK.name])[CLOCK.name]["segment.bytes"] == "1048576"


def _until(ask: Callable[[], list[str]], right: Callable[[list[str]], bool], seconds: float = 15) -> bool:
    """A broker learns of changed settings a moment after they were accepted."""
    deadline = time.monotonic() + seconds
    while not (found := right(ask())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def test_a_change_of_the_partition_count_is_refused_and_nothing_is_done(
    kafka: str, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("apply", "--partitions", "8", "--app-id", "other") == 1
    error = capsys.readouterr().err
    assert error.startswith(f"topics: topic {WAREHOUSE.name} has 4 partitions, not 8: ")
    assert error.count("\n") == 1
    assert changelog("other").name not in Kafka(here()).metadata().topics


def test_too_few_brokers_are_said_before_anything_is_created(broker: Cluster) -> None:
    with pytest.raises(TopicsError, match="KAFKA_REPLICATION_FACTOR=3 needs as many brokers"):
        apply_topics(KafkaSettings.load(replication_factor=3))
    assert Kafka(here()).metadata().topics.keys().isdisjoint({WAREHOUSE.name})


def test_a_missing_or_differing_topic_is_named_with_the_cure(kafka: str, command: Command) -> None:
    with pytest.raises(TopicsError, match=r"^topic other-stock-changelog does not exist; run: .* --app-id other$"):
        check_inputs(here(), "other")
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic("other-stock-changelog", 7, 1)])["other-stock-changelog"].result(10)
    with pytest.raises(TopicsError, match="topic other-stock-changelog has 7 partitions, the others 4"):
        check_inputs(here(), "other")
    assert command("list", "--app-id", "other") == 1
    assert command("list") == 0


def test_our_partitions_are_those_of_librdkafka(kafka: str) -> None:
    """Keys of all kinds, produced as the contract says, lie where `partition_of` expects them."""
    keys: set[bytes] = set()

    @settings(max_examples=300, database=None)
    @given(st.binary(min_size=1, max_size=70))
    def gather(key: bytes) -> None:
        keys.add(key)

    gather()
    send(DeadLetter(WAREHOUSE.name, key, b"x", ()) for key in keys)
    found = records(WAREHOUSE.name)
    assert {m.key() for m in found} == keys
    assert [m for m in found if m.partition() != partition_of(m.key() or b"", 4)] == []


def test_reading_stops_at_the_end_and_single_records_are_found(kafka: str) -> None:
    assert records(WAREHOUSE.dlq) == []
    send(DeadLetter(WAREHOUSE.dlq, b"%d" % n, b"v", ()) for n in range(1000))
    found = records(WAREHOUSE.dlq)
    assert sorted(int(m.key() or b"") for m in found) == list(range(1000))
    last = found[-1]
    assert read_one(here(), WAREHOUSE.dlq, last.partition() or 0, last.offset() or 0).key() == last.key()
    for partition, offset in ((0, 10**6), (99, 0)):
        with pytest.raises(TopicsError, match="no such record"):
            read_one(here(), WAREHOUSE.dlq, partition, offset)
    with pytest.raises(TopicsError, match="topic nowhere does not exist"):
        list(read_to_end(here(), ["nowhere"]))


def test_all_bad_input_can_be_buried_and_looked_at(
    kafka: str, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """The largest and the most hostile dead letters fit into their topics and leave the terminal alone."""
    now = time.time_ns() // 1_000_000
    letters = []
    for n, bad in enumerate(BAD_INPUTS):
        verdict = decode(bad.topic, bad.key, bad.value, now)
        assert isinstance(verdict, Bad)
        hostile = [("h" * 1000, b"\x1b[2J" * 250)] * 200
        letters.append(bury(bad.topic.name, 0, n, bad.key, bad.value, hostile, verdict, "decode", "test"))
    whole = Bad("internal", "kept whole")
    letters.append(bury(WAREHOUSE.name, 0, 0, b"k" * 500_000, b"x" * MAX_VALUE_BYTES, [], whole, "step", "test"))
    send(letters)
    assert command("dlq", "list", "--limit", "1000", "--json") == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(shown) == len(letters)
    assert sum(line["reason"] == "quantity" for line in shown) == sum(b.reason == "quantity" for b in BAD_INPUTS)
    assert command("dlq", "list", "-r", "sku", "-t", WAREHOUSE.name, "--limit", "1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].split()[0] == str(sum(b.reason == "sku" and b.topic is WAREHOUSE for b in BAD_INPUTS))
    for line in shown[::8]:
        assert command("dlq", "show", line["place"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def _letter(value: bytes, key: bytes | None = KEY, reason: Bad | None = None) -> DeadLetter:
    bad = reason or Bad("quantity", "quantity: must be at least 1")
    return bury(WAREHOUSE.name, 0, 0, key, value, [("trace", b"t1"), ("none", None)], bad, "decode", "test")


def _place(message: Message) -> str:
    return f"{message.topic()}/{message.partition()}/{message.offset()}"


def test_a_mended_record_goes_back_as_it_was_sent(
    kafka: str, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    send([_letter(raw(quantity=0))])
    place = _place(records(WAREHOUSE.dlq)[0])
    assert command("dlq", "replay", place, "--yes") == 1
    assert "it would come back: quantity" in capsys.readouterr().err
    mended = tmp_path / "mended.json"
    mended.write_bytes(raw(event_id="other") + b"\n")
    assert command("dlq", "replay", place, "--value", str(mended)) == 1
    mended.write_bytes(raw(quantity=3) + b"\n")
    assert command("dlq", "replay", place, "--value", str(mended), "--dry-run") == 0
    assert records(WAREHOUSE.name) == []
    assert command("dlq", "replay", place, "--value", str(mended)) == 0
    [back] = records(WAREHOUSE.name)
    assert (back.key(), back.value(), back.headers()) == (KEY, raw(quantity=3), [("trace", b"t1"), ("none", None)])
    assert back.partition() == partition_of(KEY, 4)


def test_an_editor_mends_too(
    kafka: str, command: Command, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    send([_letter(raw(quantity=0))])
    place = _place(records(WAREHOUSE.dlq)[0])
    assert command("dlq", "show", place, "--value") == 0
    assert capsysbinary.readouterr().out == raw(quantity=0)
    monkeypatch.setenv("VISUAL", "false")
    assert command("dlq", "replay", place, "--edit") == 1
    monkeypatch.setenv("VISUAL", """sed -i 's/"quantity": 0/"quantity": 9/'""")
    assert command("dlq", "replay", place, "--edit") == 0
    assert [m.value() for m in records(WAREHOUSE.name)] == [raw(quantity=9)]


def test_many_go_back_by_topic_and_reason(kafka: str, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """Here the cause was the key, and each SKU's own is right."""
    wrong_key = Bad("key_mismatch", "the key is null")
    send(
        [_letter(raw(event_id=f"e{n}", sku=f"SKU-{n}"), None, wrong_key) for n in range(20)]
        + [_letter(raw(quantity=0))]
    )
    chosen = ("dlq", "replay", "-t", WAREHOUSE.name, "-r", "key_mismatch")
    assert command(*chosen, "--yes") == 1  # as they are, they would only come back
    assert records(WAREHOUSE.name) == []
    capsys.readouterr()
    assert command(*chosen, "--yes", "--key-from-sku") == 0
    assert capsys.readouterr().out == "20 put back, 0 left\n"
    assert {m.key() for m in records(WAREHOUSE.name)} == {f"SKU-{n}".encode() for n in range(20)}
    assert all(m.partition() == partition_of(m.key() or b"", 4) for m in records(WAREHOUSE.name))


def test_nothing_goes_back_unasked(kafka: str, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    send([_letter(raw())])
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert command("dlq", "replay", "-r", "quantity") == 1
    assert records(WAREHOUSE.name) == []


def test_reading_from_an_offset_on(kafka: str) -> None:
    send(DeadLetter(CLOCK.dlq, b"a", b"%d" % n, ()) for n in range(10))
    start = TopicPartition(CLOCK.dlq, partition_of(b"a", 4), 7)
    assert [m.value() for m in read_to_end(here(), [CLOCK.dlq], start)] == [b"7", b"8", b"9"]
