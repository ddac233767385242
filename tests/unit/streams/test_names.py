"""Header names are any bytes: one that is not UTF-8 must end neither the reading nor the reading back."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords

from streams.engine.names import PatientRecords
from topics.catalogue import REROUTED, WAREHOUSE, Topic
from topics.rerouted import headers_of

BAD = b"ab\xff\xfe"


def fetched(codec: int = 0, name: bytes = b"abcd") -> bytes:
    """Two batches of three records; `name` stands in the first one."""
    batches = []
    for first in (True, False):
        builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, -1, 100_000)
        for offset in range(3):
            headers = [] if offset == 1 else [("abcd", b"x"), ("null", None)]
            builder.append(offset, 1_700_000_000_000, b"k%d" % offset, b"v" * 100, headers)
        built = bytes(builder.build())
        batches.append(built.replace(b"abcd", name) if first else built)
    return b"".join(batches)


def read(records: Any) -> list[list[Any]]:
    batches = []
    while records.has_next():
        batches.append([(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in records.next_batch()])
    return batches


def test_a_bad_name_is_read_with_backslashes() -> None:
    with pytest.raises(UnicodeDecodeError):
        read(MemoryRecords(fetched(name=BAD)))
    bad, good = read(PatientRecords(fetched(name=BAD)))
    assert [record[4] for record in bad] == [
        [("ab\\xff\\xfe", b"x"), ("null", None)],
        [],
        [("ab\\xff\\xfe", b"x"), ("null", None)],
    ]
    assert [record[:4] for record in bad] == [record[:4] for record in good]


@pytest.mark.parametrize("codec", [1, 2, 3, 4], ids=["gzip", "snappy", "lz4", "zstd"])
def test_other_batches_are_read_as_ever(codec: int) -> None:
    assert read(PatientRecords(fetched(codec))) == read(MemoryRecords(fetched(codec)))


@pytest.mark.parametrize(("topic", "expected"), [(WAREHOUSE, []), (REROUTED, [("stockstream.offset", b"7")])])
def test_confluent_kafka_is_asked_only_for_headers_that_we_wrote(topic: Topic, expected: list[Any]) -> None:
    """It answers a bad name with a tuple that ends the process when it is touched."""

    class Message:
        def topic(self) -> str:
            return topic.name

        def headers(self) -> Any:
            assert topic is REROUTED
            return expected

    assert list(headers_of(Message())) == expected
