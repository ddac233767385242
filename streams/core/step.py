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
    """Equal for equal known fields, whatever their order, their spacing and the unknown fields beside them."""
    return hash(tuple(event.__dict__.values()))


def stamp_of(event: Event | Command, at: At) -> int:
    """When it happened, in microseconds; a stamp later than the broker's time counts as the broker's time."""
    said = micros(event.occurred_at)
    return min(said, at.timestamp_ms * 1000) if at.timestamp_ms > 0 else said


def identity_of(event: Event | Command) -> tuple[str, str]:
    """What makes a resend a resend."""
    return (event.source if isinstance(event, Event) else COMMANDS, event.event_id)


def remembered(event: Event | Command, at: At, *, void: bool = False) -> Remembered:
    """The event as the memory keeps it; `void`: it was refused and moves nothing."""
    moves: Effects = () if void or not isinstance(event, Event) or isinstance(event, Report) else effects(_movement(event))
    sequence = event.sequence if isinstance(event, Event) else None
    return Remembered(at.offset, identity_of(event), fingerprint(event), event.sku, sequence, stamp_of(event, at), moves)


def recognise(event: Event | Command, at: At, books: Books) -> Duplicate | Refused | None:
    """Has this identity come before? None: it is new."""
    known = books.memory.find(identity_of(event))
    if known is None:
        return None
    if known.fingerprint == fingerprint(event):
        return DUPLICATE
    return Refused("id_conflict", f"event_id {event.event_id} came before with other content")


def step(stock: Stock, event: Event, at: At, books: Books) -> Verdict:
    """Let one movement or report meet the row of its SKU.

    The row, the memory and the desk change in place. Nothing at all changes for a duplicate but what is remembered of
    the log itself.
    """
    verdict = recognise(event, at, books) or _check_sequence(stock, event, at, books)
    if verdict is not None:
        books.memory.add(at.topic, remembered(event, at, void=True))
        if isinstance(verdict, Refused):
            books.memory.void(at.topic, at.offset)
            _refuse(stock, event, verdict, at, books.desk)
        return verdict
    entry = remembered(event, at)
    cause = Cause(event.source, event.event_id, at.timestamp_ms)
    if isinstance(event, Report):
        refusal = _report(stock, event, entry.stamp, books, cause)
        if refusal is not None:
            books.memory.add(at.topic, entry)
            return refusal
        applied = APPLIED
    else:
        applied = _move(stock, _movement(event), entry, books, cause)
    _note_sequence(stock, event, books.desk, cause)
    books.memory.add(at.topic, entry)
    return applied


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


def _check_sequence(stock: Stock, event: Event, at: At, books: Books) -> Duplicate | Refused | None:
    """A number that has come before: a resend that the memory no longer holds, or a source that goes back."""
    if event.sequence is None:
        return None
    ledger = stock.sources.get(event.source)
    state = ledger.sequence if ledger is not None else None
    found = look(state, event.sequence)
    if found == "next" or state is None:
        return None
    if (
        found == "seen"
        and stamp_of(event, at) <= books.memory.forgotten.any
        and not books.memory.knows_sequence(event.source, event.sku, event.sequence)
    ):
        return DUPLICATE
    return Refused("sequence", f"sequence {event.sequence} of {event.source} came before under another event_id")


def _note_sequence(stock: Stock, event: Event, desk: Desk, cause: Cause) -> None:
    if event.sequence is None:
        return
    ledger = stock.source(event.source)
    ledger.sequence = note(ledger.sequence, event.sequence)
    watch_sequence(stock, event.source, desk, cause)


def _refuse(stock: Stock, event: Event, refused: Refused, at: At, desk: Desk) -> None:
    cause = Cause(event.source, event.event_id, at.timestamp_ms)
    quantity = getattr(event, "quantity", 0)
    if refused.reason == "id_conflict":
        key, finding = IssueKey("id_conflict", event.source), Finding(0, quantity, "high")
    else:
        sequence = stock.sources[event.source].sequence
        expected = sequence.high + 1 if sequence is not None else 0
        key, finding = IssueKey("sequence_regression", event.source), Finding(expected, event.sequence or 0, "high")
    desk.cause(stock, key, finding, cause, lasting=False)


def _report(stock: Stock, report: Report, stamp: int, books: Books, cause: Cause) -> Refused | None:
    if report.channel not in books.policy.channels:
        return Refused("field", f"channel {report.channel} is not in the policy")
    match report:
        case Confirmed():
            reports.confirmed(stock, report, stamp, books.desk, cause.at)
        case Rejected():
            reports.rejected(stock, report, books.desk, cause)
        case Observed():
            reports.observed(stock, report, stamp, books.desk, cause)
    return None
