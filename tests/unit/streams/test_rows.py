"""Rows and the position record: what is written is read again, value for value."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.issue import Issue, IssueKey, Resolution
from streams.core.memory import Forgotten
from streams.core.rows import (
    FORMAT,
    RowError,
    check_row,
    decode_position,
    decode_row,
    encode_position,
    encode_row,
    needs_attention,
)
from streams.core.stock import (
    Balance,
    ChannelState,
    Count,
    ItemFacts,
    Place,
    Published,
    Sequence,
    Stock,
    SubLedger,
    Transfer,
)
from tests.builders.events import received, sold
from tests.unit.streams.log import Log, Reader

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
UNITS = st.integers(-(10**12), 10**12)
STAMP = st.integers(0, 2**53)
COUNTER = st.integers(0, 10**9)
MAYBE = st.none() | TEXT
PAIRS = st.lists(st.tuples(COUNTER, COUNTER), max_size=3)

COUNTS = st.builds(Count, STAMP, TEXT, TEXT, UNITS, UNITS, STAMP)
BALANCES = st.dictionaries(
    st.builds(Place, TEXT, st.sampled_from(["sellable", "quality_control", "damaged"])),
    st.builds(Balance, UNITS, st.none() | COUNTS),
    max_size=3,
)
SEQUENCES = st.builds(Sequence, COUNTER, COUNTER, PAIRS)
LEDGERS = st.builds(SubLedger, *[UNITS] * 9, st.none() | SEQUENCES)
ITEMS = st.builds(ItemFacts, TEXT, MAYBE, MAYBE, MAYBE, st.none() | COUNTER, st.lists(TEXT, max_size=3).map(tuple))
CHANNELS = st.builds(
    ChannelState,
    PAIRS,
    st.lists(st.tuples(COUNTER, COUNTER, STAMP), max_size=3),
    st.booleans(),
    COUNTER,
    st.none() | st.tuples(UNITS, STAMP.filter(bool)),
)
PUBLISHED = st.builds(Published, COUNTER, STAMP, st.lists(TEXT, max_size=3).map(tuple), COUNTER)
RESOLUTIONS = st.builds(Resolution, STAMP, MAYBE, MAYBE, MAYBE)
ISSUES = st.builds(
    Issue,
    st.builds(IssueKey, st.sampled_from(["oversold", "id_conflict"]), TEXT),
    TEXT,
    st.sampled_from(["pending", "opened", "acknowledged", "resolved", "reopened"]),
    st.booleans(),
    st.sampled_from(["low", "medium", "high"]),
    UNITS,
    UNITS,
    STAMP,
    STAMP,
    STAMP,
    COUNTER,
    st.lists(TEXT, max_size=2),
    st.lists(TEXT, max_size=2),
    STAMP,
    st.booleans(),
    MAYBE,
    st.none() | RESOLUTIONS,
)


@st.composite
def stocks(draw: st.DrawFn) -> Stock:
    stock = Stock(draw(TEXT), draw(COUNTER), draw(COUNTER), draw(STAMP))
    stock.balances = draw(BALANCES)
    stock.sources = draw(st.dictionaries(TEXT, LEDGERS, max_size=2))
    stock.transfers = draw(st.dictionaries(TEXT, st.builds(Transfer, UNITS, UNITS), max_size=2))
    stock.item = draw(st.none() | ITEMS)
    stock.channels = draw(st.dictionaries(TEXT, CHANNELS, max_size=2))
    stock.issues = {issue.key: issue for issue in draw(st.lists(ISSUES, max_size=2))}
    stock.published = draw(st.none() | PUBLISHED)
    stock.sum_sources()
    return stock


@settings(max_examples=150, deadline=None)
@given(stocks())
def test_a_row_is_read_as_it_was_written(stock: Stock) -> None:
    value = encode_row(stock)
    check_row(value)
    again = decode_row(value)
    assert again == stock
    assert encode_row(again) == value
    waiting = any(issue.state == "pending" or issue.is_open for issue in stock.issues.values())
    assert needs_attention(value) == waiting


@given(
    st.dictionaries(TEXT, COUNTER, max_size=4),
    st.builds(Forgotten, STAMP, STAMP),
    st.dictionaries(TEXT, st.lists(COUNTER, max_size=4), max_size=3),
    STAMP,
)
def test_a_position_is_read_as_it_was_written(
    positions: dict[str, int], forgotten: Forgotten, voided: dict[str, list[int]], clock: int
) -> None:
    record = decode_position(encode_position(positions, forgotten, voided, clock, 100))
    assert record["positions"] == positions
    assert record["forgotten"] == forgotten
    assert record["voided"] == {topic: offsets for topic, offsets in voided.items() if offsets}
    assert (record["clock"], record["memory"]) == (clock, 100)


def test_an_ordinary_row_is_small() -> None:
    """About 100-200 bytes: event ids are not in it, for the log is the memory."""
    reader = Reader()
    reader.read(Log().say(*(received("SKU-12345", 5) for _ in range(40)), sold("SKU-12345", 1)).records)
    value = reader.changelog[b"SKU-12345"]
    assert len(value) < 300
    assert needs_attention(value) is False


@pytest.mark.parametrize(
    "value", [b"", b"null", b"{}", b"[2,0]", b"[1", b"[1,0]", b"[1,0,5,1,1,1,7]", b"[10,0]", b'[1,0,"S",1,1,1,0,[[1]]]']
)
def test_a_row_that_is_none_is_refused(value: bytes) -> None:
    with pytest.raises(RowError):
        decode_row(value)


@pytest.mark.parametrize("record", [5, {}, {"format": FORMAT + 1, "forgotten": [0, 0]}, {"format": FORMAT}])
def test_a_position_of_another_format_is_refused(record: Any) -> None:
    with pytest.raises(RowError, match="position record"):
        decode_position(orjson.dumps(record))
