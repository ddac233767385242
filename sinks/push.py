"""From what is wanted to what the channel answered: the one place that retries.

A call whose outcome is unknown is asked again as it was, with the same key, until somebody knows; only then a newer
version of its SKUs is sent. What was surely not applied goes back to the delivery, where newer versions replace it.
A call that failed as a whole by the fault of one item is asked again without that item, or in halves if nobody says
which it was: the good ones are never dropped. Reports are in Kafka before anything counts as done.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import structlog

from sinks.channel import (
    Accepted,
    Answer,
    Applied,
    Batch,
    Channel,
    NoAnswer,
    Outcome,
    Permanent,
    Readable,
    Request,
    Result,
    Seen,
    Spoiled,
    Stale,
    Stopped,
    Throttled,
    Transient,
    Unconfirmed,
    Wanted,
)
from sinks.delivery import Delivery
from sinks.http import Sender
from sinks.metrics import Metrics
from sinks.outbox import Reports
from sinks.pace import Pace
from topics.events import Report

MAX_ATTEMPTS = 10
"""Of one call whose outcome stays unknown; with the backoff this is some minutes. Then its SKUs start afresh."""
MAX_CORRECTIONS = 5
"""Of writing what somebody else keeps changing, before the SKU rests."""
REST_S = 30.0
_LOOK_ATTEMPTS = 5
_LOOK_AT_ONCE = 50
"""Items read in a call: the answer has to stay below the limit of a body."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Parcel:
    """A batch on its way. `unsure`: an earlier attempt may have been applied. `corrections`: stale answers so far."""

    batch: Batch
    attempts: int = 0
    unsure: bool = False
    corrections: int = 0


@dataclass(slots=True)
class Sorted:
    """The items of a parcel by what became of them."""

    applied: list[Wanted] = field(default_factory=list)
    refused: list[tuple[Wanted, str]] = field(default_factory=list)
    stale: list[Wanted] = field(default_factory=list)
    spoiled: list[Wanted] = field(default_factory=list)
    again: list[tuple[Wanted, Result]] = field(default_factory=list)


