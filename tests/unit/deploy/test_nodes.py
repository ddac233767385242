"""Configuration, ports and sizes of the embedded Kafka, without starting one."""

import socket
from pathlib import Path

import pytest

from deploy.local import ports
from deploy.local.broker import Broker, _cause
from deploy.local.cluster import local_kafka
from deploy.local.errors import LocalKafkaError
from deploy.local.java import Java
from deploy.local.ports import free_ports, is_free
from deploy.local.properties import Node, server_properties
from deploy.local.runtime import Runtime


def properties(count: int, folder: Path = Path("/data")) -> dict[str, str]:
    nodes = [Node(n, 12_000 + n, 13_000 + n) for n in range(1, count + 1)]
    text = server_properties(nodes[0], nodes, folder)
    pairs = [line.split("=", 1) for line in text.splitlines()]
    assert len({key for key, _ in pairs}) == len(pairs), "a key twice: the last one would count"
    return {pair[0]: pair[1] for pair in pairs}


def test_one_node() -> None:
    """On loopback only, no topic by itself, one replica of everything."""
    found = properties(1)
    assert found["listeners"] == "PLAINTEXT://127.0.0.1:12001,CONTROLLER://127.0.0.1:13001"
    assert found["advertised.listeners"] == "PLAINTEXT://127.0.0.1:12001"
    assert found["controller.quorum.voters"] == "1@127.0.0.1:13001"
    assert found["auto.create.topics.enable"] == "false"
    assert {value for key, value in found.items() if key.endswith("replication.factor")} == {"1"}
    assert {value for key, value in found.items() if key.endswith(("min.isr", "insync.replicas"))} == {"1"}


def test_three_nodes() -> None:
    """Replication factor 3 and min ISR 2, for Kafka's own topics as well."""
    found = properties(3)
    assert found["controller.quorum.voters"] == "1@127.0.0.1:13001,2@127.0.0.1:13002,3@127.0.0.1:13003"
    assert {value for key, value in found.items() if key.endswith("replication.factor")} == {"3"}
    assert {value for key, value in found.items() if key.endswith(("min.isr", "insync.replicas"))} == {"2"}


def test_folders_as_java_reads_them() -> None:
    """server.properties is Latin-1 with backslash escapes; names beyond it are escaped as UTF-16."""
    assert properties(1, Path("/a b/Uhr-ü-🕰/c\\d"))["log.dirs"] == r"/a b/Uhr-\u00fc-\ud83d\udd70/c\\d"


def test_free_ports_differ_and_are_free() -> None:
    """Below the range of outgoing connections."""
    found = free_ports(20)
    assert len(set(found)) == 20
    assert all(ports.FIRST <= port < ports.LAST and is_free(port) for port in found)
    assert not set(free_ports(20, not_these=found)) & set(found)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_is_listened_on_is_not_free(host: str) -> None:
    """Also when somebody listens on all addresses."""
    with socket.create_server((host, 0)) as server:
        assert not is_free(server.getsockname()[1])


def test_no_free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search ends."""
    monkeypatch.setattr(ports, "is_free", lambda port: False)
    with pytest.raises(LocalKafkaError, match="no 2 free ports between"):
        free_ports(2)


@pytest.mark.parametrize(("count", "given"), [(2, None), (0, None), (3, [9092]), (1, [70_000]), (3, [1, 1, 2])])
def test_impossible_clusters(count: int, given: list[int] | None) -> None:
    """Refused before anything is started or downloaded."""
    with pytest.raises(LocalKafkaError, match=r"1 or 3 nodes|different ports between 1 and 65535"):
        local_kafka(count, ports=given).__enter__()


def test_a_folder_that_kafka_cannot_use(tmp_path: Path) -> None:
    """log.dirs is a list with commas."""
    with pytest.raises(LocalKafkaError, match="comma"):
        local_kafka(data=tmp_path / "a,b").__enter__()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file stands in the way."""
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalKafkaError, match=r"cannot write the data folder .*; choose another"):
        local_kafka(data=tmp_path / "file" / "data").__enter__()


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("", "nothing in its log"),
        ("starting\nready\n", "ready"),
        ("INFO a\nERROR disk full\n  at kafka.Foo(Foo.java)\nINFO b\n", "ERROR disk full"),
        ("java.lang.OutOfMemoryError: Java heap space\n\n", "java.lang.OutOfMemoryError: Java heap space"),
        ("ERROR " + "x" * 1000, "ERROR " + "x" * 394),
    ],
)
def test_the_cause_in_a_log(log: str, cause: str) -> None:
    """One line that tells most, not a stack trace."""
    assert _cause(log) == cause


def test_a_java_that_fails_is_quoted(tmp_path: Path) -> None:
    """A broker that ends at once: its status and its own words, with the log's path."""
    program = tmp_path / "java"
    program.write_text("#!/bin/sh\necho 'Error: Could not create the Java Virtual Machine.' >&2\nexit 3\n")
    program.chmod(0o755)
    broker = Broker(Runtime(Java(str(program), 17), ()), tmp_path / "node-1", "A" * 22, "demo")
    node = Node(1, *free_ports(2))
    broker.configure(node, [node])
    with pytest.raises(LocalKafkaError, match=r"cannot format .*: Error: Could not create the Java"):
        broker.format()
    broker.launch()
    with pytest.raises(LocalKafkaError, match=rf"node 1 ended with status 3: Error: .* \(log: {broker.log}\)"):
        broker.wait_ready(float("inf"))


def test_a_long_log_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs of a kept data folder do not grow without end: one older one is kept."""
    monkeypatch.setattr("deploy.local.broker.LOG_KEPT_BYTES", 10)
    broker = Broker(Runtime(Java("/bin/true", 17), ()), tmp_path, "A" * 22, "demo")
    broker.log.write_text("more than ten bytes")
    broker.launch()
    assert broker.log.read_text() == ""
    assert broker.log.with_suffix(".log.1").read_text() == "more than ten bytes"
    broker.stop()
