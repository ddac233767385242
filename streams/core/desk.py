"""The life of discrepancies in one partition: opened early and once, closed by the data where the data can.

A disagreement of a kind with a grace period opens only when it still stands after that period. Periods run by ticks
read from the log (`stock.clock.v1`), counted from the first tick after the disagreement arose, so that neither a
skewed clock nor a pause of the worker can cut one short. What happened is appended to `records`, to be published with
the rows that changed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import NamedTuple

from streams.core.issue import Issue, IssueKey, Resolution, State, discrepancy_id
from streams.core.stock import Stock
from topics.policy import Policy
from topics.updates import Severity

UPDATE_EVERY_MS = 60_000
"""At most one record a minute tells of mere repetition (contract section 5)."""
MAX_RESOLVED = 4
"""Resolved discrepancies kept per SKU, so that a person can reopen them."""
MAX_PER_TICK = 5_000
"""Grace periods and repetitions looked at in one tick; the rest waits for the next one."""

Slot = tuple[str, IssueKey]


class Cause(NamedTuple):
    """Who said it, by which event, at which broker time (ms). A change of policy or item has no source."""

    source: str | None
    event_id: str
    at: int


class Finding(NamedTuple):
    """What disagrees: units (or sequence numbers) that were expected and that were seen."""

    expected: int
    observed: int
    severity: Severity

    @property
    def difference(self) -> int:
        """In units; below zero when something is missing."""
        return self.observed - self.expected


class Told(NamedTuple):
    """One record about an issue, as it stood when it happened."""

    sku: str
    version: int
    issue: Issue


class Desk:
    """All open and pending issues of one partition, found again by SKU and key."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.now = 0
        self.records: list[Told] = []
        self.open_count: dict[tuple[str, str], int] = {}
        self._unstamped: dict[Slot, None] = {}
        self._due: list[tuple[int, str, IssueKey]] = []
        self._repeats: dict[Slot, None] = {}

    # -- what the rules say -------------------------------------------------------------------------------------
    def cause(
        self,
        stock: Stock,
        key: IssueKey,
        finding: Finding,
        cause: Cause,
        *,
        lasting: bool = True,
        anew: bool = False,
    ) -> None:
        """The disagreement stands.

        lasting: it stands until it is cured, rather than having merely happened. anew: a statement of its own (a count,
        an observation), so that it is a new cause where a person settled an earlier one. A resend of what was settled
        (a refused record is not remembered) is none.
        """
        issue = stock.issues.get(key)
        if issue is None:
            self._begin(stock, key, finding, cause, lasting)
        elif issue.state == "resolved":
            worse = abs(finding.difference) > abs(issue.observed - issue.expected)
            if cause.event_id not in issue.evidence and (anew or worse or not issue.active):
                self._begin(stock, key, finding, cause, lasting)
        elif not lasting or anew or not issue.active or (issue.expected, issue.observed) != finding[:2]:
            self._again(stock, issue, finding, cause, lasting)

    def cure(self, stock: Stock, key: IssueKey, why: str, at: int) -> None:
        """The disagreement is gone."""
        issue = stock.issues.get(key)
        if issue is None or not issue.active:
            return
        issue.active = False
        if issue.state == "pending":
            del stock.issues[key]
        elif issue.is_open:
            issue.resolution = Resolution(at, auto=why)
            self._resolve(stock, issue, at)

    def settle(self, stock: Stock, key: IssueKey, why: str, at: int) -> None:
        """Like `cure`, for what merely happened and is closed by a later event."""
        issue = stock.issues.get(key)
        if issue is not None and issue.is_open:
            issue.resolution = Resolution(at, auto=why)
            self._resolve(stock, issue, at)

    # -- what people say ----------------------------------------------------------------------------------------
    def acknowledge(self, stock: Stock, issue: Issue, note: str, at: int) -> None:
        """A person works on it. Nothing to do when it was closed meanwhile."""
        if issue.state in ("opened", "reopened"):
            self._move(stock, issue, "acknowledged", note, at)

    def resolve(self, stock: Stock, issue: Issue, by: str, note: str, at: int) -> None:
        """A person settled it as it stands. Only a new cause makes a new discrepancy: one that came after the first was
        gone, that makes it worse than what was settled, or that is a statement of its own."""
        if issue.is_open:
            issue.resolution = Resolution(at, by=by, note=note or None)
            self._resolve(stock, issue, at)

    def reopen(self, stock: Stock, issue: Issue, note: str, at: int) -> None:
        """A person finds that it was closed too early."""
        if issue.state == "resolved":
            issue.resolution = None
            self._count(issue, +1)
            self._move(stock, issue, "reopened", note, at)

    # -- what the clock says ------------------------------------------------------------------------------------
    def tick(self, now: int, lookup: Callable[[str], Stock | None]) -> None:
        """Open what outlasted its grace period, start the periods of what is new, tell of repetitions."""
        self.now = max(self.now, now)
        for _ in range(MAX_PER_TICK):
            if not self._due or self._due[0][0] > now:
                break
            deadline, sku, key = heapq.heappop(self._due)
            self._outlasted(lookup(sku), key, deadline, now)
        for slot in sorted(self._unstamped)[:MAX_PER_TICK]:  # the order is that of a worker that was restarted, too
            del self._unstamped[slot]
            self._stamp(lookup(slot[0]), slot[1], now)
        for slot in sorted(self._repeats)[:MAX_PER_TICK]:
            self._tell_repeat(lookup(slot[0]), slot, now)

    def adopt(self, stock: Stock) -> None:
        """Find again what a row that was read back still waits for."""
        for key, issue in stock.issues.items():
            if issue.state == "pending":
                if issue.since is None:
                    self._unstamped[stock.sku, key] = None
                else:
                    self._wait(stock.sku, key, issue.since)
            if issue.is_open:
                self._count(issue, +1)
                if issue.unpublished:
                    self._repeats[stock.sku, key] = None

    # -- steps --------------------------------------------------------------------------------------------------
    def _begin(self, stock: Stock, key: IssueKey, finding: Finding, cause: Cause, lasting: bool) -> None:
        name = discrepancy_id(key, stock.sku, cause.source, cause.event_id)
        issue = Issue(key, name, "pending", lasting, finding.severity, *finding[:2], last_seen_at=cause.at)
        issue.tell(cause.source, cause.event_id)
        stock.issues[key] = issue
        if lasting and self.policy.grace(key.kind):
            self._unstamped[stock.sku, key] = None
        else:
            self._open(stock, issue, cause.at)

    def _again(self, stock: Stock, issue: Issue, finding: Finding, cause: Cause, lasting: bool) -> None:
        issue.active = lasting
        issue.expected, issue.observed, issue.severity = self._judged(issue, finding)
        issue.last_seen_at = max(issue.last_seen_at, cause.at)
        issue.again(cause.source, cause.event_id)
        if issue.is_open:
            self._repeat(stock, issue, cause.at)

    def _open(self, stock: Stock, issue: Issue, at: int) -> None:
        issue.opened_at = at
        issue.last_seen_at = max(issue.last_seen_at, at)
        self._count(issue, +1)
        self._move(stock, issue, "opened", "", at)

    def _move(self, stock: Stock, issue: Issue, state: State, note: str, at: int) -> None:
        issue.state = state
        if note:
            issue.note = note
        self._tell(stock, issue, at)

    def _resolve(self, stock: Stock, issue: Issue, at: int) -> None:
        self._count(issue, -1)
        self._move(stock, issue, "resolved", "", at)
        done = [i for i in stock.issues.values() if i.state == "resolved" and not i.active]
        for old in sorted(done, key=lambda i: i.resolution.at if i.resolution else 0)[:-MAX_RESOLVED]:
            del stock.issues[old.key]

    def _tell(self, stock: Stock, issue: Issue, at: int) -> None:
        issue.published, issue.unpublished = at, False
        self._repeats.pop((stock.sku, issue.key), None)
        self.records.append(Told(stock.sku, stock.version, snapshot(issue)))

    def _repeat(self, stock: Stock, issue: Issue, at: int) -> None:
        if at - issue.published >= UPDATE_EVERY_MS:
            self._tell(stock, issue, at)
        else:
            issue.unpublished = True
            self._repeats[stock.sku, issue.key] = None

    def _tell_repeat(self, stock: Stock | None, slot: Slot, now: int) -> None:
        issue = stock.issues.get(slot[1]) if stock else None
        if stock is None or issue is None or not issue.is_open:
            self._repeats.pop(slot, None)
        elif now - issue.published >= UPDATE_EVERY_MS:
            self._tell(stock, issue, now)

    def _stamp(self, stock: Stock | None, key: IssueKey, now: int) -> None:
        issue = stock.issues.get(key) if stock else None
        if stock is not None and issue is not None and issue.state == "pending":
            issue.since = now
            self._wait(stock.sku, key, now)

    def _wait(self, sku: str, key: IssueKey, since: int) -> None:
        heapq.heappush(self._due, (since + 1000 * self.policy.grace(key.kind), sku, key))

    def _outlasted(self, stock: Stock | None, key: IssueKey, deadline: int, now: int) -> None:
        issue = stock.issues.get(key) if stock else None
        if stock is None or issue is None or issue.state != "pending" or issue.since is None:
            return
        if issue.since + 1000 * self.policy.grace(key.kind) <= deadline:  # not one that went and came back since
            self._open(stock, issue, now)

    def _count(self, issue: Issue, by: int) -> None:
        slot = (issue.key.kind, issue.severity)
        self.open_count[slot] = self.open_count.get(slot, 0) + by

    def _judged(self, issue: Issue, finding: Finding) -> Finding:
        if issue.is_open and finding.severity != issue.severity:
            self._count(issue, -1)
            issue.severity = finding.severity
            self._count(issue, +1)
        return finding


def snapshot(issue: Issue) -> Issue:
    """The issue as it stands now, out of reach of later changes."""
    return Issue(
        **{name: getattr(issue, name) for name in Issue.__slots__ if name not in ("sources", "evidence", "resolution")},
        sources=list(issue.sources),
        evidence=list(issue.evidence),
        resolution=issue.resolution,
    )
