"""Dead letters: nothing of the record changes, nothing can be forged, and each fits into its topic."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.bad_input import KEY, raw
from topics.catalogue import CLOCK, ITEMS, REROUTED, SYNC, WAREHOUSE
from topics.codec import Bad
from topics.dead_letters import MAX_KEY_BYTES, DeadLetter, bury, sent_headers
from topics.refusals import MAX_DETAIL
from topics.replay import Buried, NotPutBackError, put_back, selected, sku_key
from topics.rerouted import MAX_HEADER_BYTES, MAX_HEADERS, Origin, origin_of, reroute_headers

NOW = 1_800_000_000_000
BAD = Bad("quantity", "quantity: must be at least 1")


def buried(
    bad: Bad = BAD, topic: str = WAREHOUSE.name, value: bytes | None = raw(), key: Any = KEY, headers: Any = ()
) -> DeadLetter:
    return bury(topic, 3, 42, key, value, headers, bad, "decode", "stockstream")


def test_a_dead_letter_has_the_headers_of_kafka_connect() -> None:
    letter = buried(headers=[("trace", b"t1"), ("empty", None), ("trace", b"t2")])
    assert letter == DeadLetter(
        "warehouse.movements.v1.dlq",
        KEY,
        raw(),
        (
            ("trace", b"t1"),
            ("empty", None),
            ("trace", b"t2"),
            ("__connect.errors.topic", b"warehouse.movements.v1"),
            ("__connect.errors.partition", b"3"),
            ("__connect.errors.offset", b"42"),
            ("__connect.errors.connector.name", b"stockstream"),
            ("__connect.errors.stage", b"decode"),
            ("__connect.errors.exception.class.name", b"topics.refusals.Bad"),
            ("__connect.errors.exception.message", b"quantity: must be at least 1"),
            ("stockstream.reason", b"quantity"),
        ),
    )


def test_forged_headers_are_replaced() -> None:
    forged = [("stockstream.reason", b"internal"), ("__connect.errors.topic", b"x"), ("stockstream.topic", b"y")]
    letter = buried(headers=[("a", b"1"), *forged])
    assert [v for n, v in letter.headers if n == "stockstream.reason"] == [b"quantity"]
    assert [v for n, v in letter.headers if n == "__connect.errors.topic"] == [b"warehouse.movements.v1"]
    assert "stockstream.topic" not in dict(letter.headers)


def test_of_a_value_that_is_too_large_one_kibibyte_is_kept() -> None:
    letter = buried(Bad("too_large", "300000 bytes"), value=b"x" * 300_000)
    assert letter.value == b"x" * 1024
    assert buried(value=b"x" * 300_000).value == b"x" * 300_000


@pytest.mark.parametrize(
    "headers", [[(f"h{i}", b"v") for i in range(10_000)], [("big", b"x" * 1_000_000)] * 3, [("n" * 70_000, None)]]
)
def test_hostile_headers_and_keys_do_not_stop_a_partition(headers: list[tuple[str, bytes | None]]) -> None:
    letter = buried(headers=[("first", b"1"), *headers, ("last", b"2")], key=b"k" * 500_000)
    kept = sent_headers(letter.headers)
    assert kept[0] == ("first", b"1")
    assert len(kept) <= MAX_HEADERS
    assert sum(len(n) + len(v or b"") for n, v in kept) <= MAX_HEADER_BYTES
    assert int(dict(letter.headers)["stockstream.headers_dropped"] or b"0") == len(headers) + 2 - len(kept)
    assert len(letter.key or b"") == MAX_KEY_BYTES
    assert dict(letter.headers)["stockstream.key_truncated"] == b"500000"


def test_a_detail_is_one_short_printable_line() -> None:
    detail = Bad("field", "a\n\x1b[31m\u202e" + "b" * 500).detail
    assert detail.startswith("a\\n\\x1b[31m\\u202eb")
    assert len(detail) == MAX_DETAIL
    assert detail.isprintable()


def test_a_rerouted_record_keeps_its_origin() -> None:
    headers = reroute_headers(WAREHOUSE.name, 1, 7, [("a", b"1"), ("stockstream.offset", b"999")])
    assert origin_of(headers) == Origin(WAREHOUSE, 1, 7)
    letter = buried(topic=REROUTED.name, headers=headers)
    assert letter.topic == "stock.rerouted.v1.dlq"
    assert dict(letter.headers)["__connect.errors.topic"] == b"stock.rerouted.v1"
    assert origin_of(letter.headers) == Origin(WAREHOUSE, 1, 7)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("stockstream.topic", b"stock.sync.v1"), ("stockstream.partition", b"0"), ("stockstream.offset", b"0")],
        [("stockstream.topic", b"\xff"), ("stockstream.partition", b"0"), ("stockstream.offset", b"0")],
        [("stockstream.topic", b"warehouse.movements.v1"), ("stockstream.partition", b"x")],
        [("stockstream.topic", None), ("stockstream.partition", b"0"), ("stockstream.offset", b"0")],
    ],
)
def test_an_origin_that_makes_no_sense_is_none(headers: list[tuple[str, bytes | None]]) -> None:
    assert origin_of(headers) is None


def read_back(letter: DeadLetter) -> Buried:
    return Buried(letter.topic, 0, 5, letter.key, letter.value, letter.headers, NOW)


def test_a_dead_letter_tells_where_it_came_from() -> None:
    found = read_back(buried())
    assert (found.place, found.came_from) == ("warehouse.movements.v1.dlq/0/5", "warehouse.movements.v1/3/42")
    assert (found.reason, found.message) == ("quantity", "quantity: must be at least 1")
    assert Buried("warehouse.movements.v1.dlq", 0, 0, None, None, (), 0).reason == "unknown"


def test_what_is_put_back_is_what_was_sent() -> None:
    record = put_back(read_back(buried(headers=[("a", b"1")])), NOW)
    assert (record.topic, record.key, record.value, record.headers) == (WAREHOUSE, KEY, raw(), (("a", b"1"),))


def test_what_would_come_back_stays() -> None:
    found = read_back(buried(value=raw(quantity=0)))
    with pytest.raises(NotPutBackError, match="would come back: quantity"):
        put_back(found, NOW)
    assert put_back(found, NOW, force=True).value == raw(quantity=0)
    assert put_back(found, NOW, raw(quantity=1)).value == raw(quantity=1)


def test_a_mended_record_keeps_its_event_id() -> None:
    found = read_back(buried(value=raw(quantity=0)))
    with pytest.raises(NotPutBackError, match="event_id must stay"):
        put_back(found, NOW, raw(event_id="other"))
    conflict = read_back(buried(Bad("id_conflict", "other content")))
    assert put_back(conflict, NOW, raw(event_id="other")).value == raw(event_id="other")
    no_id = read_back(buried(Bad("field", "event_id: too long"), value=raw(event_id="x" * 65)))
    assert put_back(no_id, NOW, raw(event_id="short")).value == raw(event_id="short")
    unreadable = read_back(buried(Bad("malformed", "x"), value=b"{"))
    assert put_back(unreadable, NOW, raw()).value == raw()


def test_a_wrong_key_is_mended_from_the_sku() -> None:
    found = read_back(buried(Bad("key_mismatch", "x"), key=b"OTHER"))
    with pytest.raises(NotPutBackError, match="key_mismatch"):
        put_back(found, NOW)
    assert put_back(found, NOW, key=sku_key(found.value)).key == KEY
    for value in (None, b"", b"[]", b"{}", b'{"sku":5}', b'{"sku":""}'):
        with pytest.raises(NotPutBackError, match="no sku"):
            sku_key(value)


def test_what_was_cut_is_not_put_back_cut() -> None:
    with pytest.raises(NotPutBackError, match="first 1 KiB"):
        put_back(read_back(buried(Bad("too_large", "x"), value=b"x" * 300_000)), NOW, force=True)
    with pytest.raises(NotPutBackError, match="key was cut"):
        put_back(read_back(buried(key=b"k" * 10_000)), NOW, force=True)


@pytest.mark.parametrize("topic", [SYNC, CLOCK])
def test_what_only_the_worker_writes_is_not_put_back(topic: Any) -> None:
    """An old sync update would become the newest of the compacted topic."""
    with pytest.raises(NotPutBackError, match="written by the worker alone"):
        put_back(read_back(buried(topic=topic.name)), NOW, force=True)


def test_a_rerouted_record_goes_back_to_its_origin() -> None:
    headers = reroute_headers(ITEMS.name, 1, 7, [("a", b"1")])
    found = read_back(buried(topic=REROUTED.name, headers=headers, value=None))
    record = put_back(found, NOW)
    assert (record.topic, record.value, record.headers) == (ITEMS, None, (("a", b"1"),))
    assert read_back(buried(topic=REROUTED.name)).target is None


def test_topics_are_chosen_by_either_name() -> None:
    assert selected(["warehouse.movements.v1", "stock.sync.v1.dlq"]) == [WAREHOUSE.dlq, SYNC.dlq]
    assert WAREHOUSE.dlq in selected([])
    with pytest.raises(NotPutBackError, match=r"shop\.dlq: no dead-letter topic"):
        selected(["shop"])
