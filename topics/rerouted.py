"""The headers of `stock.rerouted.v1`: where a record stood before the worker moved it to its SKU's partition. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from topics.catalogue import EXTERNAL_INPUTS, Topic

Header = tuple[str, bytes | None]

TOPIC = "stockstream.topic"
PARTITION = "stockstream.partition"
OFFSET = "stockstream.offset"
_POSITION = (TOPIC, PARTITION, OFFSET)
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
    sent = [(name, value) for name, value in headers if name not in _POSITION]
    return [*sent, (TOPIC, topic.encode()), (PARTITION, b"%d" % partition), (OFFSET, b"%d" % offset)]


def origin_headers(headers: Iterable[Header]) -> list[Header]:
    """Only the headers that tell the origin, as they stand."""
    return [(name, value) for name, value in headers if name in _POSITION]
