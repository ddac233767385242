"""One partition number: records in, one window out; the same stock wherever windows begin and end."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.rows import POLICY_KEY, POSITION_KEY, RowError, decode_position, decode_row
from tests.builders.events import (
    CLOCK as SKU,
)
from tests.builders.events import (
    adjusted,
    cancelled,
    counted,
    item,
    observed,
    policy,
    received,
    rejected,
    resync,
    returned,
    shipped,
    sold,
    transfer_sent,
)
from tests.unit.streams.log import START, Log, Reader
from topics.catalogue import CLOCK, ITEMS, REROUTED, STOREFRONT, SYNC, WAREHOUSE
from topics.codec import decode, encode
from topics.events import Event, Tick
from topics.murmur2 import partition_of

PICK = st.tuples(
    st.sampled_from(["received", "shipped", "adjusted", "counted", "sold", "cancelled", "returned", "sent", "tick"]),
    st.integers(0, 1),  # SKU
    st.integers(1, 9),  # units
    st.integers(0, 50),  # minute
    st.integers(0, 11),  # event id: few, so that resends and conflicts are common
)
Picks = list[tuple[str, int, int, int, int]]


def event_of(kind: str, sku: str, units: int, at: str, event_id: str) -> Event:
    match kind:
        case "received":
            return received(sku, units, at, event_id=event_id, sequence=units)
        case "shipped":
            return shipped(sku, units, at, event_id=event_id)
        case "adjusted":
            return adjusted(sku, -units, at, event_id=event_id)
        case "counted":
            return counted(sku, units, at, event_id=event_id)
        case "sold":
            return sold(sku, units, at, event_id=event_id)
        case "cancelled":
            return cancelled(sku, units, at, event_id=event_id)
        case "returned":
            return returned(sku, units, "missing" if units % 2 else "restock", at, event_id=event_id)
        case _:
            return transfer_sent(sku, units, f"T-{units}", at, event_id=event_id)


def log_of(picks: Picks) -> Log:
    log = Log()
    for n, (kind, sku, units, minute, event_id) in enumerate(picks):
        if kind == "tick":
            log.tick(START + 120_000 * n)
        else:
            log.say(event_of(kind, f"SKU-{sku}", units, f"09:{minute:02}", f"E-{event_id}"))
    return log


def stock_of(reader: Reader) -> dict[bytes, Any]:
    """The rows, without what tells when something was published."""
    found = {}
    for key, value in reader.changelog.items():
        if key not in (POSITION_KEY, POLICY_KEY):
            row = decode_row(value)
            row.published = None
            row.channels = {}
            found[key] = row
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(PICK, max_size=40), st.sets(st.integers(0, 40)))
def test_batch_boundaries_do_not_matter(picks: Picks, cuts: set[int]) -> None:
    """Rows, discrepancies, dead letters and the final numbers are those of one window for each record."""
    log = log_of(picks)
    single, batched = Reader(), Reader()
    for record in log.records:
        single.read([record])
    for start, end in pairwise(sorted({0, *cuts, len(picks)})):
        batched.read(log.records[start:end])
    assert stock_of(batched) == stock_of(single)
    assert batched.shown() == single.shown()
    assert batched.told() == single.told()
    assert batched.dead_letters() == single.dead_letters()
    assert decode_position(batched.close().rows[-1][1]) == decode_position(single.close().rows[-1][1])


@settings(max_examples=60, deadline=None)
@given(st.lists(PICK, min_size=1, max_size=40), st.integers(0, 40), st.sampled_from([3, 100_000]))
def test_a_restart_changes_nothing(picks: Picks, cut: int, limit: int) -> None:
    """Rows from the changelog, memory from the log: what comes next is decided as by one that never stopped.

    Each SKU and discrepancy is told the same in the same order; order between them is not promised.
    """
    log, rules = log_of(picks), policy(memory={"records": limit})
    steady = Reader(rules)
    steady.read(log.records[:cut])
    started = steady.restarted(log)
    for reader in (steady, started):
        reader.read(log.records[cut:])
    assert stock_of(started) == stock_of(steady)
    assert started.by_key() == steady.by_key()
    assert started.changelog == steady.changelog


@settings(max_examples=40, deadline=None)
@given(st.lists(PICK, max_size=30), st.integers(0, 30))
def test_versions_never_go_back_and_each_is_told_once(picks: Picks, cut: int) -> None:
    reader = Reader()
    log = log_of(picks)
    for record in log.records[:cut]:
        reader.read([record])
    reader.read(log.records[cut:])
    for sku in reader.shown():
        versions = [update.version for update in reader.syncs() if update.sku == sku]
        assert versions == sorted(set(versions))


def test_redelivered_records_are_skipped() -> None:
    """By their offset alone: not even a resend is counted."""
    log = Log().say(received(SKU, 5), sold(SKU, 1))
    reader = Reader()
    reader.read(log.records)
    again = reader.read(log.records)
    assert [key for key, _ in again.rows] == [POSITION_KEY]
    assert again.outputs == []
    assert again.tally.outcomes == {}
    assert again.positions == {WAREHOUSE.name: 1, STOREFRONT.name: 1}


def test_a_position_moves_past_records_that_are_none() -> None:
    """Commit markers and aborted records: a chunk without records that covers a range."""
    reader = Reader()
    reader.ledger.fold(WAREHOUSE, [], 7)
    assert reader.close().positions == {WAREHOUSE.name: 7}
    reader.ledger.fold(WAREHOUSE, [], 3)
    assert reader.close().positions == {WAREHOUSE.name: 7}


def test_nothing_is_told_when_nothing_visible_changed() -> None:
    """The version rises, in silence."""
    log = Log().say(received(SKU, 5))
    reader = Reader()
    reader.read(log.records)
    quiet = Log(ends=log.ends).say(sold(SKU, 2), cancelled(SKU, 2), counted(SKU, 5, "11:00"))
    batch = reader.read(quiet.records)
    assert batch.outputs == []
    assert batch.tally.updates == 0
    assert dict(batch.rows)[SKU.encode()]
    row = reader.ledger.stock(SKU)
    assert row is not None
    assert row.version == 4
    assert [update.version for update in reader.syncs()] == [1]


def test_a_sync_update_tells_its_causes() -> None:
    """One for each changed SKU and window; the last five event ids, and how many there were."""
    events = [received(SKU, 1) for _ in range(7)]
    reader = Reader()
    batch = reader.read(Log().say(*events, received("OTHER", 3)).records)
    assert batch.tally.updates == 2
    assert batch.tally.outcomes[WAREHOUSE.name, "applied"] == 8
    clock, other = reader.syncs()
    assert (clock.sku, clock.version, clock.on_hand, clock.caused_by_count) == (SKU, 7, 7, 7)
    assert clock.caused_by == [event.event_id for event in events[-5:]]
    assert (other.sku, other.version, other.locations) == ("OTHER", 1, {"AMS-1": 3})
    assert clock.channels["shopify"].quantity == 7


def test_a_resync_is_told_although_nothing_changed() -> None:
    log = Log().say(received(SKU, 5))
    reader = Reader()
    reader.read(log.records)
    reader.read(Log(ends=log.ends).say(resync(SKU)).records)
    assert [(update.version, update.on_hand) for update in reader.syncs()] == [(1, 5), (2, 5)]


def test_items_change_what_channels_get() -> None:
    """A removed item is as none; removing what is not there is a duplicate and makes no row."""
    log = Log().say(received(SKU, 5), item(SKU, safety_stock=2, listings={"shopify": {}}))
    log.raw(ITEMS, SKU.encode(), None)
    log.raw(ITEMS, b"NOBODY", None)
    reader = Reader()
    quantities = []
    for record in log.records:
        reader.read([record])
        quantities.append(reader.shown()[SKU]["channels"]["shopify"]["quantity"])
    assert quantities == [5, 3, 5, 5]
    assert b"NOBODY" not in reader.ledger.rows
    assert b"NOBODY" not in reader.changelog


def test_an_item_that_shows_nothing_new_is_silent() -> None:
    """It names the channels and the safety stock that the SKU had without it."""
    log = Log().say(received(SKU, 5), item(SKU, safety_stock=0, listings={"shopify": {}}))
    reader = Reader()
    reader.read(log.records[:1])
    assert reader.read(log.records[1:]).outputs == []
    assert [update.version for update in reader.syncs()] == [1]


def test_what_was_told_is_told_while_a_window_is_open() -> None:
    """Neither the new numbers under the old version, nor the other way round."""
    reader = Reader()
    log = Log().say(received(SKU, 5), shipped(SKU, 2))
    assert reader.ledger.told(SKU) is None
    reader.fold(log.records[:1])
    assert reader.ledger.told(SKU) is None
    reader.close()
    first = reader.ledger.told(SKU)
    reader.fold(log.records[1:])
    assert reader.ledger.told(SKU) == first
    reader.close()
    second = reader.ledger.told(SKU)
    assert [told and (told["version"], told["on_hand"]) for told in (first, second)] == [(1, 5), (2, 3)]
    assert orjson.loads(reader.values(SYNC)[-1]) == orjson.loads(orjson.dumps(second))


def test_a_row_of_which_only_the_catalogue_knew_goes_on() -> None:
    """Its item came and went before the first movement, and the worker was restarted in between."""
    log = Log().say(item(SKU, "9.50", listings={"shopify": {}}))
    log.raw(ITEMS, SKU.encode(), None)
    reader = Reader()
    reader.read(log.records)
    started = reader.restarted(log)
    started.read(Log(ends=log.ends).say(received(SKU, 5)).records)
    assert [(update.version, update.on_hand) for update in started.syncs()] == [(3, 5)]


def test_a_refused_record_makes_no_row() -> None:
    """A hostile upstream cannot fill the table with SKUs of which nothing is known."""
    log = Log().say(resync("NOBODY"), observed("NOBODY-2", 5, channel="elsewhere"))
    reader = Reader()
    batch = reader.read(log.records)
    assert [key for key, _ in batch.rows] == [POLICY_KEY, POSITION_KEY]
    assert reader.ledger.rows == {}
    assert {output.topic for output in batch.outputs} == {record.topic.dlq for record in log.records}
    assert set(batch.tally.reasons.values()) == {1}


@pytest.mark.parametrize(
    ("events", "ticks", "kind", "place"),
    [
        ([counted(SKU, 5)], 0, None, {}),
        ([received(SKU, 9), counted(SKU, 5, "11:00")], 1, "count_variance", {"location": "AMS-1"}),
        ([shipped(SKU, 5)], 1, "negative_on_hand", {"location": "AMS-1", "condition": "sellable"}),
        ([received(SKU, 1), sold(SKU, 5)], 1, "oversold", {}),
        ([received(SKU, 5), shipped(SKU, 1)], 1, "shipped_exceeds_sold", {}),
        ([returned(SKU, 1)], 1, "returned_exceeds_sold", {}),
        ([returned(SKU, 1, "missing")], 0, "refund_without_goods", {"location": "AMS-1"}),
        ([received(SKU, 5), transfer_sent(SKU, 5, "T-7")], 1, "transfer_short", {"reference": "T-7"}),
        ([received(SKU, 5), rejected(SKU, 1, 5)], 0, "channel_rejected", {"channel": "shopify"}),
        ([received(SKU, 5, sequence=1), received(SKU, 5, sequence=9)], 1, "sequence_gap", {}),
        ([received(SKU, 5, event_id="X"), received(SKU, 6, event_id="X")], 0, "id_conflict", {}),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_discrepancies_are_records_of_the_contract(
    events: list[Event], ticks: int, kind: str | None, place: dict[str, str]
) -> None:
    """Each kind that opens is read by `decode_discrepancy`, with its place in the fields that are made for it."""
    log = Log().say(*events)
    for n in range(2 * ticks):
        log.tick(START + 400_000 * (n + 1))
    reader = Reader()
    reader.read(log.records)
    found = [told for told in reader.told() if told.kind == kind]
    assert bool(found) == (kind is not None)
    for told in found:
        assert told.status == "opened"
        assert told.sku == SKU
        assert told.difference == told.observed - told.expected
        assert {name: getattr(told, name) for name in place} == place
        assert told.evidence


def test_a_misrouted_record_is_moved_and_never_folded() -> None:
    """To its SKU's partition, with its place in headers; forged ones are replaced."""
    log = Log()
    event = received("SKU-1", 5)
    owner = partition_of(b"SKU-1", 4)
    headers = [("trace", b"1"), ("stockstream.offset", b"forged")]
    record = log.raw(WAREHOUSE, b"SKU-1", encode(event), headers)
    wrong, right = Reader(partitions=4, number=(owner + 1) % 4), Reader(partitions=4, number=owner)
    batch = wrong.read([record])
    (moved,) = batch.outputs
    assert (moved.topic, moved.partition, moved.value) == (REROUTED.name, owner, record.value)
    expected = {"trace": b"1", "stockstream.topic": WAREHOUSE.name.encode(), "stockstream.offset": b"0"}
    assert dict(moved.headers) == expected | {"stockstream.partition": b"%d" % wrong.number}
    assert batch.tally.outcomes == {(WAREHOUSE.name, "rerouted"): 1}
    assert wrong.ledger.rows == {}
    at_home = Log()
    told = [(name, value or b"") for name, value in moved.headers]
    for _ in range(2):
        at_home.raw(REROUTED, moved.key, moved.value, told)
    batch = right.read(at_home.records)
    assert batch.tally.outcomes == {(REROUTED.name, "applied"): 1, (REROUTED.name, "duplicate"): 1}
    assert [update.on_hand for update in right.syncs()] == [5]
    again = Log()
    again.raw(REROUTED, moved.key, moved.value, told)
    again.raw(REROUTED, moved.key, moved.value)
    batch = wrong.read(again.records)
    assert batch.tally.reasons == {(REROUTED.name, "key_mismatch"): 1, (REROUTED.name, "field"): 1}


