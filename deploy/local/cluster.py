"""A real Apache Kafka on 127.0.0.1 for tests, benchmarks and the demo: one node, or three.

    with local_kafka() as kafka:
        run_against(kafka.bootstrap)

Ports are free ones unless given, data is temporary unless a folder is given (which then keeps it for the next start).
However the block is left, the brokers are stopped; what a kill -9 of this process leaves behind, the next start
stops and, where it was temporary, removes.
"""

import atexit
import base64
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from deploy.local.broker import Broker, PortTakenError
from deploy.local.errors import LocalKafkaError
from deploy.local.orphans import owned, remove_abandoned
from deploy.local.ports import HOST, free_ports, is_free
from deploy.local.properties import Node
from deploy.local.runtime import Profile, prepare

SIZES = (1, 3)
READY_WITHIN_S = 90.0
NEW_PORTS_TRIES = 5
CLUSTER_FILE = "cluster.json"


class Cluster:
    """The nodes, numbered from 1. `local_kafka` makes one and ends it."""

    def __init__(self, data: Path, brokers: Sequence[Broker], ports: Sequence[int] | None) -> None:
        self.data = data
        self._brokers = tuple(brokers)
        self._fixed_ports = tuple(ports) if ports is not None else None

    @property
    def bootstrap(self) -> str:
        """What KAFKA_BOOTSTRAP is to be: the addresses of all nodes."""
        return ",".join(broker.address for broker in self._brokers)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The nodes' numbers."""
        return tuple(range(1, len(self._brokers) + 1))

    def pid(self, number: int = 1) -> int | None:
        """The process of a node, while it runs."""
        return self._broker(number).pid

    def start(self, number: int | None = None) -> None:
        """Start one node on its old ports, or all that do not run, and wait until they serve."""
        chosen = self._brokers if number is None else (self._broker(number),)
        for broker in chosen:
            if broker.pid is None and not is_free(broker.node.port):
                raise PortTakenError(_taken(broker.node.port))
            broker.launch()
        deadline = time.monotonic() + READY_WITHIN_S
        for broker in chosen:
            broker.wait_ready(deadline)

    def stop(self, number: int | None = None) -> None:
        """Stop one node in order, or all at once."""
        chosen = self._brokers if number is None else (self._broker(number),)
        # A controlled shutdown needs a quorum of controllers: one after the other would leave the last two without.
        for broker in chosen:
            broker.request_stop()
        for broker in chosen:
            broker.stop()

    def kill(self, number: int = 1) -> None:
        """kill -9."""
        self._broker(number).kill()

    def kill_all(self) -> None:
        """kill -9 to every node."""
        for broker in self._brokers:
            broker.kill()

    def restart(self, number: int = 1) -> None:
        """Stop in order and start again, on the same data and ports."""
        self.stop(number)
        self.start(number)

    def pause(self, number: int = 1) -> None:
        """SIGSTOP: the node is alive, but deaf."""
        self._broker(number).pause()

    def resume(self, number: int = 1) -> None:
        """SIGCONT."""
        self._broker(number).resume()

    def check(self) -> None:
        """Raise LocalKafkaError if a node has ended by itself."""
        for broker in self._brokers:
            broker.check()

    def logs(self, lines: int = 40) -> str:
        """The end of each node's log."""
        return "\n".join(
            f"== node {number}: {broker.log}\n{broker.log_tail(lines)}"
            for number, broker in zip(self.numbers, self._brokers, strict=True)
        )

    def boot(self) -> None:
        """The first start: choose ports, format what is new, start. A port that is lost in a race is replaced."""
        for left in reversed(range(NEW_PORTS_TRIES)):
            self._configure()
            _each(self._brokers, Broker.format)
            try:
                self.start()
            except PortTakenError:
                self.kill_all()
                if not left:
                    raise
            else:
                return

    def _configure(self) -> None:
        count = len(self._brokers)
        ports = list(self._fixed_ports or free_ports(count))
        if self._fixed_ports and (taken := [port for port in ports if not is_free(port)]):
            raise LocalKafkaError(_taken(taken[0]))  # another try would not help
        controllers = free_ports(count, not_these=ports)
        nodes = [Node(*numbers) for numbers in zip(self.numbers, ports, controllers, strict=True)]
        for broker, node in zip(self._brokers, nodes, strict=True):
            broker.configure(node, nodes)

    def _broker(self, number: int) -> Broker:
        if number not in self.numbers:
            raise LocalKafkaError(f"there is no node {number}: this cluster has {len(self._brokers)}")
        return self._brokers[number - 1]


