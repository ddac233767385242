"""Which partition a key belongs to: Java's murmur2, as Kafka's own clients compute it.

librdkafka's default partitioner is CRC32 and puts keys elsewhere; with `partitioner=murmur2_random` it agrees.
"""

from __future__ import annotations

from functools import lru_cache

_M = 0x5BD1E995
_SEED = 0x9747B28C
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit murmur2 hash with Kafka's seed, as an unsigned number (Java shows it signed)."""
    length = len(data)
    h = _SEED ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k ^= k >> 24
        h = (h * _M & _MASK) ^ (k * _M & _MASK)
    if length > whole:  # the last one to three bytes
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h ^= h >> 13
    h = h * _M & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=1 << 16)  # keys come again and again; about 10 MB when full
def _positive(key: bytes) -> int:
    return murmur2(key) & 0x7FFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key among `partitions`."""
    return (_positive(key) if len(key) <= 256 else murmur2(key) & 0x7FFFFFFF) % partitions
