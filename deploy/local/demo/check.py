"""The verdict: what the pipeline holds against what was known beforehand. Each difference is one line in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from deploy.local.demo.figures import MOVED, Worker
from deploy.local.demo.incidents import STATUS, Incident
from deploy.local.demo.observe import Letter, Seen
from deploy.local.demo.oracle import Expected
from deploy.local.demo.script import Buried
from topics.catalogue import SYNC

SourceKinds = frozenset({"sequence_gap", "sequence_regression", "id_conflict"})
"""Kinds whose place is the source that said it."""


def stock(seen: Mapping[str, dict[str, Any]], expected: Mapping[str, Expected]) -> list[str]:
    """The newest sync update of every SKU against plain arithmetic."""
    wrong = [f"{sku} is not in the table" for sku in expected.keys() - seen.keys()]
    wrong += [f"{sku} is in the table, and nothing of it was sent" for sku in seen.keys() - expected.keys()]
    for sku in sorted(seen.keys() & expected.keys()):
        found, wanted = _numbers(seen[sku]), _flat(expected[sku])
        wrong += [
            f"{sku}: {what} is {found.get(what, 0)}, must be {wanted.get(what, 0)}"
            for what in sorted(found.keys() | wanted.keys())
            if found.get(what, 0) != wanted.get(what, 0)
        ]
    return wrong


def _numbers(update: Mapping[str, Any]) -> dict[str, int]:
    plain: dict[str, int] = {what: update[what] for what in ("on_hand", "sellable", "reserved", "available")}
    places = {f"sellable at {place}": units for place, units in update["locations"].items()}
    channels = {f"quantity for {name}": chain["quantity"] for name, chain in update["channels"].items()}
    return {**plain, **update["conditions"], **places, **channels}


def _flat(expected: Expected) -> dict[str, int]:
    names = ("on_hand", "sellable", "reserved", "available", "quality_control", "damaged", "in_transit")
    plain = {what: getattr(expected, what) for what in names}
    places = {f"sellable at {place}": units for place, units in expected.locations.items()}
    return plain | places | {f"quantity for {name}": units for name, units in expected.channels.items()}


def channel(name: str, holds: Mapping[str, int], seen: Mapping[str, dict[str, Any]]) -> list[str]:
    """What a channel shows against what the table says."""
    wrong = []
    for sku, update in sorted(seen.items()):
        wanted = update["channels"][name]["quantity"]
        shows = holds.get(sku)
        if shows != wanted:
            wrong.append(f"{name} shows {'nothing' if shows is None else shows} of {sku}; the table says {wanted}")
    return wrong


Key = tuple[str, str, str]
"""Kind, SKU and place of a discrepancy."""


def place_of(record: Mapping[str, Any]) -> str:
    """The part of a discrepancy's key that its kind names."""
    if record["kind"] in SourceKinds:
        return str(record["sources"][0]) if record["sources"] else ""
    if record.get("condition") is not None:
        return f"{record['location']}/{record['condition']}"
    return str(record.get("location") or record.get("channel") or record.get("reference") or "")


def key_of(record: Mapping[str, Any]) -> Key:
    """Kind, SKU and place."""
    return (record["kind"], record["sku"], place_of(record))


def missing(records: Iterable[Mapping[str, Any]], incidents: Iterable[Incident]) -> list[str]:
    """Known incidents that have not been opened (yet)."""
    found = {key_of(record) for record in records}
    return [f"not opened: {in_words(i.key)} ({i.why})" for i in incidents if i.key not in found]


def surplus(records: Iterable[Mapping[str, Any]], incidents: Iterable[Incident]) -> list[str]:
    """Discrepancies that no incident explains, or that were opened twice. No waiting helps."""
    found: dict[Key, list[Mapping[str, Any]]] = {}
    for record in records:
        found.setdefault(key_of(record), []).append(record)
    known = {incident.key for incident in incidents}
    wrong = []
    for key, same in sorted(found.items()):
        said = f"expected {same[0]['expected']}, observed {same[0]['observed']}, now {same[0]['status']}"
        if key not in known:
            wrong.append(f"opened without a cause: {in_words(key)}, {said}")
        elif len(same) > 1:
            wrong.append(f"opened {len(same)} times: {in_words(key)}")
    return wrong


