"""The product: one event meets one row.

A movement that came before changes nothing; one that contradicts its first telling is refused; any other one is booked,
moves balances in event time, and raises or lowers what sources disagree about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streams.core import reports
from streams.core.counts import apply_count, apply_effects
from streams.core.desk import Cause, Desk, Finding
from streams.core.effects import book, effects
from streams.core.issue import IssueKey
from streams.core.memory import Effects, PartitionMemory, Remembered
from streams.core.sequences import look, note
from streams.core.stock import At, Place, Stock, micros
from streams.core.watch import (
    COUNT_AGREES,
    watch_corrected,
    watch_count,
    watch_places,
    watch_sequence,
    watch_totals,
    watch_transfer,
)
from topics.events import (
    Adjusted,
    Command,
    Confirmed,
    Counted,
    Event,
    Movement,
    Observed,
    Rejected,
    Report,
    Returned,
    Transfer,
)
from topics.policy import Policy

COMMANDS = "\0commands"
"""Commands have no source: their event ids are unique among themselves."""
NEXT_COUNT = "a later count was applied"


@dataclass(frozen=True, slots=True)
class Applied:
    """The event took effect. `what`: for movements what became of it in words, for counters and `explain`."""

    what: Literal["applied", "older_count", "late_count"] = "applied"


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The event had taken effect before."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The event goes to the dead letters, for one of the contract's reasons."""

    reason: Literal["id_conflict", "sequence", "field"]
    detail: str


Verdict = Applied | Duplicate | Refused
APPLIED, DUPLICATE = Applied(), Duplicate()


@dataclass(slots=True)
class Books:
    """What one partition keeps besides its rows."""

    policy: Policy
    memory: PartitionMemory
    desk: Desk


def fingerprint(event: Event | Command) -> int:
    """Equal for equal known fields, whatever their order, their spacing and the unknown fields beside them.

    Comparable within one process only: text hashes differently in the next one, which rebuilds its memory anyway.
    """
    fields = tuple(event.__dict__.values())
    return hash((fields, str(event.quantity))) if isinstance(event, Adjusted) else hash(fields)  # hash(-1) == hash(-2)


def stamp_of(event: Event | Command, at: At) -> int:
    """When it happened, in microseconds; a stamp later than the broker's time counts as the broker's time."""
    said = micros(event.occurred_at)
    return min(said, at.timestamp_ms * 1000) if at.timestamp_ms > 0 else said


def identity_of(event: Event | Command) -> tuple[str, str]:
    """What makes a resend a resend."""
    return (event.source if isinstance(event, Event) else COMMANDS, event.event_id)


def remembered(event: Event | Command, at: At) -> Remembered:
    """The event as the memory keeps it."""
    if not isinstance(event, Event):
        return Remembered(
            at.offset, identity_of(event), fingerprint(event), event.sku, 0, None, stamp_of(event, at), ()
        )
    moves: Effects = () if isinstance(event, Report) else effects(_movement(event))
    identity, quantity = (event.source, event.event_id), _quantity(event)
    return Remembered(
        at.offset, identity, fingerprint(event), event.sku, quantity, event.sequence, stamp_of(event, at), moves
    )


def remember_again(event: Event | Command, at: At, memory: PartitionMemory) -> None:
    """Read a record back into the memory alone, at a start. Offsets of a topic ascend; the topics come in any order."""
    if not memory.is_void(at.topic, at.offset):
        memory.add(at.topic, remembered(event, at))


def recognise(entry: Remembered, memory: PartitionMemory) -> Duplicate | Refused | None:
    """Has this identity come before? None: it is new."""
    known = memory.find(entry.identity)
    if known is None:
        return None
    if known.fingerprint == entry.fingerprint:
        return DUPLICATE
    return Refused("id_conflict", f"event_id {entry.identity[1]} came before with other content")


def step(stock: Stock, event: Event, at: At, books: Books) -> Verdict:
    """Let one movement or report meet the row of its SKU.

    The row, the memory and the desk change in place. For a duplicate nothing at all changes but what is remembered of
    the log itself; a refused one changes nothing but what is told of it, and may be put back when its cause is mended.
    """
    memory, entry = books.memory, remembered(event, at)
    verdict: Verdict | None = recognise(entry, memory) or _check_sequence(stock, entry, memory)
    if verdict is None:
        cause = Cause(event.source, event.event_id, at.timestamp_ms)
        if isinstance(event, Report):
            verdict = _report(stock, event, entry.stamp, books, cause)
        else:
            verdict = _move(stock, _movement(event), entry, books, cause)
        if isinstance(verdict, Applied):
            _note_sequence(stock, event, books.desk, cause)
    if isinstance(verdict, Refused):
        _refuse(stock, event, verdict, at, books)
        memory.void(at.topic, at.offset)
    else:
        memory.add(at.topic, entry)
    return verdict


