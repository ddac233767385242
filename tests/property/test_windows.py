"""Any batch boundary, any redelivery and any restart give the same stock, dead letters and discrepancies."""

from dataclasses import dataclass

import orjson
from hypothesis import given
from hypothesis import strategies as st

from streams.core.ledger import Partition
from streams.core.rows import POLICY_KEY, POSITION_KEY, decode_row
from tests.builders import events as say
from tests.builders.events import CLOCK, ms, topic_of
from topics.catalogue import BY_NAME, DISCREPANCIES, SYNC
from topics.codec import encode
from topics.policy import Policy

LAMP = "RETRO-LAMP"
minutes = st.integers(0, 30).map(lambda minute: f"10:{minute:02}")
skus = st.sampled_from((CLOCK, LAMP))
common = {
    "at": minutes,
    "source": st.sampled_from(("wms", "scanner")),
    "event_id": st.sampled_from("ABCDEFGHIJKL"),
    "sequence": st.none() | st.integers(0, 80),
}
few = st.integers(1, 3)
EVENTS = st.one_of(
    st.builds(say.received, skus, few, **common),
    st.builds(say.shipped, skus, few, **common),
    st.builds(say.counted, skus, st.integers(0, 5), **common),
    st.builds(say.sold, skus, few, **common),
    st.builds(say.returned, skus, few, st.sampled_from(("restock", "missing")), **common),
    st.builds(say.observed, skus, few, st.just("nobody"), **common),
)


@dataclass(frozen=True)
class Rec:
    """A record as a Kafka client hands it out."""

    topic: str
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: tuple = ()


@st.composite
def logs(draw):
    """Records in the order in which they are read, some of them rubbish."""
    told = draw(st.lists(EVENTS, min_size=1, max_size=12))
    offsets: dict[str, int] = {}
    log = []
    for event in draw(st.lists(st.sampled_from(told), min_size=1, max_size=30)):
        topic = topic_of(event).name
        offset = offsets.get(topic, 0)
        offsets[topic] = offset + 1
        value = b"{" if draw(st.integers(0, 9)) == 0 else encode(event)
        log.append(Rec(topic, offset, ms(draw(minutes)), event.sku.encode(), value))
    return log


class Worker:
    """One partition with its changelog, as the engine drives it, in one process after the other."""

    def __init__(self, rules: Policy, log: list[Rec]) -> None:
        self.rules, self.log = rules, log
        self.changelog: dict[bytes, bytes] = {}
        self.outputs: list = []
        self.outcomes = 0
        self.start()

    def start(self) -> None:
        """A new process: the changelog, then the log before the position."""
        self.partition = Partition(0, 1, self.rules)
        self.partition.load(self.changelog)
        limit = self.rules.memory.records
        for name, position in self.partition.positions.items():
            known = [rec for rec in self.log if rec.topic == name and position - limit <= rec.offset < position]
            self.partition.remember(BY_NAME[name], known)

    def read(self, rec: Rec, again: int = 0) -> None:
        """Read a record, and up to `again` before it once more."""
        known = [r for r in self.log if r.topic == rec.topic and rec.offset - again <= r.offset <= rec.offset]
        self.partition.fold(BY_NAME[rec.topic], known, rec.offset + 1)

    def commit(self) -> None:
        batch = self.partition.close()
        self.changelog.update(batch.rows)
        self.outputs += batch.outputs
        self.outcomes += batch.tally.outcomes.total()

    def stock(self) -> dict:
        rows = [decode_row(value) for key, value in self.changelog.items() if key not in (POLICY_KEY, POSITION_KEY)]
        return {
            row.sku: (row.version, row.movements, row.balances, row.sources, row.transfers, row.changed_at)
            for row in rows
        }

    def others(self) -> list:
        """Dead letters and discrepancies, in order: the same however the log was cut."""
        return [(out.topic, out.key, out.value, out.headers) for out in self.outputs if out.topic != SYNC.name]


@given(st.data())
def test_windows_redeliveries_and_restarts_do_not_matter(data):
    log = data.draw(logs())
    rules = say.policy(memory={"records": data.draw(st.integers(1, 40))})
    whole, cut = Worker(rules, log), Worker(rules, log)
    for rec in log:
        whole.read(rec)
    whole.commit()
    for rec in log:
        cut.read(rec, again=data.draw(st.sampled_from((0, 0, 0, 1, 3))))
        match data.draw(st.sampled_from(("go on", "go on", "commit", "restart"))):
            case "commit":
                cut.commit()
            case "restart":
                cut.commit()
                cut.start()
    cut.commit()
    assert cut.stock() == whole.stock()
    assert sorted(cut.others(), key=repr) == sorted(whole.others(), key=repr)
    assert cut.outcomes == whole.outcomes == len(log)


@given(st.data())
def test_a_crash_before_the_commit_repeats_the_window_exactly(data):
    """What a lost transaction would have written is written by the next process, byte for byte."""
    log = data.draw(logs())
    rules = say.policy(memory={"records": data.draw(st.integers(1, 40))})
    worker = Worker(rules, log)
    done = data.draw(st.integers(0, len(log)))
    for rec in log[:done]:
        worker.read(rec)
    worker.commit()
    lost = worker.partition
    for rec in log[done:]:
        worker.read(rec)
    before = lost.close()
    worker.start()
    for rec in log[done:]:
        worker.read(rec)
    again = worker.partition.close()
    assert again.outputs == before.outputs
    assert again.rows == before.rows
    assert again.positions == before.positions


@given(st.data())
def test_versions_never_go_back_and_one_version_has_one_set_of_numbers(data):
    log = data.draw(logs())
    worker = Worker(say.policy(), log)
    for rec in log:
        worker.read(rec)
        if data.draw(st.booleans()):
            worker.commit()
    worker.commit()
    seen: dict[str, list[int]] = {}
    for out in worker.outputs:
        if out.topic == SYNC.name:
            told = orjson.loads(out.value)
            seen.setdefault(told["sku"], []).append(told["version"])
    assert all(versions == sorted(set(versions)) for versions in seen.values())
    assert all(out.topic.endswith(".dlq") or out.topic in (SYNC.name, DISCREPANCIES.name) for out in worker.outputs)
