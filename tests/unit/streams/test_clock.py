"""A tick is written only where everything that stood in the log one interval ago has been read."""

from streams.clock import TOLD_BY_OTHERS, Clock
from topics.catalogue import RETURNS, WAREHOUSE

LEDGER = object()


def log() -> dict[str, int]:
    return dict.fromkeys(TOLD_BY_OTHERS, 100)


def test_a_clock_that_has_just_begun_waits_for_one_interval() -> None:
    clock = Clock()
    assert not clock.may_tick(0, LEDGER, log(), log())
    assert clock.may_tick(0, LEDGER, log(), log())
    assert not clock.may_tick(1, LEDGER, log(), log()), "each partition has a clock of its own"


def test_it_waits_while_one_topic_lags_behind_the_others() -> None:
    clock, ends = Clock(), {**log(), WAREHOUSE.name: 9000}
    clock.may_tick(0, LEDGER, log(), ends)
    assert not clock.may_tick(0, LEDGER, {**log(), WAREHOUSE.name: 8999}, ends)
    assert clock.may_tick(0, LEDGER, {**log(), WAREHOUSE.name: 9000}, ends)


def test_what_came_within_the_interval_need_not_be_read() -> None:
    clock = Clock()
    clock.may_tick(0, LEDGER, log(), log())
    assert clock.may_tick(0, LEDGER, log(), {**log(), RETURNS.name: 5000})
    assert not clock.may_tick(0, LEDGER, log(), {**log(), RETURNS.name: 6000})


def test_a_log_whose_end_nobody_knows_yet_may_hold_anything() -> None:
    clock = Clock()
    clock.may_tick(0, LEDGER, log(), {**log(), RETURNS.name: None})
    assert not clock.may_tick(0, LEDGER, log(), log())
    assert clock.may_tick(0, LEDGER, log(), log())


def test_a_partition_that_came_back_from_another_worker_begins_anew() -> None:
    clock = Clock()
    clock.may_tick(0, LEDGER, log(), log())
    assert not clock.may_tick(0, object(), log(), log())
