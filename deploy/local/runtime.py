"""Java, the jars and the flags: how a program of Apache Kafka is started."""

import os
from pathlib import Path
from typing import Literal, NamedTuple

from deploy.local.jars import KAFKA_VERSION, LOCK, cache_root, fetch, parse_lock, sources
from deploy.local.java import Java, find_java

Profile = Literal["demo", "bench"]
"""demo: small and quick to start (150 MB); bench: the full compiler and a heap of 1 GB, to be warmed up for 30 s."""

_ALWAYS = (
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dlog4j2.statusLoggerLevel=OFF",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)
_HEAP: dict[Profile, tuple[str, ...]] = {
    "demo": ("-Xms64m", "-Xmx384m", "-XX:TieredStopAtLevel=1"),
    "bench": ("-Xms512m", "-Xmx1g"),
}
# Java 24 began to warn of what Kafka's libraries do; 17 does not know the flags.
_FIRST_MAJOR_THAT_WARNS = 24
_NO_WARNINGS = ("--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED")


class Runtime(NamedTuple):
    """What every node of a cluster is started with."""

    java: Java
    jars: tuple[Path, ...]

    def command(self, main_class: str, *arguments: str, profile: Profile = "demo") -> list[str]:
        """The command line of one Java program of Apache Kafka."""
        extra = _NO_WARNINGS if self.java.major >= _FIRST_MAJOR_THAT_WARNS else ()
        class_path = os.pathsep.join(map(str, self.jars))
        return [self.java.program, *_HEAP[profile], *_ALWAYS, *extra, "-cp", class_path, main_class, *arguments]


def prepare(*, quiet: bool = False) -> Runtime:
    """Java and the jars of the lock file, downloaded where the cache lacks them; raises LocalKafkaError."""
    java = find_java()  # first: it is the cheaper one to fail
    jars = parse_lock(LOCK.read_text(encoding="utf-8"))
    return Runtime(java, fetch(jars, cache_root() / f"kafka-{KAFKA_VERSION}", sources(), quiet=quiet))
