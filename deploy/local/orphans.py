"""Who owns a data folder, and what a killed owner left running.

A broker outlives a parent that is killed with -9. So a data folder has an owner: the process that holds the lock on
its `owner.lock`, which the kernel releases with the process. Where nobody holds it, a broker that still runs there is
an orphan, and the next owner stops it. It is known by its pid file *and* by its command line, which names the folder:
a pid alone may long belong to somebody else.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy.local.errors import LocalKafkaError

PID_FILE = "broker.pid"
CONFIG_FILE = "server.properties"
OWNER_LOCK = "owner.lock"
ORPHAN_STOPS_IN_S = 15.0


@contextmanager
def owned(data: Path) -> Iterator[None]:
    """Be the owner of `data` in this block; brokers that a killed owner left there are stopped first.

    Raises LocalKafkaError if another process owns it.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / OWNER_LOCK).open("a+", encoding="ascii")
    except OSError as error:
        raise LocalKafkaError(f"cannot write the data folder {data}: {error.strerror}; choose another one") from error
    with lock:
        if not _locked(lock.fileno()):
            lock.seek(0)
            raise LocalKafkaError(
                f"the data folder {data} is in use by process {lock.read().strip() or 'unknown'}: "
                "stop that one or choose another folder"
            )
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        stop_orphans(data)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def stop_orphans(data: Path) -> None:
    """Stop the brokers that run in `data`; only its owner may."""
    for file in sorted(data.glob(f"*/{PID_FILE}")):
        with suppress(OSError, ValueError):
            _stop(int(file.read_text(encoding="ascii")), file.with_name(CONFIG_FILE))
        file.unlink(missing_ok=True)


def remove_abandoned(root: Path, mark: str) -> None:
    """Remove temporary data folders in `root` whose owner is gone, with the brokers that still run in them.

    Only those with a file `mark`, which an owner writes after it got the lock: a folder that is just being taken
    by another process has none yet.
    """
    for file in root.glob(f"*/{mark}"):
        with suppress(LocalKafkaError, OSError), owned(file.parent):  # in use, or just removed by another process
            shutil.rmtree(file.parent, ignore_errors=True)


def _stop(pid: int, config: Path) -> None:
    """SIGTERM, then SIGKILL, to the broker that was started with `config`; to nobody else."""
    for number in (signal.SIGCONT, signal.SIGTERM, signal.SIGKILL):
        if not runs(pid, config):
            return
        os.kill(pid, number)
        if number != signal.SIGCONT:
            _wait_for_end(pid, config)


def _wait_for_end(pid: int, config: Path) -> None:
    deadline = time.monotonic() + ORPHAN_STOPS_IN_S
    while runs(pid, config) and time.monotonic() < deadline:
        time.sleep(0.05)


def runs(pid: int, config: Path) -> bool:
    """Whether `pid` is the broker of `config`, by its command line (which is empty for a process that has ended)."""
    if Path("/proc/self/cmdline").exists():
        try:
            return str(config).encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
    command = ("ps", "-ww", "-o", "command=", "-p", str(pid))
    shown = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    return shown.rstrip().endswith(str(config))
