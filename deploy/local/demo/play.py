"""The demo from its first process to its last: start everything, send everything, and wait for what must come of it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import KafkaException

from deploy.local.demo import check, figures, people, stories
from deploy.local.demo.conductor import Conductor
from deploy.local.demo.live import Picture, View
from deploy.local.demo.observe import Observer
from deploy.local.demo.oracle import Expected, expect
from deploy.local.demo.producer import CRC32, MURMUR2, Sender, Sheet
from deploy.local.demo.retail import Retail
from deploy.local.demo.script import MISROUTES, Record, Script
from deploy.local.demo.stack import Child, DemoError, Stack, answers, fetch
from deploy.local.ports import free_ports
from topics.policy import load_policy
from topics.settings import KafkaSettings

POLICY = Path(__file__).with_name("policy.yaml")
APP_ID = "stockstream"
READY_S, FEED_SLACK_S, SETTLE_S = 60.0, 90.0, 90.0
"""Bounds of the three waits: for the programs, for the feed beyond its own length, for the end."""
LOOK_EVERY_S = 0.05
ASK_EVERY_S = 0.4
RESYNC_EVERY_S = 4.0
TICK_S = 5.0
FORCED_FAULTS = ["ok", "ok", "timeout", "throttle", "ok", "error", "ok", "reset"]


@dataclass(slots=True)
class Ports:
    """Where the programs listen on 127.0.0.1."""

    worker: int
    sinks: dict[str, int]
    simulators: dict[str, int]

    @classmethod
    def pick(cls, channels: list[str]) -> Ports:
        """Free ones."""
        free = iter(free_ports(1 + 2 * len(channels)))
        return cls(next(free), {c: next(free) for c in channels}, {c: next(free) for c in channels})


def url(port: int) -> str:
    """A program of ours."""
    return f"http://127.0.0.1:{port}"


@dataclass(slots=True)
class Measured:
    """What was found at the end, for the report."""

    worker: figures.Worker = field(default_factory=figures.Worker)
    lags: Counter[str] = field(default_factory=Counter)
    sinks: dict[str, dict[str, Any]] = field(default_factory=dict)
    holds: dict[str, dict[str, int]] = field(default_factory=dict)
    met: dict[str, dict[str, Any]] = field(default_factory=dict)
    restarts: int = 0
    out_of_service_s: float = 0.0


class Play:
    """One run. How each program is started is not its business: the rest is waiting for conditions, all bounded."""

    def __init__(self, stack: Stack, kafka: KafkaSettings, script: Script, retail: Retail, view: View) -> None:
        self.policy = load_policy(POLICY)
        self.channels = list(self.policy.channels)
        self.bootstrap = kafka.bootstrap
        self.ports = Ports.pick(self.channels)
        self.script = script
        self.expected: dict[str, Expected] = expect(script.moves, self.policy)
        self.observer = Observer(kafka)
        self.measured = Measured()
        self._stack = stack
        self._kafka = kafka
        self._listings = people.numbers(retail.products)
        self._items = people.items(retail.products)
        self._view = view
        self._sender = Sender(kafka)
        self._group = figures.Group(kafka, APP_ID)
        self._done = 0
        self._resyncs = 0
        self._told_right = False
        self._asked = 0.0
        self._producers: list[Child] = []

    # -- start ----------------------------------------------------------------------------------------------------
    def start(self, programs: Callable[[Play], None], picture: Picture) -> None:
        """Topics, catalogue, worker, simulators and sinks."""
        self._stack.run("topics", ["-m", "topics", "apply"])
        self._send(self._items)
        self.observer.start()
        picture.seen = self.observer.seen
        picture.total = self.script.records + len(self.script.at_the_end)
        picture.known = len(self.script.incidents)
        picture.sinks = {name: {} for name in self.channels}
        programs(self)
        self._prepare_producers()
        for name, port in self._ready_urls():
            self._stack.await_ready(name, port, READY_S)
        self._picture = picture

    def _ready_urls(self) -> Iterable[tuple[str, str]]:
        for channel in self.channels:
            yield f"simulator-{channel}", f"{url(self.ports.simulators[channel])}/admin/requests"
        yield "worker", f"{url(self.ports.worker)}/readyz"
        for channel in self.channels:
            yield f"sink-{channel}", f"{url(self.ports.sinks[channel])}/readyz"

    def _prepare_producers(self) -> None:
        for source, records in self.script.feed.items():
            sheet = Sheet(source, CRC32 if source == MISROUTES else MURMUR2, records)
            path = self._stack.folder / f"{source}.records"
            path.write_bytes(msgspec.msgpack.encode(sheet))
            arguments = ["-m", "deploy.local.demo.producer", str(path)]
            self._producers.append(self._stack.start(f"producer-{source}", arguments, talks=True))

    # -- the feed -------------------------------------------------------------------------------------------------
    def feed(self, seconds: float, restart_worker: Callable[[], None] | None) -> None:
        """Let all sources speak; a person edits the shop meanwhile, and the worker dies once if it shall."""
        self._force_faults()
        conductor = Conductor(self.script.feed.values())
        edited = False
        deadline = time.monotonic() + seconds + FEED_SLACK_S
        while not (conductor.over and edited):
            self._pause(
                "feed, waiting for the worker" if conductor.holds else "feed", deadline, "the feed does not end"
            )
            self._beat(conductor)
            if not edited and self._scarf_stands():
                self._edit()
                edited = True
            if restart_worker and self.observer.seen.movements > self.script.records // 2:
                self._kill_worker(conductor, restart_worker)
                restart_worker = None
        for producer in self._producers:
            producer.hang_up()
        while any(producer.running for producer in self._producers):
            self._pause("feed", deadline, "Kafka has not taken everything")

    def _force_faults(self) -> None:
        """Chance decides about faults; these happen in any case, soon."""
        for channel in self.channels:
            body = json.dumps({"next": FORCED_FAULTS}).encode()
            fetch(f"{url(self.ports.simulators[channel])}/admin/faults", body)

    def _beat(self, conductor: Conductor, *, alone: bool = False) -> None:
        try:
            done = self._group.done()
        except KafkaException:  # the group may be between two owners
            done = self._done
        self._done = max(self._done, done)
        now = conductor.beat(time.monotonic(), self._done, alone=alone)
        for producer in self._producers:
            producer.tell(str(now))

    def _scarf_stands(self) -> bool:
        """The shop shows the scarf's first quantity, and has said so."""
        wanted = stories.SCARVES - stories.SAFETY
        confirmed = self.observer.seen.confirmed.get((stories.SCARF, "shopify"), [])
        return any(quantity == wanted for _, quantity, _ in confirmed)

    def _edit(self) -> None:
        """A person types another quantity into the shop, and the shop's webhook tells of it."""
        edit = {"quantities": {self._key("shopify", stories.SCARF): stories.SCARVES_SEEN}}
        fetch(f"{url(self.ports.simulators['shopify'])}/admin/quantities", json.dumps(edit).encode())
        self._send([people.shop_tells(stories.SCARF, stories.SCARVES_SEEN)])
        self._view.say(f"a person types {stories.SCARVES_SEEN} for {stories.SCARF} into the shop, behind our back")

    def _kill_worker(self, conductor: Conductor, restart: Callable[[], None]) -> None:
        began = time.monotonic()
        self._stack.forget("worker").kill()
        self._view.say("[bold]kill -9[/bold] of the worker, in the middle of the feed; it is started again")
        restart()
        ready = f"{url(self.ports.worker)}/readyz"
        while not answers(ready):
            self._pause("feed, without a worker", began + READY_S, "the worker that was killed is not ready again")
            self._beat(conductor, alone=True)
        self.measured.restarts += 1
        self.measured.out_of_service_s = time.monotonic() - began
        self._view.say(f"the worker is back after {self.measured.out_of_service_s:.1f} s")

    # -- the end --------------------------------------------------------------------------------------------------
    def settle(self) -> list[str]:
        """Wait until everything stands as it must; returns what does not, in words, when that takes too long."""
        deadline = time.monotonic() + SETTLE_S
        last_movement_ms = self.observer.seen.newest_movement_ms
        while check.missing(self._records(), self.script.incidents):
            if self._late("discrepancies ripen", deadline) or self._hopeless():
                return self._final()
        self._view.say("all that went wrong is among the discrepancies; now people settle some of it")
        decisions = people.decisions(self.script.incidents, self._records())
        self._send([*decisions, *self.script.at_the_end, people.fan(self._listings, typo=False)])
        while self._not_settled() or not self._every_grace_is_over(last_movement_ms):
            self._go_on_asking(SETTLE_S - (deadline - time.monotonic()))
            if self._late("settling, and nothing more may open", deadline) or self._hopeless():
                break
        return self._final()

    def _final(self) -> list[str]:
        self._measure()
        return self.verdict()

    def _records(self) -> list[dict[str, Any]]:
        return list(self.observer.seen.discrepancies.values())

    def _hopeless(self) -> bool:
        """Something is there that must not be: no waiting helps."""
        seen = self.observer.seen
        return bool(check.surplus(self._records(), self.script.incidents) or check.versions(seen))

    def _not_settled(self) -> bool:
        """A cheap look first; figures are asked for only when the topics say that all is well."""
        if self._wrong_in_topics():
            return True
        self._measure()
        return bool(self.verdict())

    def _go_on_asking(self, seconds: float) -> None:
        """The mended listing and the request to write it travel by two topics: ask until the shop has taken it.

        And the shop's webhook tells of the scarf once more, when our sink has written it right.
        """
        if not self.observer.seen.confirmed.get((stories.FAN, "shopify")) and seconds >= self._resyncs * RESYNC_EVERY_S:
            self._send([people.resync(self._resyncs)])
            self._resyncs += 1
        right = self.expected[stories.SCARF].channels["shopify"]
        confirmed = self.observer.seen.confirmed.get((stories.SCARF, "shopify"), [])
        if not self._told_right and any(quantity == right for _, quantity, _ in confirmed):
            self._send([people.shop_tells(stories.SCARF, right)])
            self._told_right = True

    def _every_grace_is_over(self, last_movement_ms: int) -> bool:
        """Ticks have come for long enough after the last movement that whatever it broke is open by now."""
        graces = max(self.policy.grace(incident.kind) for incident in self.script.incidents)
        ticks = self.observer.seen.ticks
        over = last_movement_ms + 1000 * (graces + TICK_S)
        return len(ticks) == self._kafka.partitions and min(ticks.values()) >= over

    def _wrong_in_topics(self) -> list[str]:
        seen, script, records = self.observer.seen, self.script, self._records()
        wrong = check.versions(seen)
        wrong += check.letters(list(seen.letters), script.buried)
        wrong += check.surplus(records, script.incidents) + check.missing(records, script.incidents)
        wrong += check.numbers(records, script.incidents) + check.ended(records, script.incidents)
        return wrong + check.stock(dict(seen.sync), self.expected)

    def verdict(self) -> list[str]:
        """Everything that is not as it must be, in words."""
        wrong = self._wrong_in_topics()
        for channel, holds in self.measured.holds.items():
            wrong += check.channel(channel, holds, dict(self.observer.seen.sync))
        wrong += [f"the worker has {lag} records of {name} to read" for name, lag in self.measured.lags.items() if lag]
        wrong += self._sinks_behind()
        for channel, met in self.measured.met.items():
            wrong += check.effects(channel, met)
        wrong += check.balance(self.measured.worker)
        return wrong if self.measured.restarts else wrong + check.totals(self.measured.worker, self._foreseen())

    def _foreseen(self) -> dict[str, int]:
        """How all records of movements must end. A misrouted one ends twice: moved, and then applied elsewhere."""
        script = self.script
        keys = [record.key for record in script.feed[MISROUTES]]
        return {
            "applied": len(script.moves),
            "duplicate": script.resent,
            "dead_lettered": len(script.buried),
            "rerouted": figures.misrouted(keys, self._kafka.partitions),
        }

    def _sinks_behind(self) -> Iterable[str]:
        for name, status in self.measured.sinks.items():
            if status["lag"] or status["pending"]:
                yield f"sink {name}: lag {status['lag']}, {status['pending']} SKUs to write"

    def look_after(self) -> None:
        """Raise DemoError when a program has died."""
        self._stack.check()

    # -- looking --------------------------------------------------------------------------------------------------
    def _pause(self, stage: str, deadline: float, otherwise: str) -> None:
        if self._late(stage, deadline):
            raise DemoError(f"gave up: {otherwise}")

    def _late(self, stage: str, deadline: float) -> bool:
        """Look around, draw, wait a little; True: the time is over."""
        self._stack.check()
        if self.observer.failure:
            raise DemoError(self.observer.failure)
        self._picture.stage = stage
        self._ask()
        self._view.look()
        time.sleep(LOOK_EVERY_S)
        return time.monotonic() > deadline

    def _ask(self) -> None:
        """Ask the sinks for their figures, now and then."""
        if time.monotonic() - self._asked < ASK_EVERY_S:
            return
        self._asked = time.monotonic()
        for channel in self.channels:
            with suppress(OSError):  # busy: ask later
                self.measured.sinks[channel] = figures.sink(url(self.ports.sinks[channel]))
        self._picture.sinks = dict(self.measured.sinks)

    def _measure(self) -> None:
        """Ask everybody for everything."""
        measured = self.measured
        with suppress(OSError, KafkaException):  # busy: the verdict is taken again
            for channel in self.channels:
                measured.sinks[channel] = figures.sink(url(self.ports.sinks[channel]))
                measured.holds[channel] = self._shown_by(channel)
                measured.met[channel] = figures.simulator(url(self.ports.simulators[channel]))
            measured.lags = self._group.lag()
            measured.worker = figures.worker(url(self.ports.worker))

    def _shown_by(self, channel: str) -> dict[str, int]:
        """SKU -> what the simulated channel shows."""
        held = json.loads(fetch(f"{url(self.ports.simulators[channel])}/admin/quantities"))["quantities"]
        return {sku: held[key] for sku in self.expected if (key := self._key(channel, sku)) in held}

    def _key(self, channel: str, sku: str) -> str:
        """How the simulated channel names a SKU."""
        return people.shopify_key(self._listings[sku]) if channel == "shopify" else sku

    def _send(self, records: Iterable[Record]) -> None:
        for record in records:
            self._sender.send(record)
        if not self._sender.flush():
            raise DemoError(f"Kafka did not take what the demo sent: {self._sender.last_error}")
