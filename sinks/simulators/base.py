"""What all simulators share: HTTP, faults, an account of what was received, and a person who edits quantities.

Faults are drawn by a seed, at most one for a call, or forced one by one (`POST /admin/faults`):

- throttle, error, unavailable, auth: refused before anything is applied
- reset: the connection breaks, before or after applying
- timeout: applied, and then no answer
- garbage, huge, drip: applied, and then an answer that is no answer: not JSON, endless, or a byte now and then
- redirect: 307 to somewhere else
- slow: applied and answered, late
- noop: answered as if applied, but it was not
- edit: applied and answered; then a person changes a quantity by hand
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson
from aiohttp import web

MAX_BODY_BYTES = 1024 * 1024
MAX_KEYS = 200_000
"""Idempotency keys that are remembered."""
MAX_EVENTS = 10_000
FAULTS = (
    "throttle",
    "error",
    "unavailable",
    "auth",
    "reset",
    "timeout",
    "garbage",
    "huge",
    "drip",
    "redirect",
    "slow",
    "noop",
    "edit",
)
_RESET_AFTER_SHARE = 0.5
# They open nothing but a simulator.
TOKEN = "shpat_simulator"  # noqa: S105
SECRET = "whsec_c2ltdWxhdG9yLXNlY3JldC0wMTIzNDU2Nzg5"  # noqa: S105


@dataclass(slots=True)
class Faults:
    """How often what goes wrong: the share of calls, 0 to 1, by the name of the fault."""

    seed: int = 0
    rates: dict[str, float] = field(default_factory=dict)
    retry_after_s: int = 1
    hang_s: float = 30.0
    slow_s: float = 1.0
    most_edits: int = 1_000_000
    """A person edits so often and no more: what is edited last is only mended by a later update."""

    def __post_init__(self) -> None:
        unknown = set(self.rates) - set(FAULTS)
        if unknown:
            raise ValueError(f"{sorted(unknown)[0]!r} is none of {', '.join(FAULTS)}")
        if any(rate < 0 for rate in self.rates.values()) or sum(self.rates.values()) > 1:
            raise ValueError("the rates of faults must be 0 to 1, and together not more than 1")


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a caller must know."""

    token: str = TOKEN
    secret: str = SECRET


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the API."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What the API says, and which keys the call wrote."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    wrote: tuple[str, ...] = ()


class Book:
    """What the channel holds, and how it came to."""

    def __init__(self) -> None:
        self.quantities: dict[str, int] = {}
        self.counts: Counter[str] = Counter()
        self.history: dict[str, list[int]] = {}
        """Key -> what it was set to by the API, in order; the last few."""
        self.edits: deque[dict[str, Any]] = deque(maxlen=MAX_EVENTS)
        self.answered: OrderedDict[str, tuple[Any, Any]] = OrderedDict()
        """Idempotency key -> what was asked, what was answered."""

    def write(self, key: str, quantity: int) -> None:
        """The API sets a quantity."""
        self.counts["writes"] += 1
        if self.quantities.get(key) != quantity:
            self.counts["effects"] += 1
        self.quantities[key] = quantity
        past = self.history.setdefault(key, [])
        past.append(quantity)
        del past[:-100]

    def edit(self, key: str, quantity: int) -> None:
        """A person sets a quantity."""
        was = self.quantities.get(key)
        self.quantities[key] = quantity
        self.counts["edits"] += 1
        self.edits.append({"key": key, "was": was, "now": quantity, "at": datetime.now(UTC).isoformat()})

    def remember(self, key: str, asked: Any, answered: Any) -> None:
        """A call with this idempotency key has its answer."""
        self.answered[key] = (asked, answered)
        if len(self.answered) > MAX_KEYS:
            self.answered.popitem(last=False)


class Api(Protocol):
    """One kind of channel, without its network."""

    book: Book

    def reply(self, call: Call, dry: bool) -> Reply:
        """What the channel does and says; dry: says it without doing it."""

    def throttled(self, retry_after_s: int) -> Reply:
        """How this channel asks for patience."""


