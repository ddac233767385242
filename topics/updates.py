"""What goes out: sync updates and discrepancies. Outbound models forbid fields that they do not know."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from topics.values import Amount, Channel, EventId, Instant, Location, Sku, Source


class Outbound(BaseModel):
    """Strict both ways: a consumer can rely on exactly these fields."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Conditions(Outbound):
    """Units that cannot be sold now. Units in transit are not on hand."""

    quality_control: int
    damaged: int
    in_transit: int


class ChannelQuantity(Outbound):
    """The chain of numbers of one channel: pool - reserved - safety_stock, times percent, at most cap, at least 0."""

    quantity: Amount
    pool: int
    safety_stock: int
    percent: int
    cap: int | None


class SyncUpdate(Outbound):
    """The absolute stock of one SKU, never a delta: a consumer may drop all but the highest version."""

    sku: Sku
    version: Annotated[int, Field(ge=1)]
    occurred_at: Instant
    on_hand: int
    sellable: int
    reserved: int
    available: int
    conditions: Conditions
    locations: dict[Location, int]
    channels: dict[Channel, ChannelQuantity]
    caused_by: list[EventId]
    caused_by_count: int


Kind = Literal[
    "count_variance",
    "negative_on_hand",
    "oversold",
    "shipped_exceeds_sold",
    "returned_exceeds_sold",
    "refund_without_goods",
    "transfer_short",
    "channel_drift",
    "channel_rejected",
    "sequence_gap",
    "sequence_regression",
    "id_conflict",
    "late_count",
]
Severity = Literal["low", "medium", "high"]
Status = Literal["opened", "acknowledged", "resolved", "reopened"]


class Resolution(Outbound):
    """How it ended: `by` a person, or `auto`: the cause is gone, in words."""

    by: str | None = None
    auto: str | None = None
    note: str | None = None
    at: Instant


class Discrepancy(Outbound):
    """Sources disagree about one SKU at one place. difference = observed - expected, in units."""

    discrepancy_id: str
    kind: Kind
    severity: Severity
    status: Status
    sku: Sku
    location: Location | None = None
    condition: str | None = None
    channel: Channel | None = None
    reference: str | None = None
    sources: list[Source]
    expected: int
    observed: int
    difference: int
    opened_at: Instant
    last_seen_at: Instant
    seen: int
    evidence: list[str]
    version: int
    note: str | None = None
    resolution: Resolution | None = None
