"""Dead letters read back, and what goes to the original topic when one is put back. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from topics.catalogue import BY_NAME, DEAD_LETTERS, EXTERNAL_INPUTS, REROUTED, Topic
from topics.codec import decode
from topics.dead_letters import CONNECT, REASON, TRUNCATED, sent_headers
from topics.refusals import Bad
from topics.rerouted import Header, origin_of


@dataclass(frozen=True)
class Buried:
    """One record of a dead-letter topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]
    timestamp_ms: int

    @property
    def place(self) -> str:
        """How commands name it."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @cached_property
    def _last(self) -> dict[str, str]:
        return {name: (value or b"").decode("utf-8", "replace") for name, value in self.headers}

    @property
    def reason(self) -> str:
        """Why it is here."""
        return self._last.get(REASON, "unknown")

    @property
    def message(self) -> str:
        """The reason in words."""
        return self._last.get(f"{CONNECT}exception.message", "")

    @property
    def came_from(self) -> str:
        """Where it was refused: topic/partition/offset."""
        return "/".join(self._last.get(f"{CONNECT}{part}", "?") for part in ("topic", "partition", "offset"))

    @property
    def target(self) -> Topic | None:
        """The topic that it is put back to; None for what only the worker may write."""
        received = self.topic.removesuffix(".dlq")
        if received == REROUTED.name:
            origin = origin_of(self.headers)
            return origin.topic if origin is not None else None
        topic = BY_NAME.get(received)
        return topic if topic in EXTERNAL_INPUTS else None


@dataclass(frozen=True, slots=True)
class PutBack:
    """A record for the original topic: the sender's own headers, without any of the errors'."""

    topic: Topic
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]


class NotPutBackError(ValueError):
    """This dead letter cannot go back as asked: why, and what would help."""


def put_back(
    buried: Buried, now_ms: int, value: bytes | None = None, key: bytes | None = None, *, force: bool = False
) -> PutBack:
    """The record to send, checked as the worker would check it; `value` and `key` are mended ones.

    The event_id stays: a mended record with another id would count twice if the first was applied after all. Only
    where the id itself was the fault (id_conflict, or none that could be read) a new one is accepted.

    Raises:
        NotPutBackError: it would only come back, or must not go back.
    """
    target = buried.target
    if target is None:
        raise NotPutBackError(
            f"{buried.topic.removesuffix('.dlq')} is written by the worker alone; have it publish a SKU again with a "
            "resync command"
        )
    if value is None and buried.reason == "too_large":
        raise NotPutBackError("only its first 1 KiB was kept; give the whole record with --value")
    if key is None and any(name == TRUNCATED for name, _ in buried.headers):
        raise NotPutBackError("its key was cut; give one with --key or --key-from-sku")
    if value is not None:
        _same_event(buried, value)
    record = PutBack(
        target,
        buried.key if key is None else key,
        buried.value if value is None else value,
        tuple(sent_headers(buried.headers)),
    )
    verdict = decode(target, record.key, record.value, now_ms)
    if isinstance(verdict, Bad) and not force:
        raise NotPutBackError(f"it would come back: {verdict.reason}: {verdict.detail}")
    return record


def sku_key(value: bytes | None) -> bytes:
    """The key that a value asks for. Raises NotPutBackError."""
    sku = _fields(value).get("sku")
    if not isinstance(sku, str) or not sku:
        raise NotPutBackError("there is no sku in the value to take the key from")
    return sku.encode("utf-8", "replace")


def _same_event(buried: Buried, mended: bytes) -> None:
    before, after = _fields(buried.value).get("event_id"), _fields(mended).get("event_id")
    at_fault = buried.reason == "id_conflict" or buried.message.startswith("event_id:")
    if isinstance(before, str) and before != after and not at_fault:
        raise NotPutBackError(f"the event_id must stay {before[:64]!r}")


def _fields(value: bytes | None) -> dict[str, Any]:
    try:
        data = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return {}
    return data if isinstance(data, dict) else {}


def selected(topics: Iterable[str]) -> list[str]:
    """Dead-letter topics by their own name or by that of the topic they serve; all if none is named.

    Raises:
        NotPutBackError: there is no such topic.
    """
    known = [topic.name for topic in DEAD_LETTERS]
    found = [name if name.endswith(".dlq") else f"{name}.dlq" for name in topics]
    for name in found:
        if name not in known:
            raise NotPutBackError(f"{name}: no dead-letter topic; known are {', '.join(known)}")
    return found or known
