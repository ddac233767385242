"""The demo's verdict: it sees what differs, and says it in words."""

from typing import Any

import orjson
import pytest

from deploy.local.demo import check
from deploy.local.demo.incidents import Incident
from deploy.local.demo.observe import Letter, Seen, latencies_ms
from deploy.local.demo.oracle import Expected
from deploy.local.demo.script import Buried

VARIANCE = Incident("count_variance", "OAK-STOOL", "AMS-1/sellable", 20, 17, "3 are missing")
GAP = Incident("sequence_gap", "BLUE-VASE", "pos", None, None, "pos never sent its number 4", "by the data")


def record(incident: Incident, **fields: Any) -> dict[str, Any]:
    location, _, condition = incident.place.partition("/")
    place = {"location": location, "condition": condition} if condition else {}
    base = {
        "kind": incident.kind,
        "sku": incident.sku,
        "expected": incident.expected or 0,
        "observed": incident.observed or 0,
        "sources": [incident.place],
        "status": "opened",
    }
    return {**base, **place, **fields}


def update(version: int, quantity: int, sku: str = "OAK-STOOL", causes: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "sku": sku,
        "version": version,
        "on_hand": quantity,
        "sellable": quantity,
        "reserved": 0,
        "available": quantity,
        "conditions": {"quality_control": 0, "damaged": 0, "in_transit": 0},
        "locations": {"AMS-1": quantity},
        "channels": {"shop": {"quantity": quantity}},
        "caused_by": list(causes),
    }


def expected(quantity: int) -> Expected:
    places, channels = {"AMS-1": quantity}, {"shop": quantity}
    return Expected(quantity, quantity, 0, quantity, locations=places, channels=channels)


def opened(records: list[Any]) -> list[str]:
    known = [VARIANCE]
    return check.missing(records, known) + check.surplus(records, known) + check.numbers(records, known)


def test_known_incidents_opened_once_are_fine() -> None:
    assert opened([record(VARIANCE)]) == []


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([], "not opened: count_variance of OAK-STOOL at AMS-1/sellable (3 are missing)"),
        ([record(VARIANCE), record(GAP)], "opened without a cause: sequence_gap of BLUE-VASE at pos"),
        ([record(VARIANCE), record(VARIANCE)], "opened 2 times"),
        ([record(VARIANCE, observed=16)], "observed 16; must be 20 and 17"),
    ],
)
def test_a_discrepancy_too_few_too_many_twice_or_with_other_numbers(records: list[Any], says: str) -> None:
    (line,) = opened(records)
    assert says in line


def test_each_incident_has_to_come_to_its_end() -> None:
    assert check.ended([record(VARIANCE), record(GAP, status="resolved")], [VARIANCE, GAP]) == []
    assert check.ended([record(VARIANCE), record(GAP)], [VARIANCE, GAP]) == [
        "sequence_gap of BLUE-VASE at pos is opened, must be resolved"
    ]


def test_the_table_is_compared_number_by_number() -> None:
    assert check.stock({"OAK-STOOL": update(1, 4)}, {"OAK-STOOL": expected(4)}) == []
    wrong = check.stock({"OAK-STOOL": update(1, 5)}, {"OAK-STOOL": expected(4), "BLUE-VASE": expected(1)})
    assert "BLUE-VASE is not in the table" in wrong
    assert "OAK-STOOL: quantity for shop is 5, must be 4" in wrong
    assert "OAK-STOOL: sellable at AMS-1 is 5, must be 4" in wrong


def test_a_channel_shows_what_the_table_says() -> None:
    table = {"OAK-STOOL": update(1, 4), "BLUE-VASE": update(1, 0, "BLUE-VASE")}
    assert check.channel("shop", {"OAK-STOOL": 4, "BLUE-VASE": 0}, table) == []
    assert check.channel("shop", {"OAK-STOOL": 3}, table) == [
        "shop shows nothing of BLUE-VASE; the table says 0",
        "shop shows 3 of OAK-STOOL; the table says 4",
    ]


def test_dead_letters_are_exactly_the_bad_records() -> None:
    buried = [Buried("t", "empty", b"k", None), Buried("t", "empty", b"k", None), Buried("t", "sku", b"k", b"v")]
    found = [
        Letter("t", "empty", b"k", None, ("t", "0", "1")),
        Letter("t", "empty", b"k", None, ("t", "0", "2")),
        Letter("t", "sku", b"k", b"v", ("t", "0", "3")),
    ]
    assert check.letters(found, buried) == []
    assert any("no dead letter" in line for line in check.letters(found[:2], buried))
    assert any("without a cause" in line for line in check.letters(found, buried[:2]))
    twice = [*found[:2], found[2], found[2]]
    assert any("2 dead letters of t/0/3" in line for line in check.letters(twice, buried))


def test_versions_go_up_and_are_told_once() -> None:
    seen = Seen()
    for version in (1, 3, 3, 2):
        seen.sync_update(orjson.dumps(update(version, version)))
    lines = check.versions(seen)
    assert len(lines) == 2
    assert "goes back: OAK-STOOL from version 3 to 2" in lines[0]
    assert "tells OAK-STOOL version 3 twice" in lines[1]


def test_the_way_of_a_movement_ends_with_the_first_confirmation_of_what_it_changed() -> None:
    seen = Seen(written_ms={"a": 1000, "b": 2000, "c": 3000})
    for version, quantity, cause in ((1, 5, "a"), (2, 4, "b"), (3, 4, "idle"), (4, 9, "c")):
        seen.sync_update(orjson.dumps(update(version, quantity, causes=(cause,))))
    seen.confirmed["OAK-STOOL", "shop"] = [(3, 4, 2500)]
    assert latencies_ms(seen, "shop") == [500, 1500]
