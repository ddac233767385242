"""The headers of `stock.rerouted.v1`: where a record stood before the worker moved it to its SKU's partition. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from topics.catalogue import EXTERNAL_INPUTS, REROUTED, Topic

Header = tuple[str, bytes | None]


class Message(Protocol):
    """What is asked of a message."""

    def topic(self) -> str | None:
        """Where it stands."""

    def headers(self) -> Any:
        """Pairs of name and value, or None."""


TOPIC = "stockstream.topic"
PARTITION = "stockstream.partition"
OFFSET = "stockstream.offset"
DROPPED = "stockstream.headers_dropped"
"""How many inbound headers did not fit."""
_POSITION = (TOPIC, PARTITION, OFFSET)
MAX_HEADERS = 100
MAX_HEADER_BYTES = 64 * 1024
"""What was compressed when it came in may be larger than the broker takes when we write it again."""
_REROUTABLE = {topic.name: topic for topic in EXTERNAL_INPUTS}


@dataclass(frozen=True, slots=True)
class Origin:
    """The place of a record before it was rerouted."""

    topic: Topic
    partition: int
    offset: int


def origin_of(headers: Iterable[Header]) -> Origin | None:
    """Where a rerouted record came from; None if the headers do not say it, or not well."""
    found = {name: value for name, value in headers if name in _POSITION and value is not None}
    try:
        topic = _REROUTABLE[found[TOPIC].decode()]
        return Origin(topic, int(found[PARTITION]), int(found[OFFSET]))
    except (KeyError, ValueError):
        return None


def reroute_headers(topic: str, partition: int, offset: int, headers: Iterable[Header]) -> list[Header]:
    """The headers of the moved record: what the sender gave, without forged positions, and the true position."""
    sent, dropped = fitting([(name, value) for name, value in headers if name not in _POSITION])
    if dropped:
        sent.append((DROPPED, b"%d" % dropped))
    return [*sent, (TOPIC, topic.encode()), (PARTITION, b"%d" % partition), (OFFSET, b"%d" % offset)]


def origin_headers(headers: Iterable[Header]) -> list[Header]:
    """Only the headers that tell the origin, as they stand."""
    return [(name, value) for name, value in headers if name in _POSITION]


def headers_of(message: Message) -> Sequence[Header]:
    """The headers of a message of confluent-kafka, where they say something: on `stock.rerouted.v1`, which we write.

    Never ask for those that others wrote: at a name that is not UTF-8 it returns broken tuples (2.16), which end the
    process when they are touched.
    """
    return message.headers() or () if message.topic() == REROUTED.name else ()


def fitting(headers: Iterable[Header]) -> tuple[list[Header], int]:
    """As many headers as a record that we write may carry, in order; and how many had to be left out."""
    kept: list[Header] = []
    dropped, room = 0, MAX_HEADER_BYTES
    for name, value in headers:
        size = len(name.encode("utf-8", "surrogatepass")) + len(value or b"")
        if len(kept) < MAX_HEADERS and size <= room:
            kept.append((name, value))
            room -= size
        else:
            dropped += 1
    return kept, dropped
