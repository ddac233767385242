"""What is sent next, and which offsets may be committed."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sinks.channel import Wanted
from sinks.delivery import NEAR_ZERO, Delivery, Update
from tests.builders.sinks import AT


class Book:
    """A delivery with its offsets counted, and listings that come later."""

    def __init__(self) -> None:
        self.listings: dict[str, dict[str, Any]] = {}
        self.everything_is_listed = True
        self.delivery = Delivery(lambda sku: {} if self.everything_is_listed else self.listings.get(sku))
        self.offset = 0

    def offer(self, sku: str, version: int, quantity: int | None) -> str:
        taken = self.delivery.offer(0, self.offset, Update(sku, version, quantity, AT, float(self.offset)))
        self.offset += 1
        return taken

    def take(self, limit: int = 100) -> list[tuple[str, int, int]]:
        self.batch = self.delivery.take(limit, 0.0)
        return [(item.sku, item.version, item.quantity) for item in self.batch]

    def settle(self, *items: Wanted) -> None:
        for item in items or self.batch:
            self.delivery.settle(item, item.quantity)

    @property
    def commit(self) -> int:
        return self.delivery.commits()[0]


def test_only_the_newest_version_is_sent() -> None:
    book = Book()
    assert [book.offer("CLOCK", v, v) for v in (1, 2, 3)] == ["pending", "superseded", "superseded"]
    assert book.take() == [("CLOCK", 3, 3)]
    assert book.commit == 0
    book.settle()
    assert book.commit == 3


def test_an_older_version_is_never_sent_after_a_newer_one() -> None:
    book = Book()
    book.offer("CLOCK", 5, 10)
    book.take()
    assert book.offer("CLOCK", 4, 99) == "stale"
    book.settle()
    assert book.offer("CLOCK", 5, 10) == "stale"
    assert book.take() == []
    assert book.commit == 3


def test_to_zero_goes_first_then_near_zero_then_the_rest() -> None:
    book = Book()
    for sku, quantity in (("MANY", 500), ("FEW", NEAR_ZERO), ("GONE", 0), ("SOME", NEAR_ZERO + 1), ("BELOW", -3)):
        book.offer(sku, 1, quantity)
    assert [sku for sku, _, _ in book.take()] == ["GONE", "BELOW", "FEW", "MANY", "SOME"]
    assert book.batch[1].quantity == 0, "never a negative"


def test_a_pending_sku_that_sells_out_moves_to_the_front() -> None:
    book = Book()
    book.offer("A", 1, 100)
    book.offer("B", 1, 100)
    book.offer("B", 2, 0)
    assert book.take(1) == [("B", 2, 0)]


def test_a_sku_is_in_one_call_at_a_time() -> None:
    """What comes meanwhile is sent after the answer; the offsets of both count."""
    book = Book()
    book.offer("CLOCK", 1, 10)
    book.take()
    flying = book.batch
    book.offer("CLOCK", 2, 9)
    book.offer("CLOCK", 3, 8)
    assert book.take() == []
    book.settle(*flying)
    assert book.commit == 1, "versions 2 and 3 are not settled"
    assert book.take() == [("CLOCK", 3, 8)]
    assert book.batch[0].known == 10
    book.settle()
    assert book.commit == 3


def test_what_was_not_sent_goes_out_with_the_newest_version() -> None:
    book = Book()
    book.offer("CLOCK", 1, 10)
    book.take()
    book.offer("CLOCK", 2, 9)
    book.delivery.release(book.batch[0], 0, None)
    assert book.commit == 0
    assert book.take() == [("CLOCK", 2, 9)]
    assert book.batch[0].round == 0


def test_the_same_version_again_is_another_round() -> None:
    """After a definite answer the key must be a new one."""
    book = Book()
    book.offer("CLOCK", 1, 10)
    book.take()
    book.delivery.release(book.batch[0], 0, 3)
    book.take()
    assert (book.batch[0].round, book.batch[0].known) == (1, 3)


def test_an_answer_that_comes_late_does_not_touch_the_next_call() -> None:
    book = Book()
    book.offer("CLOCK", 1, 10)
    book.take()
    first = book.batch[0]
    book.settle(first)
    book.offer("CLOCK", 2, 9)
    book.take()
    book.delivery.release(first, 0, None)
    assert book.delivery.settle(first, 10) is None
    assert book.delivery.owns(book.batch[0])
    assert not book.delivery.owns(first)


def test_one_that_rests_waits_for_its_time_unless_there_is_news() -> None:
    book = Book()
    book.offer("CLOCK", 1, 10)
    book.take()
    book.delivery.release(book.batch[0], 5.0, 10)
    assert book.delivery.take(10, 4.9) == ()
    assert book.delivery.wakes_at() == 5.0
    assert [item.sku for item in book.delivery.take(10, 5.0)] == ["CLOCK"]
    book.delivery.release(book.batch[0], 0, 10)  # not this one's business any more
    assert book.delivery.in_flight == 1


def test_a_sku_without_a_listing_waits_and_holds_the_commit() -> None:
    book = Book()
    book.everything_is_listed = False
    book.offer("CLOCK", 1, 10)
    book.offer("PANTS", 1, 5)
    book.listings["PANTS"] = {"id": 1}
    assert book.take() == [("PANTS", 1, 5)]
    book.settle()
    assert (book.delivery.unlisted, book.delivery.pending, book.commit) == (1, 1, 0)
    book.offer("CLOCK", 2, 11)
    assert book.take() == []
    book.listings["CLOCK"] = {"id": 2}
    book.delivery.listed(["CLOCK", "OTHER"])
    assert book.take() == [("CLOCK", 2, 11)]
    book.settle()
    assert (book.delivery.unlisted, book.delivery.pending, book.commit) == (0, 0, 3)


def test_a_channel_that_no_longer_lists_the_sku_wants_nothing() -> None:
    book = Book()
    assert book.offer("CLOCK", 1, None) == "nothing"
    assert book.commit == 1
    book.offer("CLOCK", 2, 10)
    book.offer("CLOCK", 3, None)
    assert book.take() == []
    assert book.commit == 3
    book.offer("PANTS", 1, 10)
    book.take()
    book.offer("PANTS", 2, None)
    book.settle()
    assert (book.take(), book.commit, book.delivery.pending) == ([], 5, 0)


def test_a_partition_that_is_taken_away_is_forgotten() -> None:
    book = Book()
    book.offer("CLOCK", 1, 10)
    book.take()
    book.offer("PANTS", 1, 10)
    book.delivery.drop([0])
    assert book.delivery.commits() == {}
    assert (book.delivery.pending, book.delivery.in_flight) == (0, 0)
    assert book.delivery.settle(book.batch[0], 10) is None
    assert book.take() == []


def test_what_is_no_update_is_passed_over() -> None:
    book = Book()
    book.delivery.reached(0, 7)
    assert book.commit == 7
    book.offset = 7
    book.offer("CLOCK", 1, 10)
    book.delivery.reached(0, 12)
    assert book.commit == 7
    book.take()
    book.settle()
    assert book.commit == 12


def test_memory_is_bounded_by_skus_however_long_one_waits() -> None:
    book = Book()
    book.everything_is_listed = False
    book.offer("WAITS", 1, 10)
    book.listings["CLOCK"] = {}
    for version in range(1, 2000):
        book.offer("CLOCK", version, version)
        book.take()
        book.settle()
        assert book.commit == 0
    assert len(book.delivery._partitions[0].holding) < 200


steps = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.sampled_from("ABCD"), st.integers(0, 9)),
        st.tuples(st.just("take"), st.integers(1, 3), st.just(0)),
        st.tuples(st.sampled_from(["settle", "release"]), st.integers(0, 3), st.just(0)),
    ),
    max_size=60,
)


@given(steps)
def test_a_commit_never_passes_what_is_not_settled(script: list[tuple[str, Any, int]]) -> None:
    """Against a plain account of all updates: committed means settled, or superseded by a settled one."""
    book = Book()
    updates: list[tuple[str, int]] = []
    versions: dict[str, int] = {}
    settled: dict[str, int] = {}
    flying: list[Wanted] = []
    for action, what, quantity in script:
        if action == "offer":
            versions[what] = versions.get(what, 0) + 1
            updates.append((what, versions[what]))
            book.offer(what, versions[what], quantity)
        elif action == "take":
            book.take(what)
            for item in book.batch:
                assert item.version >= settled.get(item.sku, 0), "an older version after a newer"
                assert item.sku not in {other.sku for other in flying}
            flying.extend(book.batch)
        elif flying:
            item = flying.pop(what % len(flying))
            if action == "settle":
                book.settle(item)
                settled[item.sku] = item.version
            else:
                book.delivery.release(item, 0, None)
        if updates:
            done = [version <= settled.get(sku, 0) for sku, version in updates]
            assert book.commit == (done.index(False) if False in done else len(done))
            assert book.delivery.pending == len({u[0] for u, ok in zip(updates, done, strict=True) if not ok})
