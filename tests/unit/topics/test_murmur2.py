"""Partitions as Java computes them."""

from __future__ import annotations

import pytest

from topics.murmur2 import murmur2, partition_of


@pytest.mark.parametrize(
    ("data", "signed"),
    [
        # Kafka's own table: clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_hashes_are_those_of_kafkas_table(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed % 2**32


def test_a_partition_is_the_positive_hash_modulo_the_number() -> None:
    assert partition_of(b"foobar", 4) == (-790332482 & 0x7FFFFFFF) % 4
    assert partition_of(b"x" * 1000, 12) == (murmur2(b"x" * 1000) & 0x7FFFFFFF) % 12
    assert {partition_of(b"RETRO-CLOCK", n) < n for n in range(1, 100)} == {True}
