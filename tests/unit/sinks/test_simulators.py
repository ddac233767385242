"""The simulators' own promises: the same seed, the same faults; an admin who can edit, force and count."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from sinks import simulators
from sinks.simulators.base import FAULTS, Faults, Secrets

Client = Callable[[Any], Awaitable[TestClient[Any, Any]]]


def drawn(seed: int) -> list[str | None]:
    simulator = simulators.build("webhook", Secrets(), Faults(seed, {"error": 0.3, "timeout": 0.3}))
    return [simulator.draw() for _ in range(200)]


def test_a_seed_draws_the_same_faults_again() -> None:
    assert drawn(1) == drawn(1) != drawn(2)
    shares = {name: drawn(1).count(name) / 200 for name in ("error", "timeout", None)}
    assert all(0.2 < share < 0.55 for share in shares.values()), shares


@pytest.mark.parametrize("rates", [{"earthquake": 0.1}, {"error": -0.1}, {"error": 0.6, "timeout": 0.6}])
def test_faults_that_cannot_be_are_refused(rates: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Faults(rates=rates)


async def test_an_admin_edits_and_reads_quantities(aiohttp_client: Client) -> None:
    client = await aiohttp_client(simulators.build("shopify", Secrets(), Faults()).application())
    assert (await client.post("/admin/quantities", json={"quantities": {"A": 5}})).status == 200
    assert await (await client.get("/admin/quantities")).json() == {"quantities": {"A": 5}}
    account = await (await client.get("/admin/requests")).json()
    assert (account["edits"], account["edited"][0]["now"], account["requests"]) == (1, 5, 0)
    for body in ({"quantities": {"A": "5"}}, {"quantities": 1}, [], {}):
        assert (await client.post("/admin/quantities", json=body)).status == 400


async def test_an_admin_forces_faults_in_order(aiohttp_client: Client) -> None:
    client = await aiohttp_client(simulators.build("webhook", Secrets(), Faults(retry_after_s=9)).application())
    assert (await client.post("/admin/faults", json={"next": ["throttle", "error", "ok"]})).status == 200
    answers = [await client.post("/", data=b"{}") for _ in range(3)]
    assert [answer.status for answer in answers] == [429, 500, 401]
    assert answers[0].headers["retry-after"] == "9"
    assert (await (await client.get("/admin/requests")).json())["faults"] == {"throttle": 1, "error": 1}
    assert (await client.post("/admin/faults", json={"next": ["earthquake"]})).status == 400


@pytest.mark.parametrize(
    ("path", "token", "body", "status"),
    [
        ("/admin/api/2026-01/graphql.json", "shpat_simulator", {"query": "{a}", "variables": {}}, 404),
        ("/admin/api/2026-04/graphql.json", "wrong", {"query": "{a}", "variables": {}}, 401),
        ("/admin/api/2026-04/graphql.json", "shpat_simulator", {"query": "{a}"}, 400),
    ],
)
async def test_the_shop_is_strict(aiohttp_client: Client, path: str, token: str, body: Any, status: int) -> None:
    client = await aiohttp_client(simulators.build("shopify", Secrets(), Faults()).application())
    answer = await client.post(path, json=body, headers={"X-Shopify-Access-Token": token})
    assert answer.status == status


@pytest.mark.parametrize(
    ("kind", "fault"), [("webhook", "earthquake=1"), ("webhook", "error=much"), ("ebay", "error=0")]
)
def test_the_command_refuses_what_it_does_not_know(kind: str, fault: str) -> None:
    command = [sys.executable, "-m", "sinks", "simulate", kind, "--fault", fault]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr.startswith("refused: ")


def test_the_help_names_every_fault() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sinks", "simulate", "--help"], check=True, capture_output=True, text=True, timeout=30
    )
    assert [name for name in FAULTS if name not in done.stdout] == []
