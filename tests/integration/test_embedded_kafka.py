"""The embedded Kafka keeps what it acknowledged, through every way in which it can end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploy.local.cluster import Cluster, local_kafka
from deploy.local.errors import LocalKafkaError
from deploy.local.orphans import runs
from deploy.local.ports import free_ports, is_free
from tests.kafka import admin_client, wait_served, wait_until

TOPIC = "clock.repairs"


def create(bootstrap: str, replicas: int = 1) -> AdminClient:
    admin = admin_client(bootstrap)
    admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=replicas)])[TOPIC].result(20)
    wait_until(lambda: bool(admin.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions), 20, "the topic is listed")
    wait_served(bootstrap, also=(TOPIC,))
    return admin


def produce(bootstrap: str, values: list[str]) -> list[str]:
    """Produce and return those that were acknowledged."""
    acknowledged: list[str] = []
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "log_level": 0})

    def delivered(error: object, message: object) -> None:
        if error is None:
            acknowledged.append(message.value().decode())  # type: ignore[attr-defined]

    for value in values:
        producer.produce(TOPIC, value.encode(), partition=0, on_delivery=delivered)
        producer.poll(0)
    assert producer.flush(30) == 0
    return acknowledged


def stored(bootstrap: str) -> list[str]:
    """All values up to the high watermark."""
    wait_served(bootstrap, also=(TOPIC,))
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "log_level": 0})
    try:
        partition = TopicPartition(TOPIC, 0, 0)
        _, end = consumer.get_watermark_offsets(partition, timeout=20)
        consumer.assign([partition])
        found: list[str] = []
        wait_until(
            lambda: found.extend(_polled(consumer)) or len(found) >= end,  # type: ignore[func-returns-value]
            20,
            f"{end} records are read",
        )
        return found
    finally:
        consumer.close()


def _polled(consumer: Consumer) -> Iterator[str]:
    for message in consumer.consume(500, timeout=0.2):
        assert message.error() is None
        yield (message.value() or b"").decode()


def numbers(count: int) -> list[str]:
    return [f"repair {number}" for number in range(count)]


def test_a_restart_and_a_kill_keep_the_data(broker: Cluster) -> None:
    """Stopped in order or by kill -9: what was acknowledged is there afterwards, at the same address."""
    address = broker.bootstrap
    create(address)
    acknowledged = produce(address, numbers(200))
    broker.restart()
    assert stored(address) == acknowledged
    broker.kill()
    with pytest.raises(LocalKafkaError, match=r"Kafka node 1 ended with status -9"):
        broker.check()
    broker.start()
    assert broker.bootstrap == address
    assert stored(address) == acknowledged == numbers(200)


def test_the_next_test_gets_it_back_empty(broker: Cluster) -> None:
    """Runs after the test above on the same broker: no topic is left."""
    assert not [name for name in admin_client(broker.bootstrap).list_topics(timeout=10).topics if name == TOPIC]


def test_a_paused_broker_is_deaf_until_it_resumes(broker: Cluster) -> None:
    """SIGSTOP does not end it and loses nothing."""
    create(broker.bootstrap)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    broker.pause()
    producer.produce(TOPIC, b"patience", partition=0)
    assert producer.flush(0.5) == 1
    broker.resume()
    assert producer.flush(30) == 0
    assert stored(broker.bootstrap) == ["patience"]


def test_two_at_once_do_not_meet(broker: Cluster) -> None:
    """Ports and data are their own."""
    create(broker.bootstrap)
    with local_kafka() as other:
        assert other.bootstrap != broker.bootstrap
        assert other.data != broker.data
        assert TOPIC not in admin_client(other.bootstrap).list_topics(timeout=10).topics


def test_temporary_data_goes_with_it() -> None:
    """Nothing is left behind: no process, no folder, no open port."""
    with local_kafka() as kafka:
        port = int(kafka.bootstrap.rpartition(":")[2])
        assert kafka.data.is_dir()
        assert not is_free(port)
    assert not kafka.data.exists()
    assert is_free(port)
    assert kafka.pid() is None


def test_a_data_folder_is_kept_and_belongs_to_one(tmp_path: Path) -> None:
    """Data outlives the block, on other ports; a second owner is refused with the first's pid, as is another size."""
    data = tmp_path / "Lager für Uhren"  # a space and a letter beyond ASCII: server.properties is Latin-1
    with local_kafka(data=data) as kafka:
        create(kafka.bootstrap)
        acknowledged = produce(kafka.bootstrap, numbers(10))
        with pytest.raises(LocalKafkaError, match=rf"in use by process {os.getpid()}: stop that one or"):
            local_kafka(data=data).__enter__()
    with local_kafka(data=data) as kafka:
        assert stored(kafka.bootstrap) == acknowledged
    with pytest.raises(LocalKafkaError, match="holds a cluster of 1, not of 3"):
        local_kafka(3, data=data).__enter__()


def test_a_taken_port_is_named(broker: Cluster) -> None:
    """The port that was asked for is in use: one line says which and what to do."""
    port = int(broker.bootstrap.rpartition(":")[2])
    with pytest.raises(LocalKafkaError, match=f"port {port} on 127.0.0.1 is taken: stop what listens there"):
        local_kafka(ports=[port]).__enter__()


