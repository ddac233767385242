"""A record of the sync topic: what it says about one channel, or why it cannot be read."""

from __future__ import annotations

from confluent_kafka import Message

from sinks.delivery import Update
from topics.catalogue import SYNC
from topics.codec import MAX_VALUE_BYTES, decode_sync
from topics.dead_letters import DeadLetter, bury
from topics.refusals import Bad


def read_update(message: Message, channel: str) -> Update | Bad | None:
    """What a record of the sync topic says about a channel; None for a SKU's removal."""
    key, value = message.key(), message.value()
    if value is None:
        return None
    if not value:
        return Bad("empty", "no value")
    if len(value) > MAX_VALUE_BYTES:
        return Bad("too_large", f"{len(value)} bytes; at most {MAX_VALUE_BYTES}")
    try:
        update = decode_sync(value)
    except ValueError as exc:
        return Bad("malformed", str(exc))
    if key != update.sku.encode():
        return Bad("key_mismatch", "the key is not the sku")
    share = update.channels.get(channel)
    quantity = share.quantity if share is not None else None
    return Update(update.sku, update.version, quantity, update.occurred_at, message.timestamp()[1] / 1000)


def dead_letter(message: Message, bad: Bad, group: str) -> DeadLetter:
    """Its untouched bytes, for the dead-letter topic."""
    headers = [(name, value.encode() if isinstance(value, str) else value) for name, value in _headers(message)]
    place = message.partition() or 0, message.offset() or 0
    return bury(SYNC.name, *place, message.key(), message.value(), headers, bad, "decode", group)


def _headers(message: Message) -> list[tuple[str, str | bytes | None]]:
    headers = message.headers() or []
    return list(headers.items()) if isinstance(headers, dict) else headers
