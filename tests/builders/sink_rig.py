"""A sink without Kafka: real delivery, pusher and HTTP against a simulator on 127.0.0.1, reports kept in a list."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from graphql import build_schema, parse, validate
from pydantic import SecretStr

from sinks import channels, simulators
from sinks.channel import Channel
from sinks.channels.shopify import ShopifyChannel
from sinks.channels.webhook import WebhookChannel
from sinks.delivery import Delivery, Update
from sinks.http import HttpSender
from sinks.metrics import Metrics
from sinks.pace import Pace, Schedule
from sinks.push import Pusher
from sinks.settings import Endpoint
from sinks.simulators.base import SECRET, TOKEN, Faults, Secrets, Simulator
from sinks.simulators.shopify import ShopifyApi, Validate
from sinks.simulators.webhook import WebhookApi
from sinks.web import serve
from tests.builders.sinks import AT, shopify_key, shopify_listing
from topics.events import Report

QUICK = Schedule(base_s=0.01, most_s=0.05, failures_to_open=5, cool_down_s=0.02, most_cool_down_s=0.05)
TIMEOUT_S = 0.3
SDL = Path(__file__).parents[1] / "data" / "shopify-admin-2026-04.graphql"


@dataclass(frozen=True)
class Kind:
    """What the suite has to know of a kind: how a SKU is listed, and what the simulator calls it."""

    listing: Callable[[int], Mapping[str, Any]]
    key: Callable[[int], str]
    refused: Callable[[int], str]
    reads: bool
    """Whether its quantities can be read, so that the sink can find out what somebody else did."""


KINDS = {
    "webhook": Kind(lambda _: {}, lambda n: f"SKU-{n}", lambda n: f"SKU-{n}", False),
    "shopify": Kind(shopify_listing, shopify_key, lambda n: shopify_listing(n)["inventory_item_id"], True),
}


def against_the_schema() -> Validate:
    """Checks GraphQL documents with the types of the real API."""
    schema = build_schema(SDL.read_text("utf-8"))

    def problems(query: str, _: dict[str, Any]) -> list[str]:
        return [error.message for error in validate(schema, parse(query))]

    return problems


class Rig:
    """One channel, its sink and its simulator."""

    def __init__(self, kind: str, simulator: Simulator, url: str, batch: int | None = None) -> None:
        self.kind, self.simulator = KINDS[kind], simulator
        endpoint = Endpoint("X_", url, SecretStr(TOKEN), SecretStr(SECRET))
        made = channels.build(kind, "shop", endpoint)
        assert isinstance(made, ShopifyChannel | WebhookChannel)
        limits = made.limits if batch is None else replace(made.limits, batch=batch)
        self.channel: Channel = replace(made, limits=limits)
        self.reports: list[Report] = []
        self.metrics = Metrics("shop")
        self.delivery = Delivery(lambda sku: self.kind.listing(number(sku)))
        self.sender = HttpSender(url, TIMEOUT_S, self.channel.limits.concurrency)
        self.pace = Pace(QUICK, random.Random(7))
        self.pusher = Pusher(self.channel, self.delivery, self.sender, self.pace, self.metrics, self._keep)
        self._offset = 0

    async def _keep(self, reports: Sequence[Report]) -> None:
        await asyncio.sleep(0)
        self.reports.extend(reports)

    def want(self, wanted: Mapping[int, int], version: int) -> None:
        """A sync update for each: SKU's number -> quantity."""
        for n, quantity in wanted.items():
            self.delivery.offer(0, self._offset, Update(f"SKU-{n}", version, quantity, AT, time.time()))
            self._offset += 1
        self.pusher.wake()

    async def until(self, condition: Callable[[], bool], within_s: float = 20.0) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, (self.metrics.updates, self.metrics.requests, self.pusher.refused)
            await asyncio.sleep(0.005)

    async def quiet(self) -> None:
        """Everything that was wanted is settled."""
        await self.until(lambda: self.delivery.pending == 0)

    def holds(self, numbers: Iterable[int]) -> dict[int, int | None]:
        return {n: self.simulator.book.quantities.get(self.kind.key(n)) for n in numbers}

    def reported(self, kind: str) -> list[Any]:
        return [report for report in self.reports if report.type == kind]

    def refuse(self, n: int) -> None:
        """The channel will never take this SKU."""
        api = self.simulator.api
        assert isinstance(api, ShopifyApi | WebhookApi)
        api.refused.add(self.kind.refused(n))

    def settled_to_the_end(self) -> bool:
        return self.delivery.commits() == {0: self._offset}


def number(sku: str) -> int:
    return int(sku.removeprefix("SKU-"))


@asynccontextmanager
async def rig(kind: str, faults: Faults | None = None, *forced: str, batch: int | None = None) -> AsyncIterator[Rig]:
    """A running sink against a running simulator."""
    simulator = simulators.build(kind, Secrets(), faults or Faults(hang_s=1.0, slow_s=0.1, retry_after_s=0))
    if kind == "shopify":
        simulator.api = ShopifyApi(Secrets(), against_the_schema())
    simulator.forced.extend(forced)
    pages, port = await serve(simulator.application(), "127.0.0.1", 0)
    made = Rig(kind, simulator, f"http://127.0.0.1:{port}", batch)
    workers = [asyncio.create_task(made.pusher.work()) for _ in range(made.channel.limits.concurrency)]
    try:
        yield made
    finally:
        made.pusher.stop()
        _, late = await asyncio.wait(workers, timeout=2)
        made.pusher.cancel()
        if late:
            await asyncio.wait(late, timeout=2)
        for worker in workers:
            worker.result()
        await made.sender.close()
        await pages.cleanup()