class Simulator:
    """An API behind HTTP, with faults and an admin's side."""

    def __init__(self, api: Api, faults: Faults) -> None:
        self.api = api
        self.faults = faults
        self.forced: deque[str] = deque()
        self.statuses: Counter[str] = Counter()
        self.met: Counter[str] = Counter()
        self._chance = random.Random(faults.seed)  # noqa: S311 - repeatable, not secret

    @property
    def book(self) -> Book:
        """What the channel holds."""
        return self.api.book

    def application(self) -> web.Application:
        """The HTTP side: everything that is not /admin is the API."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/admin/quantities", self._quantities)
        app.router.add_post("/admin/quantities", self._edit)
        app.router.add_get("/admin/requests", self._requests)
        app.router.add_post("/admin/faults", self._force)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    # the API ----------------------------------------------------------------------------------------------------

    def draw(self) -> str | None:
        """The fault of the next call."""
        if self.forced:
            return self.forced.popleft()
        dice = self._chance.random()
        for name in FAULTS:
            dice -= self.faults.rates.get(name, 0.0)
            if dice < 0:
                return name
        return None

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(request.method, request.path, headers, body)
        fault = self.draw()
        if fault is not None and fault != "ok":
            self.met[fault] += 1
        refused = self._refusal(fault)
        if refused is not None:
            return self._send(refused)
        if fault == "reset" and self._chance.random() >= _RESET_AFTER_SHARE:
            return self._broken(request, "reset before")
        reply = self.api.reply(call, dry=fault == "noop")
        return await self._after(request, reply, fault)

    def _refusal(self, fault: str | None) -> Reply | None:
        match fault:
            case "throttle":
                return self.api.throttled(self.faults.retry_after_s)
            case "error":
                return Reply(500, b'{"error":"simulated"}')
            case "unavailable":
                return Reply(503, b"simulated", {"retry-after": str(self.faults.retry_after_s)})
            case "auth":
                return Reply(401, b'{"error":"simulated"}')
            case "redirect":
                return Reply(307, b"", {"location": "http://127.0.0.1:9/elsewhere"})
            case _:
                return None

    async def _after(self, request: web.Request, reply: Reply, fault: str | None) -> web.StreamResponse:
        match fault:
            case "reset":
                return self._broken(request, "reset after")
            case "timeout":
                await asyncio.sleep(self.faults.hang_s)
                return self._broken(request, "timeout")
            case "garbage":
                return self._send(Reply(200, b"<html>It works!</html>", {"content-type": "text/html"}))
            case "huge":
                return self._send(Reply(200, b'{"data":"' + b"x" * (2 * MAX_BODY_BYTES) + b'"}'))
            case "drip":
                return await self._drip(request)
            case "slow":
                await asyncio.sleep(self.faults.slow_s)
            case "edit":
                self._someone_edits(reply.wrote)
            case _:
                pass
        return self._send(reply)

    def _send(self, reply: Reply) -> web.Response:
        self.statuses[str(reply.status)] += 1
        headers = {"content-type": "application/json", **reply.headers}
        return web.Response(status=reply.status, body=reply.body, headers=headers)

    def _broken(self, request: web.Request, how: str) -> web.Response:
        self.statuses[how] += 1
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)  # nobody gets it

    async def _drip(self, request: web.Request) -> web.StreamResponse:
        self.statuses["drip"] += 1
        response = web.StreamResponse(headers={"content-type": "application/json"})
        await response.prepare(request)
        loop = asyncio.get_running_loop()
        until = loop.time() + self.faults.hang_s
        while loop.time() < until:
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    def _someone_edits(self, keys: Iterable[str]) -> None:
        choice = sorted(keys)
        if choice and self.book.counts["edits"] < self.faults.most_edits:
            key = self._chance.choice(choice)
            held = self.book.quantities.get(key, 0)
            self.book.edit(key, held + self._chance.randint(1, 5))

    # the admin's side -------------------------------------------------------------------------------------------

    async def _quantities(self, _: web.Request) -> web.Response:
        return _json({"quantities": self.book.quantities})

    async def _edit(self, request: web.Request) -> web.Response:
        try:
            wanted = orjson.loads(await request.read())["quantities"].items()
        except (ValueError, KeyError, TypeError, AttributeError):
            return _json({"error": 'expected {"quantities": {key: integer}}'}, 400)
        if not all(isinstance(quantity, int) for _, quantity in wanted):
            return _json({"error": "quantities are integers"}, 400)
        for key, quantity in wanted:
            self.book.edit(key, quantity)
        return _json({"edited": len(wanted)})

    async def _force(self, request: web.Request) -> web.Response:
        try:
            names = orjson.loads(await request.read())["next"]
        except (ValueError, KeyError, TypeError):
            names = None
        if not isinstance(names, list) or not set(names) <= {*FAULTS, "ok"}:
            return _json({"error": f'expected {{"next": [name, ...]}} of {", ".join(FAULTS)}, ok'}, 400)
        self.forced.extend(names)
        return _json({"forced": len(self.forced)})

    async def _requests(self, _: web.Request) -> web.Response:
        counts = {"writes": 0, "effects": 0, "duplicate_effects": 0, "repeats": 0, "edits": 0, **self.book.counts}
        return _json(
            {
                "requests": sum(self.statuses.values()),
                "answers": dict(self.statuses),
                "faults": dict(self.met),
                "keys": len(self.book.answered),
                "edited": list(self.book.edits),
                **counts,
            }
        )


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")