def test_a_port_lost_in_a_race_is_replaced(broker: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody takes the port between our look and the broker's bind: other ports are tried, with the same data."""
    taken = int(broker.bootstrap.rpartition(":")[2])
    offers = iter([[taken], *([port] for port in free_ports(6))])
    monkeypatch.setattr("deploy.local.cluster.free_ports", lambda count, not_these=(): next(offers))
    looks = iter([True])  # the look before the bind finds it still free
    monkeypatch.setattr("deploy.local.cluster.is_free", lambda port: next(looks, True))
    with local_kafka() as kafka:
        assert kafka.bootstrap != broker.bootstrap
        assert admin_client(kafka.bootstrap).list_topics(timeout=10).brokers


def test_three_nodes_outlive_their_leader() -> None:
    """The leader is killed in the middle of a feed: another one takes over and no acknowledged record is lost."""
    with local_kafka(3) as kafka:
        admin = create(kafka.bootstrap, replicas=3)
        leader = admin.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions[0].leader
        acknowledged = produce(kafka.bootstrap, [f"before {n}" for n in range(300)])
        kafka.kill(leader)
        acknowledged += produce(kafka.bootstrap, [f"after {n}" for n in range(300)])
        assert len(acknowledged) == 600
        assert stored(kafka.bootstrap) == acknowledged
        assert admin.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions[0].leader != leader
        kafka.start(leader)
        wait_until(
            lambda: len(admin.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions[0].isrs) == 3,
            30,
            "the killed node is in sync again",
        )


class Command:
    """`python -m deploy.local kafka` as a process."""

    def __init__(self, *options: str) -> None:
        self.port = free_ports(1)[0]
        command = [sys.executable, "-m", "deploy.local", "kafka", "--port", str(self.port), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ready(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(40)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_stops_in_order(tmp_path: Path, number: signal.Signals) -> None:
    """It says `ready` with the address, and SIGTERM or Ctrl-C end it with status 0 and no broker left."""
    command = Command("--data", str(tmp_path))
    assert command.ready() == f"ready 127.0.0.1:{command.port}"
    pid = int((tmp_path / "node-1" / "broker.pid").read_text())
    assert command.end(number) == 0
    assert not runs(pid, tmp_path / "node-1" / "server.properties")
    assert is_free(command.port)


def test_the_command_is_stopped_while_it_starts(tmp_path: Path) -> None:
    """SIGTERM before it is ready: no broker stays behind."""
    command = Command("--data", str(tmp_path))
    pid_file = tmp_path / "node-1" / "broker.pid"
    wait_until(lambda: pid_file.exists() and bool(pid_file.read_text()), 60, "the broker is launched")
    assert command.end(signal.SIGTERM) == 0
    assert not pid_file.exists()
    assert is_free(command.port)


def test_the_command_ends_when_its_broker_does(tmp_path: Path) -> None:
    """A broker that dies is an error with its status, not a silent wait."""
    command = Command("--data", str(tmp_path))
    command.ready()
    os.kill(int((tmp_path / "node-1" / "broker.pid").read_text()), signal.SIGKILL)
    assert command.process.wait(20) == 1
    assert command.process.stderr is not None
    assert "Kafka node 1 ended with status -9" in command.process.stderr.read()


def test_what_a_killed_parent_left_is_reclaimed(tmp_path: Path) -> None:
    """kill -9 of the parent leaves the broker running; the next start stops it, takes its place and finds the data."""
    command = Command("--data", str(tmp_path))
    command.ready()
    create(f"127.0.0.1:{command.port}")
    acknowledged = produce(f"127.0.0.1:{command.port}", numbers(50))
    orphan = int((tmp_path / "node-1" / "broker.pid").read_text())
    command.end(signal.SIGKILL)
    assert runs(orphan, tmp_path / "node-1" / "server.properties")
    with local_kafka(data=tmp_path, ports=[command.port]) as kafka:
        assert kafka.pid() != orphan
        assert stored(kafka.bootstrap) == acknowledged


def test_the_temporary_data_of_a_killed_parent_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --data nobody would ever start there again: the next start of any other cleans up."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    command = Command()
    command.ready()
    left = next(tmp_path.glob("*/*/cluster.json")).parent
    orphan = int((left / "node-1" / "broker.pid").read_text())
    command.end(signal.SIGKILL)
    with local_kafka():
        assert not left.exists()
    assert not runs(orphan, left / "node-1" / "server.properties")


def test_a_stranger_with_the_pid_is_left_alone(tmp_path: Path) -> None:
    """A stale pid file names a process that is not ours (pids are given out again): it lives on."""
    stranger = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        (tmp_path / "node-1").mkdir()
        (tmp_path / "node-1" / "broker.pid").write_text(f"{stranger.pid}\n")
        began = time.monotonic()
        with local_kafka(data=tmp_path) as kafka:
            assert kafka.pid() != stranger.pid
        assert stranger.poll() is None, f"killed after {time.monotonic() - began:.1f} s"
    finally:
        stranger.kill()
        stranger.wait()


def test_damaged_cluster_file_is_named(tmp_path: Path) -> None:
    """The file that says what the folder holds is cut short: the error says which one and what to do."""
    (tmp_path / "cluster.json").write_text(json.dumps({"id": "A"}))
    with pytest.raises(LocalKafkaError, match=r"cluster\.json is damaged: remove the folder"):
        local_kafka(data=tmp_path).__enter__()
