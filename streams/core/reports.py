"""What a channel says: confirmed, rejected, observed; and when it holds what nobody told it to (`channel_drift`)."""

from __future__ import annotations

from streams.core.desk import Cause, Desk, Finding
from streams.core.issue import IssueKey
from streams.core.numbers import available_units, chains, numbers
from streams.core.stock import MAX_CONFIRMED, MAX_SENT, ChannelState, Stock
from topics.events import Confirmed, Observed, Rejected
from topics.updates import Severity

AGREES = "the next observation agrees"
CONFIRMED = "a later version was confirmed"


def sent(state: ChannelState, version: int, quantity: int) -> None:
    """A sync update was published: until it is confirmed, the channel may hold this quantity or an older one."""
    newest = _newest(state)
    last = next((known for known in reversed(state.sent) if known[0] > newest), None)
    if quantity == (last[1] if last is not None else state.confirmed[-1][1] if state.confirmed else None):
        return
    state.sent.append((version, quantity))
    if len(state.sent) > MAX_SENT and state.sent.pop(0)[0] > newest:
        state.overflow = True


def confirmed(stock: Stock, report: Confirmed, stamp: int, desk: Desk, at: int) -> None:
    """The channel holds what a version asked for."""
    state = stock.channel(report.channel)
    entry, before = (report.version, report.quantity, stamp), _newest(state)
    if all(known[0] != report.version for known in state.confirmed):
        state.confirmed.append(entry)
        state.confirmed.sort()
        del state.confirmed[:-MAX_CONFIRMED]
    newest = _newest(state)
    if newest > before:  # what this one passed over was in flight until now: a look from before may show it
        state.sent = [known for known in state.sent if known[0] > before]
    if not any(version > newest for version, _ in state.sent):
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
    if report.quantity in _plausible(state, stamp, wanted):
        desk.cure(stock, key, AGREES, cause.at)
    elif not _beyond_judgement(state, stamp):
        expected = state.confirmed[-1][1] if state.confirmed else wanted
        severity: Severity = "high" if report.quantity > max(0, available_units(stock)) else "medium"
        desk.cause(stock, key, Finding(expected, report.quantity, severity), cause, anew=True)


def _newest(state: ChannelState) -> int:
    return state.confirmed[-1][0] if state.confirmed else 0


def _wanted(stock: Stock, channel: str, desk: Desk) -> int:
    chain = chains(stock, numbers(stock), desk.policy).get(channel)
    return chain.quantity if chain is not None else 0


def _plausible(state: ChannelState, stamp: int, wanted: int) -> set[int]:
    """What the channel may rightly have shown at `stamp`: the last confirmed by then, and all that came after it."""
    newest, _, since = state.confirmed[-1] if state.confirmed else (0, 0, 0)
    known = {quantity for version, quantity in state.sent if version > newest or stamp < since}
    before = [quantity for _, quantity, at in state.confirmed if at <= stamp]
    known.update(before[-1:])
    known.update(quantity for _, quantity, at in state.confirmed if at > stamp)
    if not state.confirmed and not state.sent:
        known.add(wanted)
    return known


def _beyond_judgement(state: ChannelState, stamp: int) -> bool:
    """Too much is in flight to remember it all, or the look is older than the confirmations that are remembered."""
    return state.overflow or (len(state.confirmed) == MAX_CONFIRMED and all(at > stamp for _, _, at in state.confirmed))
