"""The pipeline's programs as supervised processes: each has a log, none outlives the demo, and none may die unseen."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

STOP_S = 15.0
"""How long a program may take to stop in order before it is killed."""
TAIL_LINES = 15


class DemoError(Exception):
    """The demo cannot go on: what happened, and where to read more."""


class Child:
    """One program."""

    def __init__(self, name: str, process: subprocess.Popen[str], log: Path, *, may_end: bool = False) -> None:
        self.name = name
        self.may_end = may_end
        self.process = process
        self.log = log

    @property
    def running(self) -> bool:
        """It has not ended."""
        return self.process.poll() is None

    def tail(self) -> str:
        """The end of its log."""
        lines = self.log.read_text("utf-8", "replace").splitlines()[-TAIL_LINES:]
        return "\n".join(f"    {line}" for line in lines) or "    (its log is empty)"

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):  # it has died, as the next look will tell
                self.process.stdin.write(line + "\n")
                self.process.stdin.flush()

    def hang_up(self) -> None:
        """Close its standard input: there is no more."""
        if self.process.stdin is not None:
            self.process.stdin.close()

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        if self.running:
            self.process.terminate()

    def end(self, deadline: float) -> None:
        """Wait until it has ended, and kill it when it does not."""
        try:
            self.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()
        with suppress(OSError):
            self.hang_up()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(STOP_S)


class Stack:
    """All programs of the demo."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)
        self.children: dict[str, Child] = {}

    def start(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None, *, talks: bool = False
    ) -> Child:
        """Run `python ARGUMENTS`, with its output in NAME.log. `talks`: we write to its input, and it may end."""
        log = self.folder / f"{name}.log"
        with log.open("a", encoding="utf-8") as out:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**self.environment, **(environment or {})},
                start_new_session=True,  # Ctrl-C is ours alone: we stop them in order
                text=True,
            )
        child = self.children[name] = Child(name, process, log, may_end=talks)
        return child

    def run(self, name: str, arguments: Sequence[str], seconds: float = 90) -> None:
        """Run a program to its end. Raises DemoError when it fails."""
        child = self.start(name, arguments)
        del self.children[name]
        try:
            status = child.process.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            raise DemoError(
                f"{name} has not ended in {seconds:.0f} s; the end of {child.log}:\n{child.tail()}"
            ) from None
        if status:
            raise DemoError(f"{name} failed (exit {status}); the end of {child.log}:\n{child.tail()}")

    def check(self) -> None:
        """Raise DemoError when a program has ended by itself; one that `may_end` has done its work when it says 0."""
        for child in list(self.children.values()):
            if not child.running and not (child.may_end and child.process.returncode == 0):
                status = child.process.returncode
                raise DemoError(f"{child.name} has died (exit {status}); the end of {child.log}:\n{child.tail()}")

    def forget(self, name: str) -> Child:
        """A program that may end now."""
        return self.children.pop(name)

    def await_ready(self, name: str, url: str, seconds: float = 60) -> None:
        """Wait until a program answers 200 there. Raises DemoError."""
        self.wait_until(lambda: answers(url), seconds, f"{name} is not ready: {url} does not say 200", name)

    def wait_until(self, holds: Callable[[], bool], seconds: float, otherwise: str, name: str | None = None) -> None:
        """Wait for a condition, looking after all programs meanwhile. Raises DemoError."""
        deadline = time.monotonic() + seconds
        while not holds():
            self.check()
            if time.monotonic() > deadline:
                child = self.children.get(name or "")
                more = f"; the end of {child.log}:\n{child.tail()}" if child else ""
                raise DemoError(f"after {seconds:.0f} s {otherwise}{more}")
            time.sleep(0.05)

    def stop(self) -> list[str]:
        """Stop everything in order; bounded. The youngest are asked first: who feeds stops before who is fed.

        Returns what did not end in order, in words.
        """
        children = list(reversed(self.children.values()))
        for child in children:
            child.ask_to_stop()
        deadline = time.monotonic() + STOP_S
        for child in children:
            child.end(deadline)
        self.children.clear()
        return [
            f"{child.name} was asked to stop and ended with {child.process.returncode}; its log is {child.log}"
            for child in children
            if child.process.returncode
        ]


def answers(url: str) -> bool:
    """A program says 200 there."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own program on 127.0.0.1
            return bool(answer.status == 200)
    except OSError:
        return False


def fetch(url: str, body: bytes | None = None, token: str | None = None) -> bytes:
    """GET, or POST of JSON, to a program of the demo.

    Raises:
        OSError: it does not answer, or not with 2xx.
    """
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - our own program on 127.0.0.1
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
        return bytes(answer.read())


def clean_environment() -> dict[str, str]:
    """Ours without settings of the pipeline, which the demo makes itself, but with those of the reader's Kafka."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("STOCKSTREAM_")}
    return own | {"PYTHONUNBUFFERED": "1"}
