"""A sink's HTTP: /livez, /readyz, /metrics and /api/status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from sinks.runner import Sink


def application(sink: Sink) -> web.Application:
    """The pages of one sink."""

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        why = sink.unready()
        return web.Response(status=503 if why else 200, text=f"{why or 'ok'}\n")

    async def metrics(_: web.Request) -> web.Response:
        headers = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=sink.metrics.exposition(), headers=headers)

    async def status(_: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(sink.status()), content_type="application/json")

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/api/status", status)
    return app


async def serve(app: web.Application, host: str, port: int) -> tuple[web.AppRunner, int]:
    """Listen; returns the runner and the port (a free one for port 0). Raises OSError when it is taken."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError:
        await runner.cleanup()
        raise
    return runner, int(runner.addresses[0][1])
