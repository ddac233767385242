"""A record on which the rules fail ends the worker once, and is a dead letter after that."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from streams import app, poison
from streams.core import ledger
from streams.core.ledger import Partition, PoisonError
from streams.settings import Configuration, WorkerSettings
from tests.builders.events import policy, received
from topics.catalogue import WAREHOUSE
from topics.codec import encode
from topics.settings import KafkaSettings


@dataclass
class Delivered:
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 1_800_000_000_000
    headers: list[tuple[str, bytes]] = field(default_factory=list)


def record(offset: int, sku: str) -> Delivered:
    return Delivered(offset, sku.encode(), encode(received(sku, 5)))


def test_the_rules_fail_and_the_record_is_buried_after_the_restart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = ledger.step

    def failing(stock, *rest):  # type: ignore[no-untyped-def]
        if stock.sku == "CURSED-LAMP":
            raise ZeroDivisionError
        return real(stock, *rest)

    monkeypatch.setattr(ledger, "step", failing)
    feed = [record(0, "RETRO-CLOCK"), record(1, "CURSED-LAMP"), record(2, "WOOL-SCARF")]
    first = Partition(0, 1, policy())
    with pytest.raises(PoisonError) as raised:
        first.fold(WAREHOUSE, feed, 3)
    poison.add(tmp_path, raised.value.place)

    again = Partition(0, 1, policy())
    again.poison = frozenset((topic, offset) for topic, _, offset in poison.known(tmp_path))
    again.fold(WAREHOUSE, feed, 3)
    batch = again.close()
    letters = [output for output in batch.outputs if output.topic == WAREHOUSE.dlq]
    assert [(letter.key, letter.value) for letter in letters] == [(b"CURSED-LAMP", feed[1].value)]
    assert ("stockstream.reason", b"internal") in letters[0].headers
    assert again.stock("RETRO-CLOCK") is not None
    assert again.stock("WOOL-SCARF") is not None
    assert batch.tally.outcomes == {(WAREHOUSE.name, "applied"): 2, (WAREHOUSE.name, "dead_lettered"): 1}


def test_a_worker_starts_with_the_note_of_the_last_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(app, "check_inputs", lambda *_: 4)
    poison.add(tmp_path, ("warehouse.movements.v1", 3, 77))
    made = app.create(Configuration(WorkerSettings(data_dir=tmp_path), KafkaSettings(), policy()))
    assert made.runtime.poison == {("warehouse.movements.v1", 3, 77)}


def test_a_line_cut_short_is_ignored(tmp_path: Path) -> None:
    poison.add(tmp_path, ("warehouse.movements.v1", 3, 77))
    with (tmp_path / poison.FILE).open("a", encoding="utf-8") as file:
        file.write('["warehouse.mov')
    assert poison.known(tmp_path) == {("warehouse.movements.v1", 3, 77)}


def test_no_file_means_no_poison(tmp_path: Path) -> None:
    assert poison.known(tmp_path / "missing") == frozenset()
