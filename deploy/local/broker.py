"""One node of the embedded Kafka: a Java process of its own, and a folder with its data, configuration and log."""

import re
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.local.errors import LocalKafkaError
from deploy.local.orphans import CONFIG_FILE, PID_FILE
from deploy.local.ports import HOST
from deploy.local.properties import Node, server_properties
from deploy.local.runtime import Profile, Runtime

FORMAT_WITHIN_S = 60.0
STOP_WITHIN_S = 30.0
POLL_S = 0.05
LOG_KEPT_BYTES = 10_000_000  # a longer log is put aside at the next start (and the one before it goes)
_BIND_FAILED = "Address already in use"
_CAUSE = re.compile(r"(ERROR|FATAL|Exception|OutOfMemory|Error:)")


class PortTakenError(LocalKafkaError):
    """Somebody took a port between our look and the broker's bind: other ports may do."""


class Broker:
    """A node that can be started, stopped in order, killed, paused and started again on the same data and ports."""

    def __init__(self, runtime: Runtime, folder: Path, cluster_id: str, profile: Profile) -> None:
        self.folder = folder
        self.log = folder / "server.log"
        self._runtime = runtime
        self._cluster_id = cluster_id
        self._profile: Profile = profile
        self._config = folder / CONFIG_FILE
        self._process: subprocess.Popen[bytes] | None = None
        self._log_starts_at = 0
        self._node: Node | None = None

    @property
    def node(self) -> Node:
        """Its number and ports, once configured."""
        if self._node is None:
            raise LocalKafkaError(f"the broker in {self.folder} has no ports yet")
        return self._node

    @property
    def address(self) -> str:
        """Where clients reach it."""
        return f"{HOST}:{self.node.port}"

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def configure(self, node: Node, cluster: Sequence[Node]) -> None:
        """Write its configuration; ports may change between two starts."""
        self._node = node
        self.folder.mkdir(parents=True, exist_ok=True)
        self._config.write_text(server_properties(node, cluster, self.folder / "logs"), encoding="ascii")

    def format(self) -> None:
        """Prepare its empty data folder; one that holds data is left alone."""
        if (self.folder / "logs" / "meta.properties").exists():
            return
        arguments = ("format", "-t", self._cluster_id, "-c", str(self._config))
        command = self._runtime.command("kafka.tools.StorageTool", *arguments)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=FORMAT_WITHIN_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise LocalKafkaError(f"formatting {self.folder} took longer than {FORMAT_WITHIN_S:.0f} s") from error
        if done.returncode:
            raise LocalKafkaError(f"cannot format {self.folder}: {_cause(done.stdout + done.stderr)}")

    def launch(self) -> None:
        """Start the process; `wait_ready` says when it serves."""
        if self.pid is not None:
            return
        self._put_long_log_aside()
        with self.log.open("ab") as out:
            self._log_starts_at = out.tell()
            self._process = subprocess.Popen(
                self._runtime.command("kafka.Kafka", str(self._config), profile=self._profile),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C reaches only us, and we stop the broker in order
            )
        (self.folder / PID_FILE).write_text(f"{self._process.pid}\n", encoding="ascii")

    def wait_ready(self, deadline: float) -> None:
        """Until it serves clients and the cluster counts it as a member; `deadline` by the monotonic clock.

        Raises PortTakenError, or LocalKafkaError when it ended or took too long.
        """
        while time.monotonic() < deadline:
            self.check()
            if self._serves():
                return
            time.sleep(POLL_S)
        raise LocalKafkaError(f"Kafka node {self.node.number} is not ready in time: {self._why()}")

    def check(self) -> None:
        """Raise LocalKafkaError, with the cause from its log, if the process has ended."""
        if self.pid is not None:
            return
        status = self._process.returncode if self._process is not None else "none"
        why = self._why()
        kind = PortTakenError if _BIND_FAILED in why or _BIND_FAILED in self._fresh_log() else LocalKafkaError
        raise kind(f"Kafka node {self.node.number} ended with status {status}: {why}")

    def _serves(self) -> bool:
        # A plain connect first: librdkafka logs refused connections.
        with suppress(OSError, KafkaException):
            socket.create_connection((HOST, self.node.port), 1).close()
            admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
            seen = admin.list_topics(timeout=2)
            # Another Kafka may have taken the port in a race, and would answer in the place of ours.
            return seen.cluster_id == self._cluster_id and self.node.number in seen.brokers
        return False

    def request_stop(self) -> None:
        """Ask for a controlled shutdown, and come back at once."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)  # a paused process would not hear the next one
            self._process.terminate()

    def stop(self, within_s: float = STOP_WITHIN_S) -> None:
        """Controlled shutdown; kill -9 if that takes too long."""
        self.request_stop()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(within_s)
        self.kill()

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        (self.folder / PID_FILE).unlink(missing_ok=True)

    def pause(self) -> None:
        """SIGSTOP: alive, but deaf (a zombie, a long garbage collection, a hung disk)."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        self.check()
        if self._process is not None:
            self._process.send_signal(number)

    def log_tail(self, lines: int) -> str:
        """The last lines of its log."""
        return "\n".join(_read(self.log).splitlines()[-lines:])

    def _fresh_log(self) -> str:
        return _read(self.log, self._log_starts_at)

    def _why(self) -> str:
        return f"{_cause(self._fresh_log())} (log: {self.log})"

    def _put_long_log_aside(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_KEPT_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))


def _read(file: Path, start: int = 0) -> str:
    """A log from `start`, at most its last megabyte; nothing where there is none."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(start, file.stat().st_size - 1_000_000))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""


def _cause(text: str) -> str:
    """The line of a log that tells most: the last one that speaks of an error, else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("at ")]
    telling = [line for line in lines if _CAUSE.search(line)]
    return (telling or lines or ["nothing in its log"])[-1][:400]
