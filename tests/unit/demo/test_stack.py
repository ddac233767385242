"""Supervised programs: ready, dying, stopped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.demo.stack import DemoError, Stack, clean_environment


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path, clean_environment())
    yield stack
    stack.stop()


def test_a_program_that_dies_is_told_with_the_end_of_its_log(stack: Stack) -> None:
    stack.start("worker", ["-c", "import sys; print('no broker, no stock'); sys.exit(3)"])
    with pytest.raises(DemoError, match=r"worker has died \(exit 3\).*\n.*no broker, no stock"):
        stack.wait_until(lambda: False, 30, "it stands still")


def test_a_wait_is_bounded_and_names_what_it_waited_for(stack: Stack) -> None:
    stack.start("worker", ["-c", "import time; print('thinking', flush=True); time.sleep(60)"])
    with pytest.raises(DemoError, match=r"after 0 s worker is not ready"):
        stack.await_ready("worker", "http://127.0.0.1:9/readyz", 0.2)


def test_stop_ends_everything_and_kills_what_does_not_listen(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.local.demo.stack.STOP_S", 1.0)
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    children = [stack.start("deaf", ["-c", deaf]), stack.start("polite", ["-c", "import time; time.sleep(60)"])]
    stack.wait_until(lambda: "deaf" in children[0].log.read_text(), 30, "it says nothing")
    stack.stop()
    assert [child.process.returncode for child in children] == [-9, -15]


def test_a_source_that_has_said_everything_may_end(stack: Stack) -> None:
    child = stack.start("pos", ["-c", "import sys; sys.exit(sys.stdin.readline() != 'go\\n')"], talks=True)
    child.tell("go")
    stack.wait_until(lambda: not child.running, 30, "it does not end")
    stack.check()


def test_run_fails_with_what_the_program_said(stack: Stack) -> None:
    with pytest.raises(DemoError, match="topics failed") as caught:
        stack.run("topics", ["-c", "import sys; sys.exit('Kafka cannot be reached')"])
    assert "Kafka cannot be reached" in str(caught.value)


def test_settings_of_a_pipeline_of_the_readers_own_do_not_leak_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCKSTREAM_APP_ID", "mine")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SSL")
    environment = clean_environment()
    assert "STOCKSTREAM_APP_ID" not in environment
    assert environment["KAFKA_SECURITY_PROTOCOL"] == "SSL"