def test_a_moved_record_fits_into_the_broker() -> None:
    """Headers of megabytes may come compressed; what the worker writes must not stop the partition."""
    owner = partition_of(b"SKU-1", 4)
    headers = [("small", b"1"), ("huge", bytes(5_000_000)), ("null", None)]
    record = Log().raw(WAREHOUSE, b"SKU-1", encode(received("SKU-1", 5)), headers)  # type: ignore[arg-type]
    wrong = Reader(partitions=4, number=(owner + 1) % 4).fold([record])
    assert wrong.ledger.carried == len(record.value or b"")
    (moved,) = wrong.close().outputs
    assert wrong.ledger.carried == 0
    assert moved.headers[:3] == (("small", b"1"), ("null", None), ("stockstream.headers_dropped", b"1"))


def test_a_changed_policy_shows_itself_once() -> None:
    """In the windows of the start; the last of them holds the policy, so that the next start has nothing to do."""
    old, new = ({"shopify": {"kind": "shopify"}, "outlet": {"kind": "webhook", "percent": n}} for n in (50, 100))
    log = Log().say(*(item(f"SKU-{n}", listings={"shopify": {}}) for n in (1, 2, 3)))
    log.say(*(received(f"SKU-{n}", n) for n in range(1, 6)))
    reader = Reader(policy(channels=old))
    reader.read(log.records)
    started = reader.restarted(log, policy(channels=new))
    while started.ledger.migrate(2):
        started.close()
    changed = [(update.sku, update.version, update.channels["outlet"].quantity) for update in started.syncs()[5:]]
    assert changed == [("SKU-4", 2, 4), ("SKU-5", 2, 5)]
    assert started.restarted(log).ledger.migrate(2) is False
    back = started.restarted(log, policy(channels=old))
    assert back.ledger.migrate(100) is True
    back.close()
    changed = [(update.sku, update.version, update.channels["outlet"].quantity) for update in back.syncs()[7:]]
    assert changed == [("SKU-4", 3, 2), ("SKU-5", 3, 2)]