def _taken(port: int) -> str:
    return f"port {port} on {HOST} is taken: stop what listens there (another Kafka?) or choose another port"


def _each(brokers: Sequence[Broker], work: Callable[[Broker], None]) -> None:
    with ThreadPoolExecutor(len(brokers)) as pool:
        list(pool.map(work, brokers))


@contextmanager
def local_kafka(
    nodes: int = 1,
    data: Path | None = None,
    ports: Sequence[int] | None = None,
    profile: Profile = "demo",
    quiet: bool = True,
) -> Iterator[Cluster]:
    """A Kafka that serves in this block and is stopped after it.

    `data` keeps the data for the next start (by default it is temporary), `ports` are the nodes' ports for clients
    (by default free ones), `profile` is the Java flags (`bench`: the full compiler and a big heap), and without
    `quiet` the download of the jars shows its progress on stderr.

    Raises LocalKafkaError: one line that names the cause and the cure.
    """
    if nodes not in SIZES:
        raise LocalKafkaError(f"a local cluster has 1 or 3 nodes, not {nodes}")
    if ports is not None and (len(set(ports)) != nodes or not all(0 < port < 65_536 for port in ports)):
        raise LocalKafkaError(f"{nodes} different ports between 1 and 65535 are needed, not {list(ports)}")
    with _folder(data) as folder, owned(folder):
        runtime = prepare(quiet=quiet)
        cluster_id = _cluster_id(folder, nodes)
        brokers = [Broker(runtime, folder / f"node-{number}", cluster_id, profile) for number in range(1, nodes + 1)]
        cluster = Cluster(folder, brokers, ports)
        atexit.register(cluster.stop)  # for a block that is never left: an exit out of a generator or a thread
        try:
            cluster.boot()
            yield cluster
        finally:
            cluster.stop() if data is not None else cluster.kill_all()  # temporary data needs no order
            atexit.unregister(cluster.stop)


@contextmanager
def _folder(data: Path | None) -> Iterator[Path]:
    """The data folder: the given one, or one that is removed in the end."""
    if data is not None:
        if "," in str(data.resolve()):
            raise LocalKafkaError(f"Kafka cannot use a data folder with a comma in its name: {data.resolve()}")
        yield data.resolve()
        return
    root = Path(tempfile.gettempdir()) / f"stockstream-kafka-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    if root.is_symlink() or root.stat().st_uid != os.getuid():
        raise LocalKafkaError(f"{root} belongs to another user: remove it or set TMPDIR")
    remove_abandoned(root, CLUSTER_FILE)
    folder = Path(tempfile.mkdtemp(dir=root))
    try:
        yield folder.resolve()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cluster_id(folder: Path, nodes: int) -> str:
    """The id of the cluster in `folder`, a new one for a new folder; its size cannot change."""
    file = folder / CLUSTER_FILE
    if not file.exists():
        # As Kafka writes ids; "A" in front, for an id that begins with "-" would be taken for an option.
        cluster_id = "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        part = file.with_suffix(".part")
        part.write_text(json.dumps({"id": cluster_id, "nodes": nodes}), encoding="ascii")
        part.replace(file)
    try:
        known = json.loads(file.read_text(encoding="ascii"))
        cluster_id, size = str(known["id"]), int(known["nodes"])
    except (ValueError, KeyError, TypeError) as error:
        raise LocalKafkaError(f"{file} is damaged: remove the folder {folder} or choose another one") from error
    if size != nodes:
        raise LocalKafkaError(f"{folder} holds a cluster of {size}, not of {nodes}: use that size or another folder")
    return cluster_id
