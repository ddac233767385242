"""What each movement does to balances and to the sub-ledger of its source (the table of contract section 2)."""

from __future__ import annotations

from streams.core.memory import Effects
from streams.core.stock import Place, Stock, SubLedger, Transfer
from topics.events import (
    Adjusted,
    Cancelled,
    Counted,
    Movement,
    Received,
    Reclassified,
    Returned,
    Shipped,
    Sold,
    TransferReceived,
    TransferSent,
)

SELLABLE = "sellable"
LANDS_IN = {"restock": SELLABLE, "inspect": "quality_control", "damaged": "damaged"}
"""Disposition of a return -> condition in which the goods are then on hand. `missing` lands nowhere."""


def effects(movement: Movement) -> Effects:
    """The balances that a movement changes, in units; a count is not a change but a statement."""
    match movement:
        case Received(location=at, condition=condition, quantity=units):
            return ((Place(at, condition), units),)
        case Shipped(location=at, quantity=units) | TransferSent(location=at, quantity=units):
            return ((Place(at, SELLABLE), -units),)
        case TransferReceived(location=at, quantity=units):
            return ((Place(at, SELLABLE), units),)
        case Adjusted(location=at, condition=condition, quantity=units):
            return ((Place(at, condition), units),)
        case Reclassified(location=at, from_condition=old, to_condition=new, quantity=units):
            return ((Place(at, old), -units), (Place(at, new), units))
        case Returned(location=at, disposition=disposition, quantity=units) if disposition in LANDS_IN:
            return ((Place(at, LANDS_IN[disposition]), units),)
        case _:
            return ()


def book(stock: Stock, ledger: SubLedger, movement: Movement) -> None:
    """Add a movement to its source's sub-ledger, to the totals and to its transfer."""
    ledger.applied += 1
    units = movement.quantity
    match movement:
        case Sold():
            ledger.sold += units
            stock.sold += units
        case Shipped():
            ledger.shipped += units
            stock.shipped += units
        case Cancelled():
            ledger.cancelled += units
            stock.cancelled += units
        case Received():
            ledger.received += units
        case Adjusted():
            ledger.adjusted += units
        case Returned(disposition="missing"):
            ledger.missing += units
        case Returned():
            ledger.returned += units
            stock.returned += units
        case Reclassified():
            ledger.moved += units
        case TransferSent() | TransferReceived():
            ledger.moved += units
            _transfer(stock, movement)
        case Counted():
            pass


def _transfer(stock: Stock, movement: TransferSent | TransferReceived) -> None:
    transfer = stock.transfers.setdefault(movement.reference, Transfer())
    if isinstance(movement, TransferSent):
        transfer.sent += movement.quantity
    else:
        transfer.received += movement.quantity
    if transfer.sent == transfer.received:
        del stock.transfers[movement.reference]
