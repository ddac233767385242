"""One suite for all channels, against their simulators over real HTTP.

Whatever a channel answers: what it holds in the end is what was wanted, no older version after a newer one, and
nothing done twice.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from graphql import build_schema, parse, validate

from sinks import channels, simulators
from sinks.channel import Wanted
from sinks.channels.shopify import MUTATION
from sinks.settings import Endpoint
from sinks.simulators.base import SECRET, TOKEN, Faults
from tests.builders.sink_rig import KINDS, SDL, Rig, rig
from tests.builders.sinks import AT, shopify_listing
from topics.events import Confirmed

NUMBERS = range(30)

every_kind = pytest.mark.parametrize("kind", sorted(KINDS))


def test_every_channel_has_a_simulator_and_is_in_this_suite() -> None:
    assert channels.kinds() == simulators.kinds() == sorted(KINDS)


def never_back(made: Rig) -> bool:
    """In these tests a later version asks for more."""
    return all(past == sorted(past) for past in made.simulator.book.history.values())


def counted(made: Rig, name: str) -> int:
    return made.simulator.book.counts[name]


@every_kind
@pytest.mark.parametrize(
    "faults",
    [
        pytest.param((), id="ok"),
        pytest.param(("throttle",), id="throttled"),
        pytest.param(("unavailable",), id="503-with-retry-after"),
        pytest.param(("error",), id="500"),
        pytest.param(("timeout",), id="time-out-after-applying"),
        pytest.param(("reset",) * 6, id="resets"),
        pytest.param(("garbage",), id="garbage-200"),
        pytest.param(("redirect",), id="redirect"),
        pytest.param(("huge",), id="huge-body"),
        pytest.param(("drip",), id="slow-drip"),
        pytest.param(("slow",), id="slow"),
        pytest.param(("timeout", "throttle", "error", "reset", "timeout", "unavailable"), id="one-after-another"),
    ],
)
async def test_the_channel_ends_with_what_was_wanted(kind: str, faults: tuple[str, ...]) -> None:
    async with rig(kind, None, *faults) as made:
        for version in (1, 2, 3):
            made.want({n: 10 * version + n for n in NUMBERS}, version)
            if version == 1:
                await made.until(lambda: bool(made.simulator.statuses))
        await made.quiet()
        assert made.holds(NUMBERS) == {n: 30 + n for n in NUMBERS}
        assert sum(made.simulator.met.values()) == len(faults)
        assert never_back(made)
        assert counted(made, "duplicate_effects") == counted(made, "older_versions") == 0
        newest = [r for r in made.reported("confirmed") if r.version == 3]
        assert {r.sku: r.quantity for r in newest} == {f"SKU-{n}": 30 + n for n in NUMBERS}
        assert len(newest) == len(NUMBERS), "confirmed once"
        assert made.settled_to_the_end()


@every_kind
async def test_after_a_time_out_the_same_key_is_sent_again(kind: str) -> None:
    """The outcome is unknown: one effect, one repetition, and nothing counted before the answer."""
    async with rig(kind, None, "timeout") as made:
        made.want({1: 5}, 1)
        await made.until(lambda: made.simulator.met["timeout"] == 1)
        assert made.reports == []
        await made.quiet()
        assert counted(made, "writes") == 1
        assert counted(made, "repeats") == 1
        assert made.metrics.updates["unconfirmed"] >= 1
        assert [type(report) for report in made.reports] == [Confirmed]


@every_kind
async def test_one_refused_item_does_not_cost_the_others(kind: str) -> None:
    """The call fails as a whole; the bad one is found, rejected once, and its offset is done with."""
    async with rig(kind) as made:
        made.refuse(17)
        made.want({n: 10 + n for n in NUMBERS}, 1)
        await made.quiet()
        assert made.holds(NUMBERS) == {n: None if n == 17 else 10 + n for n in NUMBERS}
        rejected = made.reported("rejected")
        assert [(r.sku, r.version, r.quantity) for r in rejected] == [("SKU-17", 1, 27)]
        assert rejected[0].reason
        assert made.metrics.updates["failed"] == 1
        assert len(made.reported("confirmed")) == len(NUMBERS) - 1
        assert made.settled_to_the_end()


@every_kind
async def test_refused_credentials_stop_the_channel(kind: str) -> None:
    """Nothing more is sent, nothing is reported, nothing may be committed, and it says why."""
    async with rig(kind, None, *["auth"] * 4) as made:
        made.want(dict.fromkeys(NUMBERS, 10), 1)
        await made.until(lambda: made.pusher.refused is not None)
        assert "401" in str(made.pusher.refused)
        await made.until(lambda: made.delivery.in_flight == 0)
        calls = sum(made.simulator.statuses.values())
        made.want({1: 3}, 2)
        assert not made.pusher.running
        assert sum(made.simulator.statuses.values()) == calls <= made.channel.limits.concurrency
        assert made.reports == []
        assert made.delivery.pending == len(NUMBERS)
        assert made.delivery.commits() == {0: 0}


@every_kind
async def test_what_a_person_changed_is_seen_and_mended(kind: str) -> None:
    """Stale: read, report what is there, write from there; then look again, so that the drift is known to be gone."""
    async with rig(kind) as made:
        made.want(dict.fromkeys(NUMBERS, 10), 1)
        await made.quiet()
        made.simulator.book.edit(made.kind.key(3), 77)
        made.want(dict.fromkeys(NUMBERS, 20), 2)
        await made.quiet()
        assert made.holds(NUMBERS) == dict.fromkeys(NUMBERS, 20)
        if made.kind.reads:
            assert made.metrics.counts["cas_conflicts"] == 1
            observed = [(r.sku, r.quantity) for r in made.reported("observed")]
            assert observed == [("SKU-3", 77), ("SKU-3", 20)]
            stamps = [r.occurred_at for r in made.reports if r.sku == "SKU-3"]
            assert stamps == sorted(stamps)


@pytest.mark.parametrize("kind", sorted(name for name, kind in KINDS.items() if kind.reads))
async def test_a_no_op_that_claims_success_is_found_out(kind: str) -> None:
    async with rig(kind) as made:
        made.want(dict.fromkeys(NUMBERS, 10), 1)
        await made.quiet()
        made.simulator.forced.append("noop")
        made.want(dict.fromkeys(NUMBERS, 20), 2)
        await made.quiet()
        assert made.simulator.met["noop"] == 1
        assert made.holds(NUMBERS) == dict.fromkeys(NUMBERS, 20)


@every_kind
async def test_nothing_is_lost_in_a_storm(kind: str) -> None:
    """400 SKUs, 8 versions each, 40 % of all calls go wrong."""
    rates = {"error": 0.1, "timeout": 0.05, "reset": 0.1, "throttle": 0.05, "unavailable": 0.05, "edit": 0.02}
    numbers = range(400)
    faults = Faults(seed=11, rates=rates, hang_s=1.0, retry_after_s=0, most_edits=3)
    async with rig(kind, faults, batch=20) as made:
        for version in range(1, 9):
            made.want(dict.fromkeys(numbers, 10 * version), version)
            await made.until(lambda v=version: made.metrics.updates["acked"] > 100 * v)  # type: ignore[misc]
        made.simulator.faults.most_edits = 0
        made.want(dict.fromkeys(numbers, 90), 9)
        await made.quiet()
        assert sum(made.simulator.met.values()) >= 20, "the storm was none"
        assert made.holds(numbers) == dict.fromkeys(numbers, 90)
        assert never_back(made)
        assert counted(made, "duplicate_effects") == counted(made, "older_versions") == 0
        assert made.settled_to_the_end()


async def test_the_bucket_of_cost_points_is_never_overdrawn() -> None:
    """Shopify tells what is left: the sink waits by itself instead of being throttled."""
    async with rig("shopify") as made:
        api = made.simulator.api
        api._size = api._points = 40.0  # type: ignore[attr-defined]
        for version in range(1, 7):
            made.want({1: version}, version)
            await made.quiet()
        assert counted(made, "throttled") == 0
        assert made.metrics.counts["throttled_seconds"] > 0


def test_shopify_documents_hold_against_the_real_schema() -> None:
    schema = build_schema(SDL.read_text("utf-8"))
    channel = channels.build("shopify", "shop", Endpoint("X_", "https://shop.example", _secret(TOKEN), _secret(SECRET)))
    wanted = tuple(Wanted(f"SKU-{n}", 1, n, AT, shopify_listing(n)) for n in range(3))
    look = channel.look(wanted, AT)  # type: ignore[attr-defined]
    assert validate(schema, parse(MUTATION)) == []
    assert validate(schema, parse(_query(look.body))) == []
    assert validate(schema, parse(MUTATION.replace("changes", "chances")))


def _query(body: bytes) -> str:
    import orjson

    return str(orjson.loads(body)["query"])


def _secret(text: str) -> object:
    from pydantic import SecretStr

    return SecretStr(text)


def test_the_schema_comes_with_its_licence() -> None:
    assert "ISC" in Path(SDL).with_suffix(".LICENSE").read_text("utf-8")
