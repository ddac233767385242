"""After each movement: which disagreements stand now, and which are gone (the table of contract section 5)."""

from __future__ import annotations

from collections.abc import Iterable

from streams.core.desk import Cause, Desk, Finding
from streams.core.issue import IssueKey
from streams.core.memory import Effects
from streams.core.numbers import available_units
from streams.core.severity import count_severity, within
from streams.core.stock import Place, Stock

BACK_TO_ZERO = "the balance is no longer below zero"
SOLD_BACK = "available is no longer below zero"
SOLD_CAUGHT_UP = "the sales that were missing have arrived"
SHIPPED_CAUGHT_UP = "the shipments that were missing have arrived"
TRANSFER_EQUAL = "as much was received as was sent"
TRANSFER_OVER = "more was received than was sent"
COUNT_AGREES = "the next count agrees with the ledger"
MOVEMENT_EXPLAINS = "a late movement explains the difference"
GAP_FILLED = "the missing numbers have arrived"


def watch_totals(stock: Stock, desk: Desk, cause: Cause) -> None:
    """Sales, shipments and returns against each other and against the shelf."""
    available = available_units(stock)
    if available < 0:
        desk.cause(stock, IssueKey("oversold", ""), Finding(0, available, "high"), cause)
    elif stock.issues:
        desk.cure(stock, IssueKey("oversold", ""), SOLD_BACK, cause.at)
    sold = stock.sold - stock.cancelled
    if stock.shipped > sold:
        desk.cause(stock, IssueKey("shipped_exceeds_sold", ""), Finding(sold, stock.shipped, "medium"), cause)
    elif stock.issues:
        desk.cure(stock, IssueKey("shipped_exceeds_sold", ""), SOLD_CAUGHT_UP, cause.at)
    if stock.returned > stock.shipped:
        finding = Finding(stock.shipped, stock.returned, "medium")
        desk.cause(stock, IssueKey("returned_exceeds_sold", ""), finding, cause)
    elif stock.issues:
        desk.cure(stock, IssueKey("returned_exceeds_sold", ""), SHIPPED_CAUGHT_UP, cause.at)


def watch_places(stock: Stock, places: Iterable[Place], desk: Desk, cause: Cause) -> None:
    """Balances below zero."""
    for place in places:
        quantity = stock.balances[place].quantity if place in stock.balances else 0
        if quantity < 0:
            desk.cause(stock, IssueKey("negative_on_hand", str(place)), Finding(0, quantity, "high"), cause)
        elif stock.issues:
            desk.cure(stock, IssueKey("negative_on_hand", str(place)), BACK_TO_ZERO, cause.at)


def watch_transfer(stock: Stock, reference: str, desk: Desk, cause: Cause) -> None:
    """Less received than sent; a receipt that was read before its sending is no shortage."""
    transfer = stock.transfers.get(reference)
    key = IssueKey("transfer_short", reference)
    if transfer is not None and transfer.received < transfer.sent:
        desk.cause(stock, key, Finding(transfer.sent, transfer.received, "medium"), cause)
    elif stock.issues:
        desk.cure(stock, key, TRANSFER_EQUAL if transfer is None else TRANSFER_OVER, cause.at)


def watch_corrected(stock: Stock, effects: Effects, stamp: int, desk: Desk, cause: Cause) -> None:
    """A movement that a standing count had already seen changes what that count should have found."""
    for place, _ in effects:
        count = stock.balances[place].count
        if count is not None and count.basis < stamp <= count.at:
            watch_count(stock, place, MOVEMENT_EXPLAINS, desk, cause)


def watch_count(stock: Stock, place: Place, why: str, desk: Desk, cause: Cause) -> None:
    """The standing count of a place against the ledger as of its time."""
    count = stock.balances[place].count
    if count is None:
        return
    key = IssueKey("count_variance", str(place))
    tolerance = desk.policy.tolerance(stock.item.item_class if stock.item else None)
    if within(tolerance, count.expected, count.quantity):
        desk.cure(stock, key, why, cause.at)
    else:
        severity = count_severity(count.expected, count.quantity, stock.item)
        finding = Finding(count.expected, count.quantity, severity)
        desk.cause(stock, key, finding, cause, anew=cause.event_id == count.event_id)


def watch_sequence(stock: Stock, source: str, desk: Desk, cause: Cause) -> None:
    """Holes in a source's numbers: the first that is missing, and the one that came after the newest hole."""
    sequence = stock.sources[source].sequence
    if sequence is not None and sequence.holes:
        finding = Finding(sequence.holes[0][0], sequence.holes[-1][1] + 1, "high")
        desk.cause(stock, IssueKey("sequence_gap", source), finding, cause)
    elif stock.issues:
        desk.cure(stock, IssueKey("sequence_gap", source), GAP_FILLED, cause.at)
