"""Sync updates, listings, and processes of sinks and simulators for tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from topics.codec import encode
from topics.updates import ChannelQuantity, Conditions, SyncUpdate

AT = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def sync_update(sku: str, version: int, channels: Mapping[str, int], at: datetime | None = None) -> SyncUpdate:
    """A sync update with these quantities."""
    total = sum(channels.values())
    return SyncUpdate(
        sku=sku,
        version=version,
        occurred_at=at or datetime.now(UTC),
        on_hand=total,
        sellable=total,
        reserved=0,
        available=total,
        conditions=Conditions(quality_control=0, damaged=0, in_transit=0),
        locations={},
        channels={
            name: ChannelQuantity(quantity=quantity, pool=quantity, safety_stock=0, percent=100, cap=None)
            for name, quantity in channels.items()
        },
        caused_by=["E-1"],
        caused_by_count=1,
    )


def sync_bytes(sku: str, version: int, channels: Mapping[str, int]) -> bytes:
    return encode(sync_update(sku, version, channels))


def shopify_listing(number: int) -> dict[str, str]:
    return {
        "inventory_item_id": f"gid://shopify/InventoryItem/{number}",
        "location_id": "gid://shopify/Location/1",
    }


def shopify_key(number: int) -> str:
    """How the simulator names what `shopify_listing` points at."""
    return f"gid://shopify/InventoryItem/{number}|gid://shopify/Location/1"


def fetch(url: str, body: Any = None) -> Any:
    """GET JSON, or POST it."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=5) as answer:
        return json.loads(answer.read())


class Program:
    """`python -m sinks ...`, and what it wrote."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.log = log

    def text(self) -> str:
        return self.log.read_text("utf-8")

    def url(self, within_s: float = 30.0) -> str:
        """Where it listens, as soon as it does."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            for line in self.text().splitlines():
                if line.startswith("ready "):
                    return line.removeprefix("ready ")
                if '"sink started"' in line:
                    return str(json.loads(line)["web"])
            assert self.process.poll() is None, self.text()
            time.sleep(0.02)
        raise AssertionError(f"does not listen: {self.text()}")

    def status(self) -> dict[str, Any]:
        """/api/status; empty while nobody answers."""
        try:
            return dict(fetch(f"{self.url()}/api/status"))
        except urllib.error.URLError:
            return {}


@contextmanager
def program(log: Path, *arguments: str, **environment: str) -> Iterator[Program]:
    """Run `python -m sinks ARGUMENTS`; killed at the end if it still runs."""
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "sinks", *arguments],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            text=True,
        )
    try:
        yield Program(process, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
