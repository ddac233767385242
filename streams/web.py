"""The worker's HTTP: health, metrics and the API, on its own aiohttp (contract section 8).

Stock is told as it was last published: a request waits for the transaction under way rather than show what is not
durable. Answers are bounded.
"""

from __future__ import annotations

import html
import time
from typing import Any
from urllib.parse import quote

import orjson
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from streams import VERSION
from streams.clock import highwaters
from streams.core.desk import Told
from streams.core.ledger import Partition
from streams.core.outputs import discrepancy_fields
from streams.engine.runtime import Runtime
from streams.metrics import Metrics
from topics.murmur2 import partition_of

BROKER_SILENT_SECONDS = 20.0
"""Ticks are committed every few seconds; without a commit for so long the broker is not there."""
MAX_DISCREPANCIES = 1000


class Site:
    """All routes of one worker."""

    def __init__(self, app: Any, runtime: Runtime, metrics: Metrics) -> None:
        self.app = app
        self.runtime = runtime
        self.metrics = metrics

    def application(self) -> web.Application:
        """The aiohttp application."""
        site = web.Application(client_max_size=64 * 1024)
        site.add_routes(
            [
                web.get("/", self.page),
                web.get("/livez", self.live),
                web.get("/readyz", self.ready),
                web.get("/metrics", self.scrape),
                web.get("/api/stock/{sku:.+}", self.stock),
                web.get("/api/discrepancies", self.discrepancies),
            ]
        )
        return site

    # -- health ---------------------------------------------------------------------------------------------------
    def is_running(self) -> bool:
        """Assigned and recovered, or waiting for a partition that others own."""
        recovered = self.runtime.ledgers.keys() == self.runtime.writers.keys()
        return recovered and not self.app.rebalancing and bool(self.app.tables.actives_ready)

    def trouble(self) -> str | None:
        """Why this worker is not ready, in words; None if it is."""
        if self.app.should_stop:
            return "draining"
        if not self.is_running():
            return "rebalancing or recovering"
        if not self.runtime.ledgers:
            return "no partitions assigned"
        silent = time.monotonic() - min(writer.last_commit for writer in self.runtime.writers.values())
        if silent > BROKER_SILENT_SECONDS:
            return f"no commit for {silent:.0f} s: is the broker reachable?"
        return None

    async def live(self, _: web.Request) -> web.Response:
        """The event loop turns."""
        return web.Response(text="ok\n")

    async def ready(self, _: web.Request) -> web.Response:
        """Records are taken and published."""
        trouble = self.trouble()
        return web.Response(text=f"{trouble or 'ok'}\n", status=503 if trouble else 200)

    async def scrape(self, request: web.Request) -> web.Response:
        """Prometheus."""
        self.metrics.gauges(self.runtime, highwaters(self.app))
        encoder, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encoder(self.metrics.registry), headers={"Content-Type": content_type})

    # -- api ------------------------------------------------------------------------------------------------------
    async def stock(self, request: web.Request) -> web.Response:
        """The last sync update of a SKU; 421 with the owner's address if this worker does not own it."""
        sku = request.match_info["sku"]
        key = sku.encode("utf-8", "surrogatepass")
        number = partition_of(key, self.runtime.partitions)
        if number in self.runtime.ledgers and (writer := self.runtime.writers.get(number)) is not None:
            await writer.landed()
        ledger = self.runtime.ledgers.get(number)  # looked up after the wait: partitions come and go
        if ledger is None:
            return self._elsewhere(number, sku)
        told = ledger.told(sku)
        return _json(told) if told is not None else _json({"error": "unknown sku", "sku": sku}, 404)

    def _elsewhere(self, number: int, sku: str) -> web.Response:
        owner = self._owner(number)
        if owner is None:
            return _json({"error": "partition has no owner now", "partition": number}, 503)
        url = f"{owner.rstrip('/')}/api/stock/{quote(sku, safe='')}"
        return _json({"error": "owned by another worker", "owner": owner, "url": url}, 421, {"Location": url})

    def _owner(self, number: int) -> str | None:
        """From the group's assignment, which carries each member's address."""
        if number in self.runtime.ledgers or number in self.runtime.writers:
            return None  # ours, but still recovering
        changelog = next(iter(self.app.tables.changelog_topics))
        for url, topics in self.app.assignor.tables_metadata().items():
            if number in topics.get(changelog, ()):
                return str(url)
        return None

    async def discrepancies(self, request: web.Request) -> web.Response:
        """Discrepancies in this worker's rows, newest first; filters: status, kind, sku."""
        wanted = {name: request.query[name] for name in ("status", "kind", "sku") if request.query.get(name)}
        found = []
        for ledger in self.runtime.ledgers.values():
            for told in _issues(ledger, wanted.get("sku")):
                fields = discrepancy_fields(told)
                if all(fields[name] == value for name, value in wanted.items()):
                    found.append(fields)
        found.sort(key=lambda fields: fields["opened_at"], reverse=True)
        return _json({"discrepancies": found[:MAX_DISCREPANCIES], "total": len(found)})

    async def page(self, _: web.Request) -> web.Response:
        """A plain overview; everything on it is also in the API and in the metrics."""
        ledgers = self.runtime.ledgers
        opened = sum(n for ledger in ledgers.values() for n in ledger.books.desk.open_count.values())
        lines = {
            "version": VERSION,
            "state": self.trouble() or "ready",
            "partitions": ", ".join(map(str, sorted(ledgers))) or "none",
            "SKUs": f"{sum(len(ledger.rows) for ledger in ledgers.values()):,}",
            "open discrepancies": f"{opened:,}",
        }
        rows = "".join(f"<tr><th>{html.escape(k)}<td>{html.escape(str(v))}" for k, v in lines.items())
        links = " · ".join(f'<a href="{path}">{path}</a>' for path in ("/api/discrepancies", "/metrics", "/readyz"))
        body = (
            f"<!doctype html><html lang=en><title>stockstream</title><h1>stockstream</h1><table>{rows}</table>{links}"
        )
        return web.Response(text=body, content_type="text/html")


def _issues(ledger: Partition, sku: str | None) -> list[Told]:
    """Rows with open issues are decoded in the ledger (see `Partition.load`): others hold only closed cases."""
    stocks = (
        [ledger.stock(sku)] if sku is not None else [row for row in ledger.rows.values() if not isinstance(row, bytes)]
    )
    return [
        Told(stock.sku, stock.version, issue)
        for stock in stocks
        if stock is not None
        for issue in stock.issues.values()
        if issue.state != "pending"
    ]


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, headers=headers, content_type="application/json")
