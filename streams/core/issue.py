"""One disagreement of sources about one SKU at one place, from its first sign to its end.

pending --grace--> opened -> acknowledged -> resolved -> reopened -> ...
   |                                            ^
   +-- gone before the grace ran out: never     +-- by a person, or by the data itself
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from topics.updates import Kind, Severity

State = Literal["pending", "opened", "acknowledged", "resolved", "reopened"]
OPEN: frozenset[State] = frozenset(("opened", "acknowledged", "reopened"))

MAX_EVIDENCE = 20
"""Event ids kept as evidence: the one that opened it, then the newest."""


class IssueKey(NamedTuple):
    """One open discrepancy per key and SKU. What `place` names depends on the kind (contract section 5)."""

    kind: Kind
    place: str


@dataclass(slots=True)
class Resolution:
    """How it ended: `by` a person or `auto` with the reason in words; at is in ms since 1970."""

    at: int
    by: str | None = None
    auto: str | None = None
    note: str | None = None


@dataclass(slots=True)
class Issue:
    """The state of one discrepancy. Times are in ms since 1970.

    active: the disagreement stands now. since: the tick from which the grace period counts (None: no tick yet).
    published: when the last record about it was written; unpublished: repetitions that no record tells yet.
    """

    key: IssueKey
    id: str
    state: State
    active: bool
    severity: Severity
    expected: int
    observed: int
    last_seen_at: int
    opened_at: int = 0
    since: int | None = None
    seen: int = 1
    sources: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    published: int = 0
    unpublished: bool = False
    note: str | None = None
    resolution: Resolution | None = None

    @property
    def is_open(self) -> bool:
        """A person sees it in the queue."""
        return self.state in OPEN

    def again(self, source: str | None, event_id: str) -> None:
        """One more event speaks of it."""
        self.seen += 1
        self.tell(source, event_id)

    def tell(self, source: str | None, event_id: str) -> None:
        """Keep who said so."""
        if source is not None and source not in self.sources:
            self.sources.append(source)
            del self.sources[:-MAX_EVIDENCE]
        if event_id not in self.evidence:
            self.evidence.append(event_id)
            if len(self.evidence) > MAX_EVIDENCE:
                del self.evidence[1]


def discrepancy_id(key: IssueKey, sku: str, source: str | None, event_id: str) -> str:
    """Derived from kind, SKU, place and the event that opened it: a replay of the same log gives the same ids."""
    text = "\0".join((key.kind, sku, key.place, source or "", event_id))
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
