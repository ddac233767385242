"""The worker's HTTP, on ledgers in memory: what is told, by whom, and when it is ready."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp.test_utils import TestClient, TestServer

from streams.engine.runtime import Runtime
from streams.metrics import Metrics
from streams.web import BROKER_SILENT_SECONDS, Site
from tests.builders.events import policy, received, returned
from tests.unit.streams.log import Log, Reader
from topics.murmur2 import partition_of
from topics.settings import KafkaSettings

OTHER = "http://127.0.0.1:6067"
MINE = [number for number in range(4) if number != 3]
SKUS = [f"SKU-{n}" for n in range(8)]
"""Some of them in partition 3, which another worker has."""


class FakeWriter:
    """A window is never on its way."""

    def __init__(self) -> None:
        self.last_commit = time.monotonic()

    async def landed(self) -> None:
        return None


def site() -> Site:
    """A worker that owns all partition numbers but the last."""
    metrics = Metrics()
    runtime = Runtime("stockstream", KafkaSettings(), policy(), 4, metrics)
    for number in MINE:
        mine = [sku for sku in SKUS if partition_of(sku.encode(), 4) == number]
        reader = Reader(partitions=4, number=number)
        reader.read(Log().say(*(received(sku, 5) for sku in mine), *(returned(s, 1, "missing") for s in mine)).records)
        runtime.ledgers[number] = reader.ledger
        runtime.writers[number] = FakeWriter()  # type: ignore[assignment]
    tables = SimpleNamespace(actives_ready=True, changelog_topics={"changelog"})
    assignor = SimpleNamespace(tables_metadata=lambda: {OTHER: {"changelog": [3]}})
    app = SimpleNamespace(should_stop=False, rebalancing=False, tables=tables, assignor=assignor)
    return Site(app, runtime, metrics)


async def get(made: Site, path: str) -> tuple[int, Any, Any]:
    async with TestClient(TestServer(made.application())) as client:
        answer = await client.get(path, allow_redirects=False)
        is_json = answer.content_type == "application/json"
        return answer.status, await answer.json() if is_json else await answer.text(), answer.headers


@pytest.mark.parametrize("sku", SKUS)
async def test_stock_is_told_by_its_owner(sku: str) -> None:
    """Or the owner's address, with 421."""
    status, body, headers = await get(site(), f"/api/stock/{sku}")
    if partition_of(sku.encode(), 4) in MINE:
        assert (status, body["sku"], body["on_hand"]) == (200, sku, 5)
    else:
        assert (status, body["owner"], body["url"]) == (421, OTHER, f"{OTHER}/api/stock/{sku}")
        assert headers["Location"] == body["url"]


@pytest.mark.parametrize("sku", ["../x", "=cmd()", "a/b", "<b>", "100%", "cafe\u0301"])
async def test_a_strange_sku_is_only_unknown(sku: str) -> None:
    """A SKU is data: it chooses no path and breaks no answer."""
    made = site()
    made.runtime.ledgers[3], made.runtime.writers[3] = Reader(partitions=4, number=3).ledger, made.runtime.writers[0]
    status, body, _ = await get(made, f"/api/stock/{quote(sku, safe='')}")
    assert (status, body["error"]) == (404, "unknown sku")


async def test_a_partition_without_owner_is_a_503() -> None:
    made = site()
    made.app.assignor = SimpleNamespace(tables_metadata=dict)
    (sku, *_) = [sku for sku in SKUS if partition_of(sku.encode(), 4) == 3]
    status, body, _ = await get(made, f"/api/stock/{sku}")
    assert (status, body["partition"]) == (503, 3)


async def test_discrepancies_are_filtered() -> None:
    made = site()
    owned = {sku for sku in SKUS if partition_of(sku.encode(), 4) in MINE}
    _, everything, _ = await get(made, "/api/discrepancies")
    assert {found["sku"] for found in everything["discrepancies"]} == owned
    assert everything["total"] == len(owned)
    sku = sorted(owned)[0]
    _, one, _ = await get(made, f"/api/discrepancies?sku={sku}&kind=refund_without_goods&status=opened")
    assert [found["sku"] for found in one["discrepancies"]] == [sku]
    for nothing in ("sku=NOBODY", "kind=oversold", "status=resolved"):
        assert (await get(made, f"/api/discrepancies?{nothing}"))[1] == {"discrepancies": [], "total": 0}


async def test_readiness_says_what_is_missing() -> None:
    """Assigned, recovered, heard of the broker, not draining."""
    made = site()
    assert (await get(made, "/readyz"))[0] == 200
    made.runtime.writers[0].last_commit -= BROKER_SILENT_SECONDS + 1
    await _not_ready(made, "is the broker reachable")
    made.app.rebalancing = True
    await _not_ready(made, "rebalancing")
    made.app.rebalancing, made.app.should_stop = False, True
    await _not_ready(made, "draining")
    made.app.should_stop = False
    made.runtime.ledgers.clear()
    await _not_ready(made, "recovering")  # a writer without its ledger
    made.runtime.writers.clear()
    await _not_ready(made, "no partitions")
    assert (await get(made, "/livez"))[0] == 200


async def _not_ready(made: Site, why: str) -> None:
    status, body, _ = await get(made, "/readyz")
    assert status == 503
    assert why in body


async def test_metrics_are_there_before_anything_happens() -> None:
    """And no SKU is in a label."""
    made = site()
    made.app.consumer = SimpleNamespace(assignment=set)
    status, text, _ = await get(made, "/metrics")
    assert status == 200
    assert 'stockstream_records_total{outcome="rerouted",topic="warehouse.movements.v1"} 0.0' in text
    assert 'stockstream_dead_letters_total{reason="internal",topic="stock.commands.v1"} 0.0' in text
    assert "stockstream_partitions_assigned 3.0" in text
    assert "SKU-" not in text
