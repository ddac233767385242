"""`python -m topics` where no Kafka is needed: help, files, and refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from topics.__main__ import main
from topics.catalogue import TOPICS


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `python -m topics ARGS` in this process, with only these settings."""
    for name in [n for n in os.environ if n.startswith(("KAFKA_", "STOCKSTREAM_"))]:
        monkeypatch.delenv(name)

    def command(*args: str, **env: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["topics", *args])
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        try:
            status = main()
        except SystemExit as exc:
            status = exc.code if isinstance(exc.code, int) else 0 if exc.code is None else 1
        return Done(status, *capsys.readouterr())

    return command


def test_the_module_is_a_command() -> None:
    done = subprocess.run([sys.executable, "-m", "topics", "list", "--offline"], capture_output=True, check=True)
    assert b"warehouse.movements.v1 " in done.stdout


@pytest.mark.parametrize("args", [[], ["apply"], ["list"], ["schemas"], ["asyncapi"], ["dlq"], ["dlq", "replay"]])
def test_help_teaches(run: Run, args: list[str]) -> None:
    done = run(*args, "--help")
    assert done.returncode == 0
    assert "Usage: python -m topics" in done.stdout


def test_list_needs_no_kafka_when_offline(run: Run) -> None:
    done = run("list", "--offline", "--app-id", "mine")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 20
    assert all(topic.name in done.stdout for topic in TOPICS)
    assert "mine-stock-changelog" in done.stdout


def test_schemas_and_asyncapi_write_files(run: Run, tmp_path: Path) -> None:
    assert run("schemas", str(tmp_path / "new")).returncode == 0
    schema = json.loads((tmp_path / "new" / "warehouse.movements.v1.schema.json").read_text())
    assert schema["$id"] == "urn:stockstream:warehouse.movements.v1"
    assert len(list((tmp_path / "new").iterdir())) == 9
    as_json, as_yaml = tmp_path / "a.json", tmp_path / "a.yaml"
    assert run("asyncapi", "-o", str(as_json)).returncode == run("asyncapi", "-o", str(as_yaml)).returncode == 0
    assert json.loads(as_json.read_text()) == yaml.safe_load(as_yaml.read_text())


@pytest.mark.parametrize("args", [["apply"], ["list"], ["dlq", "list"], ["asyncapi"]])
def test_a_refused_configuration_is_one_line_and_exit_2(run: Run, args: list[str]) -> None:
    done = run(*args, KAFKA_PARTITIONS="none")
    assert done.returncode == 2
    assert done.stderr.startswith("topics: KAFKA_PARTITIONS: ")
    assert done.stderr.count("\n") == 1


def test_a_kafka_that_is_away_is_one_line_and_exit_1(run: Run, unused_tcp_port: int) -> None:
    done = run("apply", KAFKA_BOOTSTRAP=f"127.0.0.1:{unused_tcp_port}")
    assert done.returncode == 1
    assert done.stderr.startswith(f"topics: Kafka cannot be reached at 127.0.0.1:{unused_tcp_port} (KAFKA_BOOTSTRAP): ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["dlq", "show", "nonsense"], "TOPIC/PARTITION/OFFSET"),
        (["dlq", "show", "nonsense/0/0"], "no dead-letter topic"),
        (["dlq", "replay"], "name dead letters"),
        (["dlq", "replay", "-t", "stock.sync.v1", "--key", "A"], "mend one dead letter"),
        (["dlq", "replay", "a/0/0", "--value", "/no/such/file"], "/no/such/file"),
        (["schemas", "/dev/null/x"], "/dev/null"),
        (["asyncapi", "-o", "/no/such/place.yaml"], "/no/such/place.yaml"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_1(run: Run, args: list[str], says: str) -> None:
    done = run(*args)
    assert done.returncode == 1
    assert done.stderr.startswith("topics: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
