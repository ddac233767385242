"""A worker that was restarted decides as one that never stopped: the log is the memory (contract 3.3)."""

from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from streams.core.memory import PartitionMemory
from streams.core.step import remember_again
from streams.core.stock import At
from tests.builders import events as say
from tests.builders.events import CLOCK, ms, topic_of
from tests.builders.partition import OnePartition
from tests.property.histories import interleaved

OTHER_TOPICS = ("returns.movements.v1", "stock.rerouted.v1")
minutes = st.integers(0, 30).map(lambda minute: f"10:{minute:02}")
# Few ids, numbers and quantities: resends, conflicts, numbers that go back and late counts are the rule here.
common = {
    "at": minutes,
    "source": st.sampled_from(("wms", "scanner")),
    "event_id": st.sampled_from("ABCDEFGH"),
    "sequence": st.none() | st.integers(0, 80),
}
few = st.integers(1, 2)
EVENTS = st.one_of(
    st.builds(say.received, st.just(CLOCK), few, **common),
    st.builds(say.shipped, st.just(CLOCK), few, **common),
    st.builds(say.reclassified, st.just(CLOCK), few, st.just("sellable"), st.just("damaged"), **common),
    st.builds(say.adjusted, st.just(CLOCK), st.sampled_from((-2, -1, 1)), **common),
    st.builds(say.counted, st.just(CLOCK), st.integers(0, 5), **common),
    st.builds(say.sold, st.just(CLOCK), few, **common),
    st.builds(say.observed, st.just(CLOCK), few, st.sampled_from(("shopify", "nobody")), **common),
    st.builds(say.resync, st.just(CLOCK), st.sampled_from(("all", "nobody")), minutes, event_id=common["event_id"]),
    st.builds(say.acknowledge, st.just(CLOCK), st.just("no-such-id"), event_id=common["event_id"]),
)


@st.composite
def logs(draw):
    """Records as they are read: (event, arrival, topic); offsets of a topic may leave gaps, as transactions do."""
    told = draw(st.lists(EVENTS, min_size=1, max_size=12))
    offsets: dict[str, int] = {}
    log = []
    for event in draw(st.lists(st.sampled_from(told), min_size=1, max_size=40)):
        topic = topic_of(event).name
        if draw(st.integers(0, 4)) == 0:
            topic = draw(st.sampled_from(OTHER_TOPICS))
        offset = offsets.get(topic, 0) + draw(st.sampled_from((0, 0, 0, 1)))
        offsets[topic] = offset + 1
        log.append((event, At(topic, offset, ms(draw(minutes)))))
    return log


def rebuilt(lived: OnePartition, data) -> PartitionMemory:
    """What a new process has: the position record, and the log itself, topic by topic in any interleaving."""
    memory = PartitionMemory(lived.books.memory.limit)
    memory.restore(lived.books.memory.forgotten, deepcopy(lived.books.memory.voided))
    topics: dict[str, list] = {}
    for event, at in lived.log:
        if at.offset >= lived.positions[at.topic] - memory.limit:
            topics.setdefault(at.topic, []).append((event, at))
    for event, at in data.draw(interleaved(topics)):
        remember_again(event, at, memory)
    return memory


def read(partition: OnePartition, log) -> list:
    verdicts = []
    for event, at in log:
        partition.log.append((event, at))
        verdicts.append(partition.replay(event, at))
    return verdicts


@given(st.data())
def test_a_memory_that_was_read_back_decides_as_one_that_never_stopped(data):
    log = data.draw(logs())
    cut = data.draw(st.integers(0, len(log)))
    lived = OnePartition(limit=data.draw(st.integers(1, 12)))
    read(lived, log[:cut])
    restarted = deepcopy(lived)
    restarted.books.memory = rebuilt(lived, data)
    assert read(restarted, log[cut:]) == read(lived, log[cut:])
    assert restarted.rows == lived.rows
    assert restarted.told == lived.told
    assert restarted.books.memory.forgotten == lived.books.memory.forgotten
    assert _filled(restarted.books.memory.voided) == _filled(lived.books.memory.voided)


def _filled(voided):
    return {topic: offsets for topic, offsets in voided.items() if offsets}


@given(st.data())
def test_what_a_memory_answers_does_not_depend_on_the_order_of_the_topics(data):
    lived = OnePartition(limit=data.draw(st.integers(1, 20)))
    read(lived, data.draw(logs()))
    one, other = rebuilt(lived, data), rebuilt(lived, data)
    for memory in (one, other):
        assert len(memory) == len(lived.books.memory)
        assert set(memory._ids) == set(lived.books.memory._ids)
        for stamp in range(ms("10:00") * 1000, ms("10:31") * 1000, 60_000_000):
            for place in lived.row(CLOCK).balances:
                asked = (CLOCK, place, stamp)
                assert memory.moved_after(*asked) == lived.books.memory.moved_after(*asked)


@given(st.data())
def test_the_memory_is_bounded_by_its_limit(data):
    """Per topic at most `limit` records, and nothing is left of what was forgotten."""
    limit, log = data.draw(st.integers(1, 12)), data.draw(logs())
    partition = OnePartition(limit=limit)
    read(partition, log)
    memory = partition.books.memory
    assert all(len(kept) <= limit for kept in memory._logs.values())
    identities = {record.identity for kept in memory._logs.values() for record in kept}
    assert set(memory._ids) == identities
    assert set(memory._repeats) <= identities
    assert {identity for moves in memory._moves.values() for identity in moves} <= identities
    assert all(len(offsets) <= limit for offsets in memory.voided.values())
    for topic, position in partition.positions.items():
        memory.advance(topic, position + limit)
    assert [memory._ids, memory._repeats, memory._moves, memory._sequences] == [{}, {}, {}, {}]
