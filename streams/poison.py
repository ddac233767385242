"""Records on which the rules failed, kept across the restart that follows.

An unexpected error in the rules is a bug of ours. It leaves a row half changed, so the worker ends with nothing
acknowledged; without this note it would meet the same record again and again, and its partition would stand still.
After the restart such a record is a dead letter (`internal`), in the same transaction as all others.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

FILE = "poison.jsonl"
MAX_KNOWN = 1_000
"""Past it the worker stops at the next one: so many failures are no single bad record."""

Place = tuple[str, int, int]


def known(folder: Path) -> frozenset[Place]:
    """(topic, partition, offset) of every record that ended a worker with this folder."""
    found: set[Place] = set()
    with suppress(FileNotFoundError):
        for line in (folder / FILE).read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # a line that a crash cut short
                topic, partition, offset = json.loads(line)
                found.add((str(topic), int(partition), int(offset)))
    return frozenset(found)


def add(folder: Path, place: Place) -> None:
    """Remember a record; it is skipped by nobody until it stands in the dead letters."""
    if len(known(folder)) >= MAX_KNOWN:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(place) + "\n")
