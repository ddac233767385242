"""The whole demo as one timed list of records per source system, and everything that must come of it.

Nothing is left to chance once the seed is drawn: which record is sent twice, which source runs ahead of the others,
which number is left out. So the totals at the end, the dead letters and the discrepancies are known before the first
record is sent.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import orjson

from deploy.local.demo import stories
from deploy.local.demo.bad import TOPIC_OF as BAD_TOPIC_OF
from deploy.local.demo.bad import bad_records
from deploy.local.demo.incidents import Incident, Mishaps
from deploy.local.demo.moves import DAY_MS, RETURNS_DESK, TOPIC_OF, Move
from deploy.local.demo.retail import Retail
from deploy.local.demo.trade import Trade, class_of, early, sku_of

RESENT = 0.1
"""Share of movements that a source sends again."""
FORGETS_A_NUMBER, GOES_BACK, CONTRADICTS = 2, 2, 2
"""How many sources' numbers have a hole or go back, and how many ids come again with another quantity."""
AHEAD_MS = {
    "pos": -300,
    "webshop": 400,
    "catalog-desk": 0,
    "wms-ams": 150,
    "wms-ber": 700,
    "wms-shop": 0,
    RETURNS_DESK: 900,
}
"""How much later than its time each source tells what it has to tell: topics are never read in the order of events."""
JITTER_MS = 120
NUMBERED = [source for source in TOPIC_OF if source != RETURNS_DESK]
"""Sources that number their movements per SKU."""
MISROUTES = RETURNS_DESK
"""An old system that still uses librdkafka's own partitioner."""
OFFSETS = {"wms-ber": timezone(timedelta(hours=1)), "pos": timezone(timedelta(hours=-5))}
"""Sources whose clocks show local time; the others send UTC."""


class Record(msgspec.Struct, frozen=True):
    """One record to send: ms after the start, topic, key and value."""

    due: int
    topic: str
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Buried:
    """One dead letter that must be there at the end, once."""

    topic: str
    reason: str
    key: bytes | None
    value: bytes | None


@dataclass(slots=True)
class Script:
    """What is sent, by whom and when; and what must come of it."""

    feed: dict[str, list[Record]] = field(default_factory=dict)
    at_the_end: list[Record] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    classes: dict[str, str] = field(default_factory=dict)
    incidents: list[Incident] = field(default_factory=list)
    buried: list[Buried] = field(default_factory=list)
    resent: int = 0

    @property
    def records(self) -> int:
        """Records in the feed."""
        return sum(map(len, self.feed.values()))


class Calendar:
    """The data's own years, moved so that they end shortly before now: 3.2 of the contract counts by event time."""

    def __init__(self, last_ms: int, now_ms: int) -> None:
        self._shift = now_ms - 60_000 - last_ms

    def text(self, at: int, source: str) -> str:
        """The moment as the source writes it (RFC 3339)."""
        zone = OFFSETS.get(source, UTC)
        said = datetime.fromtimestamp((at + self._shift) / 1000, zone).isoformat(timespec="milliseconds")
        return said.replace("+00:00", "Z")


def write(retail: Retail, seed: int, feed_ms: int, now_ms: int) -> Script:
    """The demo of one seed.

    Raises:
        ValueError: the data is too small for all that shall go wrong in it.
    """
    rng = random.Random(seed)  # noqa: S311 - chance of a demo
    classes = {sku_of(p): class_of(p) for p in retail.products} | dict.fromkeys(stories.TITLES, "B")
    mishaps = Mishaps(rng, early(retail), classes)
    trade = Trade(retail, rng, mishaps)
    trade.play(retail)
    end = max(trade.ends, trade.scribe.moves[-1].at) + DAY_MS
    told = stories.tell(trade.scribe, mishaps.window, end)
    if mishaps.short():
        raise ValueError("too few sales for all that shall go wrong: use a larger --scale")
    script = Script(classes=classes, incidents=[*mishaps.incidents, *told.incidents])
    ending = [*told.at_the_end, *_endings(trade, mishaps, end)]
    feed = sorted(trade.scribe.moves[: -len(ending) + len(told.at_the_end)], key=lambda move: move.at)
    script.moves = [*feed, *ending]
    pen = _Pen(script, mishaps, rng, Calendar(end, now_ms))
    pen.write_feed(feed, feed_ms)
    script.at_the_end = [pen.record(move, 0) for move in ending]
    return script


def _endings(trade: Trade, mishaps: Mishaps, end: int) -> list[Move]:
    """What settles some of the incidents: recounts that agree, and goods that turn up after all."""
    moves = []
    for incident in mishaps.incidents:
        if incident.ending != "by the data":
            continue
        if incident.kind == "count_variance":
            location = incident.place.partition("/")[0]
            left = trade.sellable[incident.sku, location]
            moves.append(trade.scribe.goods("counted", incident.sku, location, left, end + 1, "CC-AGAIN"))
        elif incident.kind == "transfer_short":
            sku, lost = trade.short_transfers[incident.place]
            more = {"counterpart": "AMS-1"}
            moves.append(trade.scribe.goods("transfer_received", sku, "SHOP-1", lost, end, incident.place, **more))
    return moves


