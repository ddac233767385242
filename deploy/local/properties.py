"""server.properties of an embedded node: broker and controller in one process, on 127.0.0.1 only."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Node(NamedTuple):
    """One member of the cluster and its two ports."""

    number: int
    port: int
    controller_port: int


# Small: four partitions for internal topics and few threads, for two cores that tests share. No topic comes into being
# by itself (contract: auto-creation is off everywhere), and a consumer group does not wait for members that never come.
_COMMON = """\
process.roles=broker,controller
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=4
num.network.threads=2
num.io.threads=2
background.threads=2
log.cleaner.dedupe.buffer.size=8388608
log.cleaner.backoff.ms=1000
"""

# The broker's session decides how long a restart after kill -9 takes: 4 s with these, 11 s with the defaults.
_ALONE = """\
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""

# Another node takes over 2-3 s after a leader was killed.
_IN_CLUSTER = """\
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=250
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
controller.quorum.election.backoff.max.ms=500
"""


def server_properties(node: Node, cluster: Sequence[Node], log_dir: Path) -> str:
    """The configuration of `node` in `cluster`: replication factor 3 and min ISR 2 for three nodes, else 1."""
    replicas = min(3, len(cluster))
    in_sync = 2 if replicas == 3 else 1
    voters = ",".join(f"{member.number}@127.0.0.1:{member.controller_port}" for member in cluster)
    own = {
        "node.id": node.number,
        "controller.quorum.voters": voters,
        "log.dirs": _escaped(log_dir.as_posix()),
        "listeners": f"PLAINTEXT://127.0.0.1:{node.port},CONTROLLER://127.0.0.1:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{node.port}",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
    }
    timing = _IN_CLUSTER if len(cluster) > 1 else _ALONE
    return _COMMON + timing + "".join(f"{key}={value}\n" for key, value in own.items())


def _escaped(value: str) -> str:
    """A value as java.util.Properties reads it: Latin-1, with backslash escapes."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = [int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2)]
    return "".join(chr(code) if 0x20 <= code < 0x7F else f"\\u{code:04x}" for code in codes)
