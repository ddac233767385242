"""What comes in is a model or a `Bad` with its reason, whatever the bytes are."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.builders.bad_input import AT, BAD_INPUTS, KEY, SKU, BadInput, good, literal, raw
from topics.catalogue import CLOCK, COMMANDS, DISCREPANCIES, ITEMS, REPORTS, RETURNS, STOREFRONT, SYNC, WAREHOUSE, Topic
from topics.codec import (
    MAX_VALUE_BYTES,
    Bad,
    ItemRemoved,
    Reason,
    decode,
    decode_discrepancy,
    decode_sync,
    encode,
    rfc3339,
    unknown_fields,
)
from topics.events import Item, Received, Sold, Tick
from topics.examples import BROKER_TIME_MS, EXAMPLES, parsed
from topics.refusals import MAX_DETAIL
from topics.updates import SyncUpdate

READ = (WAREHOUSE, STOREFRONT, RETURNS, REPORTS, COMMANDS, ITEMS, CLOCK)
ALL_EXAMPLES = [(topic, fields) for topic, examples in EXAMPLES.items() for fields in examples]


def read(value: bytes | None, key: bytes | None = KEY, topic: Topic = WAREHOUSE, now: int = BROKER_TIME_MS) -> Any:
    return decode(topic, key, value, now)


@pytest.mark.parametrize("bad", BAD_INPUTS, ids=str)
def test_bad_input_is_refused_with_its_reason(bad: BadInput) -> None:
    verdict = read(bad.value, bad.key, bad.topic)
    assert isinstance(verdict, Bad)
    assert verdict.reason == bad.reason, verdict.detail
    assert verdict.detail.isprintable()
    assert 0 < len(verdict.detail) <= MAX_DETAIL


def test_the_catalogue_of_bad_input_knows_every_reason_of_the_codec() -> None:
    """id_conflict and internal are found later, by the rules of stock."""
    assert {bad.reason for bad in BAD_INPUTS} == set(get_args(Reason)) - {"id_conflict", "internal"}
    assert len({bad.name for bad in BAD_INPUTS}) == len(BAD_INPUTS)


@pytest.mark.parametrize(("topic", "fields"), ALL_EXAMPLES)
def test_examples_are_accepted_and_round_trip(topic: Topic, fields: dict[str, Any]) -> None:
    model = parsed(topic, fields)
    again: object
    if topic is SYNC:
        again = decode_sync(encode(model))
    elif topic is DISCREPANCIES:
        again = decode_discrepancy(encode(model))
    else:
        key = None if topic is CLOCK else fields["sku"].encode()
        again = decode(topic, key, encode(model), BROKER_TIME_MS)
    assert again == model
    assert json.loads(encode(model)).keys() >= fields.keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("white space", json.dumps(good(), indent=3).encode() + b"\n"),
        ("commas in a text", raw(reference="a,b,c,d,e,f,g,h,i,j,k,l")),
        ("escapes", raw().replace(b"wms", b"\\u0077ms")),
        ("null in optional fields", raw(reference=None, sequence=None)),
        ("lower case t and z", raw(occurred_at="2024-11-23t10:00:00.12z")),
        ("an offset", raw(occurred_at="2024-11-23T15:30:00.120+05:30")),
        ("nanoseconds", raw(occurred_at="2024-11-23T10:00:00.120000999Z")),
        ("the largest value", raw(x="a" * (MAX_VALUE_BYTES - len(raw(x=""))))),
        ("the largest quantity", raw(quantity=10**9)),
        ("the largest sequence", raw(sequence=2**63 - 1)),
        ("1990", raw(occurred_at="1990-01-01T00:00:00Z")),
        ("1e400 in an unknown field", literal("x", b"1e400")),
        ("an empty reference", raw(reference="")),
        ("64 characters of event_id", raw(event_id="~" * 64)),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_what_looks_odd_but_is_right_is_accepted(name: str, value: bytes) -> None:
    assert isinstance(read(value), Received), read(value)


@pytest.mark.parametrize("sku", ["../x", "=cmd()", "日本", "café", "<b>", "A" * 64, "';DROP", "🕰", "a/b?c#d%20"])
def test_any_printable_sku_is_data(sku: str) -> None:
    event = read(raw(sku=sku), sku.encode())
    assert isinstance(event, Received)
    assert event.sku == sku


def test_a_time_keeps_its_instant() -> None:
    event = read(raw(occurred_at="2024-11-23T15:30:00.120+05:30"))
    assert event.occurred_at == datetime(2024, 11, 23, 10, 0, 0, 120_000, UTC)


@pytest.mark.parametrize(("seconds", "accepted"), [(0, True), (24 * 3600, True), (24 * 3600 + 0.001, False)])
def test_a_clock_may_be_one_day_ahead_of_the_broker(seconds: float, accepted: bool) -> None:
    at = datetime.fromtimestamp(BROKER_TIME_MS / 1000, UTC) + timedelta(seconds=seconds)
    verdict = read(raw(occurred_at=rfc3339(at)))
    assert isinstance(verdict, Received) == accepted
    assert accepted or verdict.reason == "timestamp"


def test_the_first_reason_in_the_contracts_order_is_given() -> None:
    assert read(raw(location="..", quantity=0, sequence=-1, occurred_at="x")).reason == "location"
    assert read(raw(quantity=0, sequence=-1, occurred_at="x")).reason == "quantity"
    assert read(raw(quantity=0), key=b"OTHER").reason == "key_mismatch"
    assert read(raw(quantity=0, event_id=...), key=b"OTHER").reason == "missing_field"
    assert read(raw(sku="A B", quantity=0), key=b"OTHER").reason == "sku"


def test_unknown_fields_are_counted_and_change_nothing() -> None:
    event = read(raw(colour="red", shelf={"row": [1, 2]}))
    assert unknown_fields(event) == 2
    assert unknown_fields(read(raw())) == 0
    assert event.quantity == 5


def test_a_sale_may_name_its_location() -> None:
    sale = {k: v for k, v in good(type="sold").items() if k != "sequence"}
    event = read(json.dumps(sale).encode(), topic=STOREFRONT)
    assert isinstance(event, Sold)
    assert (event.location, unknown_fields(event)) == ("AMS-1", 0)
    assert read(json.dumps({**sale, "location": ".."}).encode(), topic=STOREFRONT).reason == "location"


@pytest.mark.parametrize("value", [None, b"", b"null", b" null\n"])
def test_a_null_removes_an_item(value: bytes | None) -> None:
    assert read(value, topic=ITEMS) == ItemRemoved(SKU)


def test_class_is_an_items_own_word() -> None:
    item = read(b'{"sku":"BAD-CLOCK","class":"A"}', topic=ITEMS)
    assert isinstance(item, Item)
    assert item.class_ == "A"
    assert json.loads(encode(item)) == {"sku": SKU, "title": "", "class": "A", "listings": {}}


def test_a_sync_update_always_has_all_fields() -> None:
    update = parsed(SYNC, EXAMPLES[SYNC][0])
    assert isinstance(update, SyncUpdate)
    assert json.loads(encode(update))["channels"]["shopify"]["cap"] is None


@pytest.mark.parametrize("value", [b"", b"{}", b"null", b"\xff", b'{"sku":"A","surprise":1}'])
def test_what_we_publish_is_read_strictly(value: bytes) -> None:
    with pytest.raises(ValueError):
        decode_sync(value)
    with pytest.raises(ValueError):
        decode_discrepancy(value)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 11, 23, 10, tzinfo=UTC), "2026-11-23T10:00:00.000Z"),
        (datetime(2026, 11, 23, 10, 0, 0, 120_000, UTC), "2026-11-23T10:00:00.120Z"),
        (datetime(2026, 11, 23, 10, 0, 0, 1, UTC), "2026-11-23T10:00:00.000001Z"),
        (datetime(2026, 11, 23, 1, tzinfo=timezone(timedelta(hours=2))), "2026-11-22T23:00:00.000Z"),
    ],
)
def test_times_go_out_in_utc(moment: datetime, text: str) -> None:
    assert rfc3339(moment) == text


def test_a_model_that_holds_something_else_cannot_be_encoded() -> None:
    class Odd(BaseModel):
        thing: Any

    with pytest.raises(TypeError, match="object"):
        encode(Odd(thing=object()))


@given(st.sampled_from(READ), st.none() | st.binary(max_size=80), st.none() | st.binary(max_size=300), st.integers())
@example(WAREHOUSE, b"", b"", -1)
def test_no_bytes_raise(topic: Topic, key: bytes | None, value: bytes | None, at: int) -> None:
    assert isinstance(decode(topic, key, value, at % 2**63), Bad | ItemRemoved)


@given(st.sampled_from(READ), st.data())
def test_no_mutation_of_a_good_record_raises(topic: Topic, data: st.DataObject) -> None:
    """Cut, overwrite or repeat a part: it is a model or a `Bad`, and a model still says what the bytes say."""
    value = bytearray(encode(parsed(topic, data.draw(st.sampled_from(EXAMPLES[topic])))))
    start = data.draw(st.integers(0, len(value)))
    end = data.draw(st.integers(start, min(len(value), start + 20)))
    value[start:end] = data.draw(st.binary(max_size=6) | st.just(bytes(value[start:end]) * 2))
    verdict = decode(topic, b"RETRO-CLOCK", bytes(value), BROKER_TIME_MS)
    if not isinstance(verdict, Bad | ItemRemoved):
        known = verdict.model_dump(mode="json", by_alias=True)
        assert ("occurred_at" in known) == (topic is not ITEMS)
        for name, content in json.loads(value, object_pairs_hook=_no_repeats).items():
            if name != "occurred_at":
                assert known[name] == content


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


_NAMES = st.sampled_from(["a", "b", "sku", "quantity", "x,y", "\\u0061", "z"])
_VALUES = st.recursive(
    st.sampled_from(["1", '"t"', '"c,c"', "null", "true", "1.5"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]")
        | st.lists(st.tuples(_NAMES, inner), max_size=3).map(
            lambda pairs: "{" + ",".join(f'"{k}":{v}' for k, v in pairs) + "}"
        )
    ),
    max_leaves=6,
)


@given(st.lists(st.tuples(_NAMES, _VALUES), max_size=4))
def test_repeated_keys_are_found_at_any_depth(extra: list[tuple[str, str]]) -> None:
    """The cheap proof (fewer commas than fields) never lets one pass, and refuses nothing that has none."""
    value = raw()[:-1] + "".join(f',"{k}":{v}' for k, v in extra).encode() + b"}"
    try:
        json.loads(value, object_pairs_hook=_no_repeats)
        repeated = False
    except AssertionError:
        repeated = True
    verdict = read(value)
    assert isinstance(verdict, Bad) == repeated
    assert not repeated or verdict.reason == "malformed"


_TEXT = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=64)


@given(
    sku=_TEXT.filter(lambda s: s.isascii()),
    quantity=st.integers(1, 10**9),
    at=st.datetimes(datetime(1990, 1, 2), datetime(2026, 11, 1), timezones=st.timezones()),
    reference=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=128),
    sequence=st.none() | st.integers(0, 2**63 - 1),
)
def test_movements_round_trip(
    sku: str, quantity: int, at: datetime, reference: str | None, sequence: int | None
) -> None:
    event = Received(
        sku=sku,
        event_id="e",
        source="s",
        occurred_at=at,
        reference=reference,
        sequence=sequence,
        location="AMS-1",
        type="received",
        quantity=quantity,
    )
    read_back = decode(WAREHOUSE, sku.encode(), encode(event), BROKER_TIME_MS)
    # In UTC: Python calls an hour that a time zone has twice unequal to everything.
    assert read_back == event.model_copy(update={"occurred_at": at.astimezone(UTC)})


def test_ticks_have_no_key() -> None:
    assert isinstance(decode(CLOCK, None, f'{{"occurred_at":"{AT}"}}'.encode(), BROKER_TIME_MS), Tick)
