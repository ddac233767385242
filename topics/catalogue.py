"""Each topic as one typed constant. No topic name stands anywhere else in this project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_DAY_MS = 24 * 60 * 60 * 1000

KeyRule = Literal["sku", "discrepancy_id", "as_received", "none"]


@dataclass(frozen=True, slots=True)
class Topic:
    """One Kafka topic: its name, what its key is, who writes it and how long it keeps what.

    All topics have the same number of partitions: a SKU's records share one partition number everywhere.
    `timestamps`: what others write carries the broker's own time, which no producer's clock can forge (limits of
    `occurred_at`, order of late counts); what the worker writes carries the time that it gave.
    """

    name: str
    key: KeyRule
    writer: str
    purpose: str
    cleanup: Literal["delete", "compact", "compact,delete"]
    retention_days: int | None = None
    timestamps: Literal["CreateTime", "LogAppendTime"] = "CreateTime"

    @property
    def config(self) -> dict[str, str]:
        """The topic's settings as Kafka names them."""
        config: dict[str, str] = {"cleanup.policy": self.cleanup, "message.timestamp.type": self.timestamps}
        if self.retention_days is not None:
            config["retention.ms"] = str(self.retention_days * _DAY_MS)
        return config

    @property
    def dlq(self) -> str:
        """Where the untouched bytes of a record go that could not be processed."""
        return f"{self.name}.dlq"


WAREHOUSE = Topic(
    "warehouse.movements.v1", "sku", "warehouse systems", "movements of goods", "delete", 14, "LogAppendTime"
)
STOREFRONT = Topic(
    "storefront.movements.v1", "sku", "shops, order systems", "sales and cancellations", "delete", 14, "LogAppendTime"
)
RETURNS = Topic(
    "returns.movements.v1", "sku", "returns systems", "goods that customers sent back", "delete", 14, "LogAppendTime"
)
REPORTS = Topic(
    "channel.reports.v1",
    "sku",
    "sinks, channel webhooks",
    "what a channel confirmed, rejected or was seen to hold",
    "delete",
    14,
    "LogAppendTime",
)
COMMANDS = Topic(
    "stock.commands.v1", "sku", "people, by CLI or page", "what a person asked for", "delete", 30, "LogAppendTime"
)
ITEMS = Topic(
    "catalog.items.v1",
    "sku",
    "product systems",
    "title, value, class and listings of a SKU",
    "compact",
    None,
    "LogAppendTime",
)
SYNC = Topic("stock.sync.v1", "sku", "the worker", "absolute quantities per SKU and channel", "compact")
DISCREPANCIES = Topic(
    "stock.discrepancies.v1", "discrepancy_id", "the worker", "sources that disagree", "compact,delete", 90
)
CLOCK = Topic("stock.clock.v1", "none", "the worker", "ticks that let grace periods run out", "delete", 1)
REROUTED = Topic(
    "stock.rerouted.v1", "sku", "the worker", "records that were in the wrong partition, moved", "delete", 14
)

MOVEMENTS = (WAREHOUSE, STOREFRONT, RETURNS)
INPUTS = (*MOVEMENTS, REPORTS, COMMANDS, ITEMS, REROUTED, CLOCK)
"""What a worker reads."""
REMEMBERED = (*MOVEMENTS, REPORTS, COMMANDS, REROUTED)
"""Inputs whose last `memory.records` records are the memory of event ids."""
OUTPUTS = (SYNC, DISCREPANCIES)
EXTERNAL_INPUTS = (*MOVEMENTS, REPORTS, COMMANDS, ITEMS)
"""Inputs that others write, and that therefore need a dead-letter topic."""
TOPICS = (*EXTERNAL_INPUTS, REROUTED, CLOCK, *OUTPUTS)
DEAD_LETTERS = tuple(
    Topic(
        t.dlq, "as_received", "worker, sinks", f"what could not be processed of {t.name}", "delete", 30, "LogAppendTime"
    )
    for t in (*EXTERNAL_INPUTS, REROUTED, CLOCK, SYNC)
)
BY_NAME = {t.name: t for t in (*TOPICS, *DEAD_LETTERS)}


def all_topics(app_id: str) -> tuple[Topic, ...]:
    """Everything that one worker group and its sinks need."""
    return (*TOPICS, *DEAD_LETTERS, changelog(app_id))


def changelog(app_id: str) -> Topic:
    """The stock table's changelog of one worker group: internal, never read by others."""
    return Topic(f"{app_id}-stock-changelog", "sku", "the worker", "the stock table", "compact")