def numbers(records: Iterable[Mapping[str, Any]], incidents: Iterable[Incident]) -> list[str]:
    """The discrepancies say the numbers that were known."""
    by_key = {key_of(record): record for record in records}
    return [line for i in incidents if i.key in by_key for line in _other_numbers(i, by_key[i.key])]


def _other_numbers(incident: Incident, record: Mapping[str, Any]) -> list[str]:
    if incident.expected is None or (incident.expected, incident.observed) == (record["expected"], record["observed"]):
        return []
    said = f"expected {record['expected']}, observed {record['observed']}"
    return [f"{in_words(incident.key)}: {said}; must be {incident.expected} and {incident.observed}"]


def ended(records: Iterable[Mapping[str, Any]], incidents: Iterable[Incident]) -> list[str]:
    """Each discrepancy has come to the end that was foreseen."""
    status = {key_of(record): record["status"] for record in records}
    return [
        f"{in_words(i.key)} is {status[i.key]}, must be {STATUS[i.ending]}"
        for i in incidents
        if i.key in status and status[i.key] != STATUS[i.ending]
    ]


def in_words(key: Key) -> str:
    """A discrepancy's key as a person says it."""
    kind, sku, place = key
    return f"{kind} of {sku}{f' at {place}' if place else ''}"


def letters(found: Iterable[Letter], expected: Iterable[Buried]) -> list[str]:
    """Exactly the bad records are dead letters: their bytes untouched, each once, for the reason that was foreseen."""
    found = list(found)
    have = Counter((letter.topic, letter.reason, letter.key, letter.value) for letter in found)
    want = Counter((buried.topic, buried.reason, buried.key, buried.value) for buried in expected)
    wrong = [f"no dead letter of {_record(*entry)}" for entry in (want - have).elements()]
    wrong += [f"a dead letter without a cause: {_record(*entry)}" for entry in (have - want).elements()]
    twice = Counter(letter.position for letter in found)
    wrong += [f"{n} dead letters of {'/'.join(at)}" for at, n in twice.items() if n > 1]
    return wrong


def _record(topic: str, reason: str, key: bytes | None, value: bytes | None) -> str:
    return f"{topic} [{reason}], key {key!r}, value {(value or b'')[:80]!r}"


def versions(seen: Seen) -> list[str]:
    """Under read_committed no version of a SKU goes back, and each is told once."""
    back = [f"{SYNC.name} goes back: {what}" for what in seen.went_back]
    return back + [f"{SYNC.name} tells {what} twice" for what in seen.told_twice]


def balance(worker: Worker) -> list[str]:
    """Every record that was read has come to one end (contract section 6)."""
    ends = {topic: sum(counts.values()) for topic, counts in worker.outcomes.items()}
    return [
        f"{topic}: {read} records were read, and {ends.get(topic, 0)} came to an end"
        for topic, read in worker.consumed.items()
        if read != ends.get(topic, 0)
    ]


def totals(worker: Worker, foreseen: Mapping[str, int]) -> list[str]:
    """Of all movements as many came to each end as was known beforehand. Not for a worker that began in the middle."""
    found = {outcome: worker.total(outcome, MOVED) for outcome in foreseen}
    return [
        f"{found[outcome]:,} movements were {outcome}, must be {count:,}"
        for outcome, count in foreseen.items()
        if found[outcome] != count
    ]


def effects(channel: str, met: Mapping[str, Any]) -> list[str]:
    """A call that was repeated, because nobody knew what became of it, had one effect; and no version went back."""
    return [
        f"{channel} saw {met[what]} {what.replace('_', ' ')}"
        for what in ("duplicate_effects", "older_versions", "id_conflicts")
        if met.get(what)
    ]
