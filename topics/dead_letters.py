"""What could not be processed, untouched, with the reason in headers named as Kafka Connect names them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from topics.catalogue import BY_NAME, REROUTED
from topics.refusals import Bad
from topics.rerouted import DROPPED, Header, fitting, origin_headers

CONNECT = "__connect.errors."
OURS = "stockstream."
REASON = f"{OURS}reason"
TRUNCATED = f"{OURS}key_truncated"
"""How many bytes the key had, where it was cut."""

MAX_KEY_BYTES = 8 * 1024
KEPT_OF_TOO_LARGE = 1024
"""The record must fit into the broker's limit, or the partition would stop at it for ever."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record for a dead-letter topic."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]


def bury(  # noqa: PLR0917 - a record's own fields, in Kafka's order
    record_topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[Header],
    bad: Bad,
    stage: str,
    connector: str,
) -> DeadLetter:
    """The dead letter of a record. `stage` is where it failed (decode, step, push), `connector` who refused it."""
    received = list(headers)
    kept, dropped = fitting(sent_headers(received))
    own: list[Header] = [
        (f"{CONNECT}topic", record_topic.encode()),
        (f"{CONNECT}partition", b"%d" % partition),
        (f"{CONNECT}offset", b"%d" % offset),
        (f"{CONNECT}connector.name", connector.encode()),
        (f"{CONNECT}stage", stage.encode()),
        (f"{CONNECT}exception.class.name", b"topics.refusals.Bad"),
        (f"{CONNECT}exception.message", bad.detail.encode()),
        (REASON, bad.reason.encode()),
    ]
    if record_topic == REROUTED.name:
        own += origin_headers(received)
    if dropped:
        own.append((DROPPED, b"%d" % dropped))
    if key is not None and len(key) > MAX_KEY_BYTES:
        own.append((TRUNCATED, b"%d" % len(key)))
        key = key[:MAX_KEY_BYTES]
    if bad.reason == "too_large" and value is not None:
        value = value[:KEPT_OF_TOO_LARGE]
    return DeadLetter(BY_NAME[record_topic].dlq, key, value, (*kept, *own))


def sent_headers(headers: Iterable[Header]) -> list[Header]:
    """The headers that the sender gave, in order, without ours: nobody can forge where a record came from."""
    return [(name, value) for name, value in headers if not name.startswith((CONNECT, OURS))]