class _Pen:
    """Turns movements into records, each source's numbered and timed; and blots some of them."""

    def __init__(self, script: Script, mishaps: Mishaps, rng: random.Random, calendar: Calendar) -> None:
        self._script = script
        self._mishaps = mishaps
        self._rng = rng
        self._calendar = calendar
        self._sequences: dict[tuple[str, str], int] = {}
        self._extra = 0

    def record(self, move: Move, due: int, **other: object) -> Record:
        """The record of a movement; with the next number of its source, unless `other` gives one."""
        body: dict[str, object] = {
            "event_id": move.event_id,
            "source": move.source,
            "type": move.type,
            "sku": move.sku,
            "quantity": move.quantity,
            "occurred_at": self._calendar.text(move.at, move.source),
        }
        if move.location is not None:
            body["location"] = move.location
        if move.reference is not None:
            body["reference"] = move.reference
        if move.source in NUMBERED and "sequence" not in other:
            body["sequence"] = self._next(move)
        body |= move.more
        body |= other
        return Record(due, TOPIC_OF[move.source].name, move.sku.encode(), orjson.dumps(body))

    def write_feed(self, moves: list[Move], feed_ms: int) -> None:
        """All sources' records, in step with one another but for their habits."""
        feed: dict[str, list[Record]] = {source: [] for source in TOPIC_OF}
        rng, blots = self._rng, self._blots(moves)
        for place, move in enumerate(moves):
            jitter = rng.randrange(JITTER_MS)
            due = place * feed_ms // len(moves) + 1000 + AHEAD_MS.get(move.source, 0) + jitter
            if blots.get(place) == "gap":
                self._skip(move)
            record = self.record(move, due)
            feed[move.source].append(record)
            if rng.random() < RESENT:
                self._script.resent += 1
                feed[move.source].append(Record(due + rng.randrange(50, 3000), record.topic, record.key, record.value))
            if blots.get(place) in ("back", "conflict"):
                feed[move.source].append(self._blot(move, record, blots[place]))
        for bad in bad_records():
            topic = BAD_TOPIC_OF[bad.source].name
            feed[bad.source].append(Record(rng.randrange(feed_ms // 10, feed_ms), topic, bad.key, bad.value))
            self._script.buried.append(Buried(topic, bad.reason, bad.key, bad.kept))
        self._script.feed = {source: sorted(records, key=lambda r: r.due) for source, records in feed.items()}

    def _next(self, move: Move) -> int:
        key = (move.source, move.sku)
        number = self._sequences[key] = self._sequences.get(key, 0) + 1
        return number

    def _blots(self, moves: list[Move]) -> dict[int, str]:
        """Where numbers and ids go wrong: place in the feed -> what. One mishap a SKU at most."""
        first, last = self._mishaps.window
        early = [n for n, move in enumerate(moves) if first <= move.at <= last and move.source in NUMBERED]
        wanted = ["gap"] * FORGETS_A_NUMBER + ["back"] * GOES_BACK + ["conflict"] * CONTRADICTS
        blots: dict[int, str] = {}
        for what in wanted:
            place = next(n for n in _draws(self._rng, early) if self._fits(moves[n]))
            self._mishaps.take(moves[place].sku)
            blots[place] = what
        return blots

    def _fits(self, move: Move) -> bool:
        return move.sku not in stories.TITLES and self._mishaps.is_free(move.sku) and move.type in ("sold", "shipped")

    def _skip(self, move: Move) -> None:
        """The source forgets to send one number: a hole that nothing fills."""
        number = self._next(move)
        why = f"{move.source} never sent its number {number}"
        self._script.incidents.append(Incident("sequence_gap", move.sku, move.source, None, None, why))

    def _blot(self, move: Move, record: Record, what: str) -> Record:
        """A record that contradicts one that was sent before: refused, and told to people."""
        self._extra += 1
        sent = orjson.loads(record.value or b"")
        if what == "conflict":
            other = move.quantity + 1
            value = orjson.dumps({**sent, "quantity": other})
            why = f"{move.source} sent {move.event_id} twice, first with quantity {move.quantity}, then with {other}"
            incident = Incident("id_conflict", move.sku, move.source, move.quantity, other, why)
            reason = "id_conflict"
        else:
            value = orjson.dumps({**sent, "event_id": f"{move.source}-again-{self._extra}"})
            why = f"{move.source} used its number {sent['sequence']} again for another movement"
            incident = Incident("sequence_regression", move.sku, move.source, None, None, why)
            reason = "sequence"
        self._script.incidents.append(incident)
        self._script.buried.append(Buried(record.topic, reason, record.key, value))
        return Record(record.due + 1500, record.topic, record.key, value)


def _draws(rng: random.Random, places: list[int]) -> Iterator[int]:
    """Places in a random order, each once."""
    return iter(rng.sample(places, len(places)))


def records_of(script: Script) -> Iterable[Record]:
    """Every record that is sent on an input topic of movements, in no order."""
    for records in script.feed.values():
        yield from records
    yield from script.at_the_end
