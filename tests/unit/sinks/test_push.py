"""The pusher against a channel that answers as the test says, without a network."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from pydantic import SecretStr

from sinks import channels
from sinks.channel import Answer, NoAnswer, Request
from sinks.delivery import Delivery, Update
from sinks.metrics import Metrics
from sinks.pace import Pace
from sinks.push import MAX_ATTEMPTS, Pusher
from sinks.settings import Endpoint
from sinks.simulators.base import SECRET
from tests.builders.sink_rig import QUICK
from tests.builders.sinks import AT
from topics.events import Report

OK = Answer(200, {}, b"", AT)
LOST = NoAnswer(True, "TimeoutError", AT)
DOWN = NoAnswer(False, "ClientConnectorError", AT)
BUSY = Answer(503, {}, b"", AT)


class Script:
    """A sender that gives these answers in turn, and then OK."""

    def __init__(self, *answers: Answer | NoAnswer) -> None:
        self.answers = deque(answers)
        self.requests: list[Request] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, request: Request) -> Answer | NoAnswer:
        self.requests.append(request)
        await self.gate.wait()
        return self.answers.popleft() if self.answers else OK

    def versions(self) -> list[list[int]]:
        return [[u["version"] for u in orjson.loads(r.body)["data"]["updates"]] for r in self.requests]

    def ids(self) -> list[str]:
        return [request.headers["webhook-id"] for request in self.requests]


class Desk:
    def __init__(self, script: Script) -> None:
        self.script = script
        self.reports: list[Report] = []
        self.kafka: Exception | None = None
        self.delivery = Delivery(lambda _: {})
        self.metrics = Metrics("outlet")
        channel = channels.build("webhook", "outlet", Endpoint("X_", "https://x.example", None, SecretStr(SECRET)))
        pace = Pace(QUICK, random.Random(3))
        self.pusher = Pusher(channel, self.delivery, script, pace, self.metrics, self._write)
        self.offset = 0

    async def _write(self, reports: Sequence[Report]) -> None:
        if self.kafka is not None:
            raise self.kafka
        self.reports.extend(reports)

    def want(self, sku: str, version: int, quantity: int = 5) -> None:
        self.delivery.offer(0, self.offset, Update(sku, version, quantity, AT, time.time()))
        self.offset += 1
        self.pusher.wake()

    async def until(self, condition: Any) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, self.script.versions()
            await asyncio.sleep(0.002)


@asynccontextmanager
async def working(desk: Desk) -> Any:
    worker = asyncio.create_task(desk.pusher.work())
    try:
        yield worker
    finally:
        desk.pusher.stop()
        desk.script.gate.set()
        await asyncio.wait([worker], timeout=2)


async def test_an_unknown_outcome_is_resolved_before_a_newer_version_is_sent() -> None:
    """Same id until somebody knows, also when other failures come between; then the newest."""
    desk = Desk(Script(LOST, DOWN, BUSY, Answer(429, {}, b"", AT), LOST))
    desk.script.gate.clear()
    async with working(desk):
        desk.want("CLOCK", 1)
        await desk.until(lambda: desk.script.requests)
        desk.want("CLOCK", 2)
        desk.want("CLOCK", 3)
        desk.script.gate.set()
        await desk.until(lambda: desk.delivery.pending == 0)
    assert desk.script.versions() == [[1]] * 6 + [[3]]
    assert len(set(desk.script.ids()[:6])) == 1
    assert [report.version for report in desk.reports] == [1, 3]  # type: ignore[attr-defined]
    assert desk.metrics.updates["unconfirmed"] == 2


async def test_what_was_surely_not_applied_gives_way_to_the_newest() -> None:
    desk = Desk(Script(BUSY))
    desk.script.gate.clear()
    async with working(desk):
        desk.want("CLOCK", 1)
        await desk.until(lambda: desk.script.requests)
        desk.want("CLOCK", 2)
        desk.script.gate.set()
        await desk.until(lambda: desk.delivery.pending == 0)
    assert desk.script.versions() == [[1], [2]]


async def test_an_outcome_that_stays_unknown_is_not_asked_for_ever() -> None:
    """After some attempts the SKU starts afresh: with its newest version, and without a belief of what is there."""
    desk = Desk(Script(*[LOST] * MAX_ATTEMPTS))
    async with working(desk):
        desk.want("CLOCK", 1)
        await desk.until(lambda: desk.delivery.pending == 0)
    assert len(desk.script.requests) == MAX_ATTEMPTS + 1
    assert len(set(desk.script.ids()[:-1])) == 1
    assert desk.script.ids()[-1] != desk.script.ids()[0]


async def test_a_channel_that_is_down_is_not_hammered_and_then_gets_the_newest_only() -> None:
    desk = Desk(Script(*[DOWN] * 12))
    states: set[str] = set()
    async with working(desk):
        for version in range(1, 40):
            desk.want("CLOCK", version)
        await desk.until(lambda: states.add(desk.pusher._pace.state(time.monotonic())) or desk.delivery.pending == 0)
    assert "open" in states
    assert len(desk.script.requests) == 13
    assert desk.script.versions()[-1] == [39]


async def test_nothing_is_settled_when_the_report_cannot_be_written() -> None:
    """Kafka takes no report: the worker fails, and the offset stays where it is."""
    desk = Desk(Script())
    desk.kafka = RuntimeError("no Kafka")
    async with working(desk) as worker:
        desk.want("CLOCK", 1)
        await desk.until(worker.done)
        assert isinstance(worker.exception(), RuntimeError)
    assert desk.delivery.commits() == {0: 0}
    assert desk.delivery.pending == 1


async def test_a_call_that_is_broken_off_is_pending_again() -> None:
    desk = Desk(Script())
    desk.script.gate.clear()
    async with working(desk):
        desk.want("CLOCK", 1)
        await desk.until(lambda: desk.script.requests)
        desk.pusher.hold()
        desk.pusher.cancel()
        await desk.until(lambda: desk.delivery.in_flight == 0)
        assert desk.delivery.commits() == {0: 0}
        desk.script.gate.set()
        desk.pusher.resume()
        await desk.until(lambda: desk.delivery.pending == 0)
    assert desk.script.versions() == [[1], [1]]


async def test_stop_ends_the_wait_for_a_channel() -> None:
    desk = Desk(Script(Answer(429, {"retry-after": "600"}, b"", AT)))
    async with working(desk) as worker:
        desk.want("CLOCK", 1)
        await desk.until(lambda: desk.metrics.counts["throttles"] == 1)
        desk.pusher.stop()
        await desk.until(worker.done)
    assert desk.delivery.commits() == {0: 0}
    assert 600 <= desk.metrics.counts["throttled_seconds"] < 601
