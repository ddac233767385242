"""One HTTP call, bounded in time and bytes: no redirect is followed, nothing is retried here, nothing is unpacked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

import aiohttp

from sinks.channel import Answer, NoAnswer, Request

MAX_BODY_BYTES = 64 * 1024
CONNECT_TIMEOUT_S = 5.0
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)


class Sender(Protocol):
    """Whatever carries a request to the channel and brings back what came of it."""

    async def send(self, request: Request) -> Answer | NoAnswer:
        """Never raises for what the network or the channel does."""


class HttpSender:
    """One session for one channel."""

    def __init__(self, url: str, timeout_s: float, connections: int) -> None:
        self._url = url
        timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
        self._session = aiohttp.ClientSession(
            timeout=timeout,
            connector=aiohttp.TCPConnector(limit=connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # a small body must not become a large one
            headers={"accept-encoding": "identity", "user-agent": "stockstream-sink"},
        )

    async def send(self, request: Request) -> Answer | NoAnswer:
        """Send once. Time-outs, resets and broken answers after sending leave the outcome unknown."""
        try:
            async with self._session.request(
                request.method,
                self._url + request.path,
                data=request.body,
                headers=dict(request.headers),
                allow_redirects=False,
            ) as response:
                body = bytearray()
                async for chunk in response.content.iter_chunked(16 * 1024):
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        response.close()  # the rest is not read
                        break
                headers = {name.lower(): value for name, value in response.headers.items()}
                cut = len(body) > MAX_BODY_BYTES
                return Answer(response.status, headers, bytes(body[:MAX_BODY_BYTES]), datetime.now(UTC), cut)
        except _NEVER_SENT as exc:
            return NoAnswer(False, type(exc).__name__, datetime.now(UTC))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            return NoAnswer(True, type(exc).__name__, datetime.now(UTC))

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()
