"""Header names that are not UTF-8: Kafka takes any bytes for one, aiokafka's C code raises at it.

Without this, one such record would end every worker that reads it. Its name is read with backslashes instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy


class _Name(bytearray):
    def decode(self, *_: Any) -> str:
        return bytes(self).decode("utf-8", "backslashreplace")


class _Buffer(bytearray):
    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Name(found) if isinstance(at, slice) else found


class _PatientBatch(_DefaultRecordBatchPy):
    """aiokafka's own reading in Python: slow, and only for batches that its C code refuses."""

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer: bytearray = _Buffer(self._buffer)


class _Batch:
    """A batch as aiokafka's fetcher uses it, read at once: a name may be bad in its last record."""

    def __init__(self, batch: Any, raw: Any) -> None:
        self._batch, self._raw = batch, raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._batch))
        except UnicodeDecodeError:
            return iter(_PatientBatch(self._raw))


class PatientRecords(_MemoryRecordsPy):
    """What a fetch brought, batch by batch."""

    def next_batch(self, *args: Any) -> Any:
        """The next batch, as aiokafka's method."""
        raw = self._next_slice
        batch = super().next_batch(*args)
        return batch if batch is None or batch.magic < 2 or batch.is_control_batch else _Batch(batch, raw)


def install() -> None:
    """For all consumers of this process."""
    fetcher.MemoryRecords = PatientRecords
