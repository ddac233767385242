"""What a channel says: confirmed, rejected, observed; and when it holds what nobody told it to (`channel_drift`)."""

from __future__ import annotations

from streams.core.desk import Cause, Desk, Finding
from streams.core.issue import IssueKey
from streams.core.numbers import available_units, chains, numbers
from streams.core.stock import MAX_CONFIRMED, MAX_SENT, ChannelState, Stock
from topics.events import Confirmed, Observed, Rejected

AGREES = "the next observation agrees"
CONFIRMED = "a later version was confirmed"


def sent(state: ChannelState, version: int, quantity: int) -> None:
    """A sync update was published: until it is confirmed, the channel may hold this quantity or an older one."""
    last = state.sent[-1] if state.sent else state.confirmed[-1] if state.confirmed else None
    if last is not None and last[1] == quantity:
        return
    state.sent.append((version, quantity))
    if len(state.sent) > MAX_SENT:
        del state.sent[0]
        state.overflow = True


def confirmed(stock: Stock, report: Confirmed, stamp: int, desk: Desk, at: int) -> None:
    """The channel holds what a version asked for."""
    state = stock.channel(report.channel)
    entry = (report.version, report.quantity, stamp)
    if all(known[0] != report.version for known in state.confirmed):
        state.confirmed.append(entry)
        state.confirmed.sort()
        del state.confirmed[:-MAX_CONFIRMED]
    newest = state.confirmed[-1][0]
    state.sent = [s for s in state.sent if s[0] > newest]
    if not state.sent:
        state.overflow = False
    if state.rejected and newest > state.rejected:
        state.rejected = 0
        desk.settle(stock, IssueKey("channel_rejected", report.channel), CONFIRMED, at)


def rejected(stock: Stock, report: Rejected, desk: Desk, cause: Cause) -> None:
    """The channel refused a version for good: a person has to look at the listing."""
    state = stock.channel(report.channel)
    if state.confirmed and state.confirmed[-1][0] > report.version:
        return
    state.rejected = max(state.rejected, report.version)
    holds = state.confirmed[-1][1] if state.confirmed else 0
    finding = Finding(report.quantity, holds, "high")
    desk.cause(stock, IssueKey("channel_rejected", report.channel), finding, cause, lasting=False)


def observed(stock: Stock, report: Observed, stamp: int, desk: Desk, cause: Cause) -> None:
    """The channel was seen to show a quantity: drift, if it is none that was confirmed or in flight at that time."""
    state = stock.channel(report.channel)
    if state.observed is not None and stamp < state.observed[1]:
        return  # an older look than the one we have
    state.observed = (report.quantity, stamp)
    key = IssueKey("channel_drift", report.channel)
    wanted = _wanted(stock, report.channel, desk)
    if state.overflow or report.quantity in _plausible(state, stamp, wanted):
        desk.cure(stock, key, AGREES, cause.at)
        return
    expected = state.confirmed[-1][1] if state.confirmed else wanted
    severity = "high" if report.quantity > max(0, available_units(stock)) else "medium"
    desk.cause(stock, key, Finding(expected, report.quantity, severity), cause)


def _wanted(stock: Stock, channel: str, desk: Desk) -> int:
    chain = chains(stock, numbers(stock), desk.policy).get(channel)
    return chain.quantity if chain is not None else 0


def _plausible(state: ChannelState, stamp: int, wanted: int) -> set[int]:
    """What the channel may rightly have shown at `stamp`: the last confirmed by then, and all that came after it."""
    known = {quantity for _, quantity in state.sent}
    before = [quantity for _, quantity, at in state.confirmed if at <= stamp]
    known.update(before[-1:])
    known.update(quantity for _, quantity, at in state.confirmed if at > stamp)
    if not state.confirmed and not state.sent:
        known.add(wanted)
    return known