def _quantity(event: Event) -> int:
    return event.quantity  # type: ignore[attr-defined,no-any-return]  # every member of the unions says one


def _movement(event: Event) -> Movement:
    return event  # type: ignore[return-value]  # an Event that is no Report is one of the union's members


def _move(stock: Stock, movement: Movement, entry: Remembered, books: Books, cause: Cause) -> Applied:
    book(stock, stock.source(movement.source), movement)
    stock.version += 1
    stock.movements += 1
    stock.changed_at = max(stock.changed_at, entry.stamp)
    applied = APPLIED
    if isinstance(movement, Counted):
        applied = _count(stock, movement, entry.stamp, books, cause)
    elif entry.effects:
        apply_effects(stock, entry.effects, entry.stamp)
        watch_corrected(stock, entry.effects, entry.stamp, books.desk, cause)
        watch_places(stock, [place for place, _ in entry.effects], books.desk, cause)
    watch_totals(stock, books.desk, cause)
    if isinstance(movement, Transfer):
        watch_transfer(stock, movement.reference, books.desk, cause)
    elif isinstance(movement, Returned) and movement.disposition == "missing":
        key = IssueKey("refund_without_goods", movement.location)
        books.desk.cause(stock, key, Finding(movement.quantity, 0, "medium"), cause, lasting=False)
    return applied


def _count(stock: Stock, counted: Counted, stamp: int, books: Books, cause: Cause) -> Applied:
    place = Place(counted.location, counted.condition)
    late = IssueKey("late_count", str(place))
    match apply_count(stock, counted, stamp, books.memory):
        case "older":
            return Applied("older_count")
        case "late":
            ledger = stock.balance(place).quantity
            books.desk.cause(stock, late, Finding(ledger, counted.quantity, "low"), cause, lasting=False)
            return Applied("late_count")
        case "holds":
            books.desk.settle(stock, late, NEXT_COUNT, cause.at)
            watch_count(stock, place, COUNT_AGREES, books.desk, cause)
            watch_places(stock, (place,), books.desk, cause)
            return APPLIED


def _check_sequence(stock: Stock, entry: Remembered, memory: PartitionMemory) -> Duplicate | Refused | None:
    """A number that has come before: a resend that the memory no longer holds, or a source that goes back."""
    number, source = entry.sequence, entry.identity[0]
    if number is None:
        return None
    ledger = stock.sources.get(source)
    found = look(ledger.sequence if ledger is not None else None, number)
    if found == "next":
        return None
    forgotten = entry.stamp <= memory.forgotten.any and not memory.knows_sequence(source, entry.sku, number)
    if found == "seen" and forgotten:
        return DUPLICATE
    return Refused("sequence", f"sequence {number} of {source} came before under another event_id")


def _note_sequence(stock: Stock, event: Event, desk: Desk, cause: Cause) -> None:
    if event.sequence is None:
        return
    ledger = stock.source(event.source)
    ledger.sequence = note(ledger.sequence, event.sequence)
    watch_sequence(stock, event.source, desk, cause)


def _refuse(stock: Stock, event: Event, refused: Refused, at: At, books: Books) -> None:
    """A contradiction is a discrepancy too; a report of a channel that the policy does not know is bad input only."""
    if refused.reason == "id_conflict":
        first = books.memory.find(identity_of(event))
        key = IssueKey("id_conflict", event.source)
        finding = Finding(first.quantity if first is not None else 0, _quantity(event), "high")
    elif refused.reason == "sequence":
        sequence = stock.source(event.source).sequence
        key = IssueKey("sequence_regression", event.source)
        finding = Finding(sequence.high + 1 if sequence is not None else 0, event.sequence or 0, "high")
    else:
        return
    cause = Cause(event.source, event.event_id, at.timestamp_ms)
    books.desk.cause(stock, key, finding, cause, lasting=False)


def _report(stock: Stock, report: Report, stamp: int, books: Books, cause: Cause) -> Applied | Refused:
    if report.channel not in books.policy.channels:
        return Refused("field", f"channel {report.channel} is not in the policy")
    match report:
        case Confirmed():
            reports.confirmed(stock, report, stamp, books.desk, cause.at)
        case Rejected():
            reports.rejected(stock, report, books.desk, cause)
        case Observed():
            reports.observed(stock, report, stamp, books.desk, cause)
    return APPLIED