class Pusher:
    """Workers that bring the channel to the newest quantities."""

    def __init__(
        self,
        channel: Channel,
        delivery: Delivery,
        sender: Sender,
        pace: Pace,
        metrics: Metrics,
        write: Callable[[Sequence[Report]], Awaitable[None]],
    ) -> None:
        self._channel = channel
        self._delivery = delivery
        self._sender = sender
        self._pace = pace
        self._metrics = metrics
        self._write = write
        self._reports = Reports(channel.name)
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._holds = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self.refused: str | None = None
        """Why the channel is stopped; None: it is not."""

    # control ----------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """There may be something to send."""
        self._changed.set()

    def hold(self) -> None:
        """Take nothing new until `resume`."""
        self._holds += 1

    def resume(self) -> None:
        """Undo one `hold`."""
        self._holds -= 1
        self.wake()

    def stop(self) -> None:
        """Take nothing new and repeat nothing; calls that are out may end."""
        self._stopping.set()
        self.wake()

    def cancel(self) -> None:
        """Break off the calls that are out. Their outcome is unknown, and what they carried is pending again."""
        for task in self._under_way:
            task.cancel()

    @property
    def running(self) -> bool:
        """Whether anything is still sent."""
        return self.refused is None and not self._stopping.is_set()

    async def work(self) -> None:
        """One worker: as many run as the channel takes calls at a time."""
        while self.running:
            if not await self._turn():
                return
            now = time.monotonic()
            batch = () if self._holds else self._delivery.take(self._channel.limits.batch, now)
            if batch:
                task = asyncio.create_task(self._deliver(batch))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
                try:
                    await task
                except asyncio.CancelledError:
                    if not task.cancelled():
                        raise
            else:
                await self._idle(now)

    async def _idle(self, now: float) -> None:
        due = self._delivery.wakes_at()
        wait = 0.5 if due is None else min(0.5, max(0.01, due - now))
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), wait)
        except TimeoutError:
            return

    async def _turn(self) -> bool:
        """Wait until a call may go out; False: none may any more."""
        while self.running:
            wait = self._pace.wait_s(time.monotonic())
            if wait <= 0:
                return True
            try:
                await asyncio.wait_for(self._stopping.wait(), wait)
            except TimeoutError:
                continue
        return False

    # one batch --------------------------------------------------------------------------------------------------

    async def _deliver(self, batch: Batch) -> None:
        unsure: set[str] = set()
        work = deque([Parcel(batch)])
        try:
            while work and await self._turn():
                parcel = self._still_ours(work.popleft())
                if not parcel.batch:
                    continue
                unsure.update(item.sku for item in parcel.batch)
                answer = await self._call(lambda at, b=parcel.batch: self._channel.request(b, at))  # type: ignore[misc]
                outcome = self._outcome(parcel.batch, answer)
                self._adjust(outcome)
                sure = not any(isinstance(r, Unconfirmed | Accepted) for r in outcome.results)
                if sure and not parcel.unsure:
                    unsure.difference_update(item.sku for item in parcel.batch)
                work.extendleft(reversed(await self._judge(parcel, outcome, answer.at)))
        finally:
            for item in batch:
                self._delivery.release(item, 0, None if item.sku in unsure else item.known)
            self.wake()

    def _still_ours(self, parcel: Parcel) -> Parcel:
        return replace(parcel, batch=tuple(item for item in parcel.batch if self._delivery.owns(item)))

    async def _call(self, request_at: Callable[[datetime], Request]) -> Answer | NoAnswer:
        """Send once, and measure. A call that is broken off counts as failed: it may have been the breaker's probe."""
        began = time.monotonic()
        self._pace.begin()
        try:
            answer = await self._sender.send(request_at(datetime.now(UTC)))
        except BaseException:
            self._pace.failed(time.monotonic())
            raise
        code_class = f"{answer.status // 100}xx" if isinstance(answer, Answer) else "none"
        self._metrics.request(code_class, time.monotonic() - began)
        if isinstance(answer, Answer) and answer.status in {401, 403}:
            self._metrics.auth_failure()
        return answer

    def _outcome(self, batch: Batch, answer: Answer | NoAnswer) -> Outcome:
        if isinstance(answer, Answer):
            return self._channel.outcome(batch, answer)
        result: Result = Unconfirmed(answer.reason) if answer.sent else Transient(answer.reason)
        return Outcome.whole(batch, result)

    def _adjust(self, outcome: Outcome) -> None:
        """Let the pace know how the call went, for all calls after it."""
        now = time.monotonic()
        results = outcome.results
        throttled = [r for r in results if isinstance(r, Throttled)]
        if throttled:
            waits = [r.retry_after_s for r in throttled if r.retry_after_s is not None]
            self._metrics.throttled(self._pace.throttled(now, max(waits, default=None)))
        elif all(isinstance(r, Transient | Unconfirmed | Accepted) for r in results):
            self._pace.failed(now, outcome.wait_s)
        else:
            self._pace.succeeded(now, outcome.wait_s)
            if outcome.wait_s > 0:
                self._metrics.paced(outcome.wait_s)

    async def _judge(self, parcel: Parcel, outcome: Outcome, at: datetime) -> list[Parcel]:
        """Report and settle what is decided; return what has to be asked again at once."""
        found = self._sort(parcel, outcome)
        if found is None:
            return []
        await self._conclude(found.applied, found.refused, at)
        if found.applied and parcel.corrections:
            await self._look(found.applied)
        more = await self._after_stale(parcel, found.stale)
        if found.spoiled:
            more += _without_culprit(parcel, found.spoiled)
        return more + self._again(parcel, found.again)

    def _sort(self, parcel: Parcel, outcome: Outcome) -> Sorted | None:
        """The items by their result; None: the channel refuses us altogether."""
        found = Sorted()
        for item, result in zip(parcel.batch, outcome.results, strict=True):
            match result:
                case Applied():
                    found.applied.append(item)
                case Permanent(reason):
                    found.refused.append((item, reason))
                case Stale():
                    found.stale.append(item)
                case Spoiled(reason):
                    if len(parcel.batch) == 1:
                        found.refused.append((item, reason))
                    else:
                        found.spoiled.append(item)
                case Stopped(reason):
                    self._refuse(reason)
                    return None
                case Accepted() | Throttled() | Transient() | Unconfirmed():
                    found.again.append((item, result))
        return found

    def _refuse(self, reason: str) -> None:
        if self.refused is None:
            self.refused = reason
            log.error("channel stopped", channel=self._channel.name, reason=reason)
        self._stopping.set()

    async def _conclude(self, applied: list[Wanted], refused: list[tuple[Wanted, str]], at: datetime) -> None:
        reports: list[Report] = [self._reports.confirmed(item, at) for item in applied]
        reports += [self._reports.rejected(item, reason, at) for item, reason in refused]
        if not reports:
            return
        await self._report(reports)
        for item in applied:
            update = self._delivery.settle(item, item.quantity)
            if update is not None:
                age = at.timestamp()
                self._metrics.acked(age - item.occurred_at.timestamp(), age - update.written_at)
        for item, reason in refused:
            if self._delivery.settle(item, item.known) is not None:
                self._metrics.update("failed")
                log.warning("update refused", channel=self._channel.name, sku=item.sku, reason=reason)

    async def _report(self, reports: list[Report]) -> None:
        await self._write(reports)
        for report in reports:
            self._metrics.report(report.type)  # type: ignore[attr-defined]

    # stale, spoiled, unknown ------------------------------------------------------------------------------------

    async def _after_stale(self, parcel: Parcel, stale: list[Wanted]) -> list[Parcel]:
        """Read what the channel holds, say so, and write from there."""
        if not stale:
            return []
        for _ in stale:
            self._metrics.stale()
        seen = await self._look(stale)
        fresh = tuple(replace(item, known=seen.get(item.sku), round=item.round + 1) for item in stale)
        if parcel.corrections < MAX_CORRECTIONS:
            return [Parcel(fresh, corrections=parcel.corrections + 1)]
        for item in fresh:
            self._delivery.release(item, time.monotonic() + REST_S, item.known)
        return []

    async def _look(self, items: Sequence[Wanted]) -> dict[str, int]:
        """What the channel holds of these, reported as observed. What it does not say is left out."""
        found: dict[str, int] = {}
        for start in range(0, len(items), _LOOK_AT_ONCE):
            batch = tuple(items[start : start + _LOOK_AT_ONCE])
            seen, at = await self._read(batch)
            for item, quantity in zip(batch, seen.quantities, strict=True):
                if quantity is not None:
                    found[item.sku] = quantity
            if at is not None:
                observed = [self._reports.observed(i.sku, found[i.sku], at) for i in batch if i.sku in found]
                await self._report(list[Report](observed))
        return found

    async def _read(self, batch: Batch) -> tuple[Seen, datetime | None]:
        """Ask what the channel holds, a few times."""
        channel = self._channel
        nothing = Seen((None,) * len(batch))
        if not isinstance(channel, Readable):
            return nothing, None
        for attempt in range(_LOOK_ATTEMPTS):
            if not await self._turn():
                break
            if attempt:
                self._metrics.retry()
            answer = await self._call(lambda at: channel.look(batch, at))
            seen = channel.seen(batch, answer) if isinstance(answer, Answer) else Transient(answer.reason)
            if isinstance(seen, Seen):
                self._pace.succeeded(time.monotonic())
                return seen, answer.at
            if isinstance(seen, Stopped):
                self._refuse(seen.reason)
            self._adjust(Outcome.whole(batch, seen))
        return nothing, None

    def _again(self, parcel: Parcel, items: list[tuple[Wanted, Result]]) -> list[Parcel]:
        """What was surely not applied is pending again; what may have been is asked again as it was."""
        if not items:
            return []
        self._metrics.retry()
        unknown = sum(isinstance(result, Unconfirmed | Accepted) for _, result in items)
        if unknown:
            self._metrics.update("unconfirmed", unknown)
        if (unknown or parcel.unsure) and parcel.attempts + 1 < MAX_ATTEMPTS:
            batch = tuple(item for item, _ in items)
            return [replace(parcel, batch=batch, attempts=parcel.attempts + 1, unsure=True)]
        whole = len(items) == len(parcel.batch)  # the pace waits for all
        not_before = 0.0 if whole else time.monotonic() + REST_S
        for item, _ in items:
            self._delivery.release(item, not_before, None if unknown or parcel.unsure else item.known)
        return []


def _without_culprit(parcel: Parcel, spoiled: list[Wanted]) -> list[Parcel]:
    """The others again without the one that spoiled the call; in halves where nobody said which it was."""
    if len(spoiled) < len(parcel.batch):
        return [Parcel(tuple(spoiled), corrections=parcel.corrections)]
    half = len(spoiled) // 2
    return [Parcel(tuple(part), corrections=parcel.corrections) for part in (spoiled[:half], spoiled[half:])]
