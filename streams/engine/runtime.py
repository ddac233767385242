"""What the parts of the engine share: its options, and the ledger and the writer of each partition number we own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from streams.core.ledger import Batch, Partition
from topics.policy import Policy
from topics.settings import KafkaSettings

if TYPE_CHECKING:
    from streams.engine.writer import PartitionWriter


@dataclass(frozen=True, slots=True)
class Options:
    """How much at once, and how long. Times in seconds."""

    window: float = 0.05
    max_window_events: int = 20_000
    max_window_bytes: int = 16 << 20
    """Of dead letters and rerouted records: a flood of large ones must not outlast the transaction's timeout."""
    chunk: int = 2_000
    max_inflight: int = 16
    drain_timeout: float = 20.0
    commit_timeout: float = 60.0
    transaction_timeout: float = 15.0
    stuck_timeout: float = 60.0


class Observer(Protocol):
    """Who counts: called for each batch and each commit, never for each record."""

    def committed(self, partition: int, batch: Batch, events: int, seconds: float, written: int) -> None:
        """A transaction is durable."""

    def folded(self, topic: str, events: int, seconds: float) -> None:
        """Records met their rows."""

    def closed(self, seconds: float) -> None:
        """A window was encoded."""

    def recovered(self, rows: int, remembered: int, seconds: float) -> None:
        """The table is whole again."""

    def rebalanced(self, partitions: int) -> None:
        """Partitions were assigned."""

    def jumped(self, topic: str) -> None:
        """A fetched slice did not continue the last one and was refused."""


@dataclass
class Runtime:
    """One worker's engine."""

    app_id: str
    kafka: KafkaSettings
    policy: Policy
    partitions: int
    observer: Observer
    options: Options = Options()
    ledgers: dict[int, Partition] = field(default_factory=dict)
    writers: dict[int, PartitionWriter] = field(default_factory=dict)
    poison: frozenset[tuple[str, int, int]] = frozenset()
    progress: Callable[[], None] = lambda: None

    def transactional_id(self, partition: int) -> str:
        """One per partition number: its next owner fences its last one."""
        return f"{self.app_id}-{partition}"
