"""The whole demo without Kafka: what the script promises is what the rules of stock make of its records."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from deploy.local.demo import oracle, script, stories
from deploy.local.demo.script import Script
from streams.core.desk import Desk
from streams.core.memory import PartitionMemory
from streams.core.numbers import chains, numbers
from streams.core.step import Applied, Books, Duplicate, Refused, step
from streams.core.stock import At, Stock
from tests.unit.demo.shop import small_shop
from topics.catalogue import BY_NAME
from topics.codec import decode
from topics.events import Event
from topics.policy import Policy, load_policy
from topics.refusals import Bad

NOW_MS = int(datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp() * 1000)
FEED_MS = 24_000
TICK_MS = 5_000
POLICY = load_policy(Path(script.__file__).with_name("policy.yaml"))
NEEDS_A_SHOP = {"channel_drift", "channel_rejected"}


@pytest.fixture(scope="module", params=[1, 2, 3])
def written(request: pytest.FixtureRequest) -> Script:
    return script.write(small_shop(), request.param, FEED_MS, NOW_MS)


class Run:
    """A worker of one partition, and its clock: everything is read when it is due, in any order of topics."""

    def __init__(self, policy: Policy) -> None:
        memory = PartitionMemory(policy.memory.records)
        self.books = Books(policy, memory, Desk(policy))
        self.stocks: dict[str, Stock] = {}
        self.outcomes: Counter[str] = Counter()
        self.buried: list[tuple[str, str, bytes | None]] = []
        self.opened: Counter[tuple[str, str, str, str, int, int]] = Counter()
        self._offsets: Counter[str] = Counter()

    def read(self, record: script.Record, at_ms: int) -> None:
        at = At(record.topic, self._offsets[record.topic], at_ms)
        self._offsets[record.topic] += 1
        event = decode(BY_NAME[record.topic], record.key, record.value, at_ms)
        if isinstance(event, Bad):
            self.buried.append((record.topic, event.reason, record.value))
            return
        assert isinstance(event, Event)
        match step(self.stocks.setdefault(event.sku, Stock(event.sku)), event, at, self.books):
            case Applied():
                self.outcomes["applied"] += 1
            case Duplicate():
                self.outcomes["duplicate"] += 1
            case Refused(reason=reason):
                self.buried.append((record.topic, reason, record.value))

    def tick(self, at_ms: int) -> None:
        self.books.desk.tick(at_ms, self.stocks.get)

    def issues(self) -> Iterator[tuple[str, str, str, str, int, int]]:
        for sku, stock in self.stocks.items():
            for key, issue in stock.issues.items():
                if issue.state != "pending":
                    yield (key.kind, sku, key.place, issue.state, issue.expected, issue.observed)


@pytest.fixture(scope="module")
def ran(written: Script) -> Run:
    run, rng = Run(POLICY), random.Random(1)
    due = [(r.due + rng.randrange(300), n, r) for records in written.feed.values() for n, r in enumerate(records)]
    queue = sorted(_in_order(due), key=lambda entry: entry[0])
    next_tick = TICK_MS
    for when, _, record in queue:
        while when > next_tick:
            run.tick(NOW_MS + next_tick)
            next_tick += TICK_MS
        run.read(record, NOW_MS + when)
    for _ in range(4):
        run.tick(NOW_MS + next_tick)
        next_tick += TICK_MS
    run.opened.update(run.issues())
    for record in written.at_the_end:
        run.read(record, NOW_MS + next_tick)
    return run


def _in_order(due: list[tuple[int, int, script.Record]]) -> Iterator[tuple[int, int, script.Record]]:
    """A topic's records of one source stay in their order, whatever the delay."""
    latest: dict[str, int] = defaultdict(int)
    for when, n, record in sorted(due, key=lambda entry: (entry[2].topic, entry[2].due, entry[1])):
        latest[record.topic] = max(latest[record.topic], when)
        yield latest[record.topic], n, record


def test_exactly_the_known_incidents_open(written: Script, ran: Run) -> None:
    opened = ran.opened
    assert {key[:3] for key in opened} == {i.key for i in written.incidents if i.kind not in NEEDS_A_SHOP}
    assert set(opened.values()) == {1}
    found = {key[:3]: key[4:] for key in opened}
    told = {i.key: (i.expected, i.observed) for i in written.incidents if i.key in found and i.expected is not None}
    assert told == {key: found[key] for key in told}


def test_the_end_settles_those_that_end_by_the_data(written: Script, ran: Run) -> None:
    settled = {key[:3] for key in ran.issues() if key[3] == "resolved"}
    assert settled == {i.key for i in written.incidents if i.ending == "by the data" and i.kind not in NEEDS_A_SHOP}


def test_the_table_ends_as_the_oracle_says(written: Script, ran: Run) -> None:
    expected = oracle.expect(written.moves, POLICY)
    assert set(ran.stocks) == set(expected)
    for sku, stock in ran.stocks.items():
        found, wanted = numbers(stock), expected[sku]
        assert found.locations == wanted.locations, sku
        assert (found.on_hand, found.reserved, found.available) == (wanted.on_hand, wanted.reserved, wanted.available)
        assert (found.quality_control, found.damaged) == (wanted.quality_control, wanted.damaged)
        assert found.in_transit == wanted.in_transit
        assert {name: c.quantity for name, c in chains(stock, found, POLICY).items()} == wanted.channels


def test_every_record_has_the_outcome_that_was_foreseen(written: Script, ran: Run) -> None:
    assert ran.outcomes["applied"] == len(written.moves)
    assert ran.outcomes["duplicate"] == written.resent
    assert Counter(ran.buried) == Counter((b.topic, b.reason, _whole(b, written)) for b in written.buried)


def _whole(buried: script.Buried, written: Script) -> bytes | None:
    """The dead letter of a record that is too large keeps its beginning only."""
    if buried.reason != "too_large":
        return buried.value
    values = [record.value or b"" for records in written.feed.values() for record in records]
    return next(value for value in values if len(value) > 1024 and value.startswith(buried.value or b"\0"))


def test_the_same_seed_writes_the_same_script() -> None:
    first, again = (script.write(small_shop(), 5, FEED_MS, NOW_MS) for _ in range(2))
    assert first == again
    assert first.feed != script.write(small_shop(), 6, FEED_MS, NOW_MS).feed


def test_all_of_it_happened_before_now(written: Script) -> None:
    for record in script.records_of(written):
        if record.value and b'"bad-' not in record.value:
            stamp = datetime.fromisoformat(orjson.loads(record.value)["occurred_at"])
            assert stamp.timestamp() * 1000 < NOW_MS


def test_the_stories_know_the_policy() -> None:
    assert POLICY.channels["shopify"].safety_stock == stories.SAFETY
    assert all(grace > TICK_MS / 1000 for grace in (POLICY.grace(kind) for kind in ("oversold", "channel_drift")))


def test_too_small_a_shop_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="--scale"):
        script.write(small_shop(lines=200), 1, FEED_MS, NOW_MS)