def test_a_tick_goes_through_the_log() -> None:
    """The clock's stroke is an output; it takes effect when it is read back."""
    reader = Reader()
    reader.ledger.strike(START)
    assert reader.ledger.outputs
    (tick,) = reader.close().outputs
    assert (tick.topic, tick.partition, tick.key) == (CLOCK.name, 0, None)
    assert isinstance(decode(CLOCK, None, tick.value, START), Tick)
    assert not reader.ledger.touched
    assert not reader.ledger.outputs


@pytest.mark.parametrize(
    "records",
    [
        {b"SKU": b'[2,0,"SKU",1]'},
        {b"SKU": b"\x80rubbish"},
        {b"SKU": b'[1,1,"SKU",1,1,1,0,[["AMS-1"]]]'},
        {POSITION_KEY: b'{"format":2,"positions":{},"forgotten":[0,0],"voided":{},"clock":0}'},
        {POSITION_KEY: b'{"format":1}'},
    ],
    ids=["newer row", "rubbish", "damaged row", "newer position", "damaged position"],
)
def test_what_cannot_be_read_is_refused(records: dict[bytes, bytes]) -> None:
    """Never guessed at: the worker does not start on it."""
    with pytest.raises(RowError):
        Reader(changelog=records)


def test_only_the_changed_rows_are_written() -> None:
    log = Log().say(received("A", 1), received("B", 1))
    reader = Reader()
    reader.read(log.records)
    batch = reader.read(Log(ends=log.ends).say(received("B", 1)).records)
    assert [key for key, _ in batch.rows] == [b"B", POSITION_KEY]
    assert [output.topic for output in batch.outputs] == [SYNC.name]
