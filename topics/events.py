"""What comes in: movements, channel reports, commands, catalogue items and ticks of the clock.

One class per `type`, joined to one tagged union per topic, so that a type that is foreign to a topic is refused by the
union itself. Inbound models ignore unknown fields (and keep them apart, to be counted).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from topics.values import (
    Amount,
    Channel,
    Condition,
    Disposition,
    EventId,
    Instant,
    Location,
    Quantity,
    Reason,
    Reference,
    Sequence,
    SignedQuantity,
    Sku,
    Source,
)


class Inbound(BaseModel):
    """Strict about what it knows, tolerant of what it does not."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    sku: Sku


class Event(Inbound):
    """The common fields of movements and reports."""

    event_id: EventId
    source: Source
    occurred_at: Instant
    reference: Reference | None = None
    sequence: Sequence | None = None


class Located(Event):
    """A movement of goods at one location."""

    location: Location


class Received(Located):
    """Goods came in: balance(location, condition) + quantity."""

    type: Literal["received"]
    quantity: Quantity
    condition: Condition = "sellable"


class Shipped(Located):
    """Goods left for a customer: sellable(location) - quantity, shipped + quantity."""

    type: Literal["shipped"]
    quantity: Quantity


class Adjusted(Located):
    """A correction with a reason (waste, theft, found): balance + quantity, which is signed and not 0."""

    type: Literal["adjusted"]
    quantity: Annotated[SignedQuantity, Field(json_schema_extra={"not": {"const": 0}})]
    reason: Reason
    condition: Condition = "sellable"

    @field_validator("quantity")
    @classmethod
    def _moves_something(cls, value: int) -> int:
        if value == 0:
            raise ValueError("must not be 0")
        return value


class Counted(Located):
    """Somebody counted: the balance was `quantity` at `occurred_at`."""

    type: Literal["counted"]
    quantity: Amount
    condition: Condition = "sellable"


class Reclassified(Located):
    """Goods changed condition at a location."""

    type: Literal["reclassified"]
    quantity: Quantity
    from_condition: Condition
    to_condition: Condition

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.from_condition == self.to_condition:
            raise ValueError("from_condition and to_condition are the same")
        return self


class Transfer(Located):
    """One end of a transfer between two locations; `reference` is the transfer's number and ties the ends together."""

    quantity: Quantity
    counterpart: Location
    reference: Annotated[str, StringConstraints(min_length=1, max_length=128)]  # required here, optional elsewhere


class TransferSent(Transfer):
    """sellable(location) - quantity, in transit + quantity."""

    type: Literal["transfer_sent"]


class TransferReceived(Transfer):
    """sellable(location) + quantity, in transit - quantity."""

    type: Literal["transfer_received"]


class Sold(Event):
    """A channel sold: sold + quantity. Goods leave with `shipped`."""

    type: Literal["sold"]
    quantity: Quantity
    location: Location | None = None  # where it will leave from, if that is known; changes nothing


class Cancelled(Event):
    """A sale was called off before it shipped: cancelled + quantity."""

    type: Literal["cancelled"]
    quantity: Quantity
    location: Location | None = None  # where it will leave from, if that is known; changes nothing


class Returned(Located):
    """A customer sent goods back. `missing`: a refund was asked for, but nothing came back."""

    type: Literal["returned"]
    quantity: Quantity
    disposition: Disposition


class Report(Event):
    """What a channel said; written by sinks and channel webhooks."""

    channel: Channel


class Confirmed(Report):
    """The channel shows `quantity`, which is what `version` of the stock asked for."""

    type: Literal["confirmed"]
    version: Annotated[int, Field(ge=0)]
    quantity: Amount


class Rejected(Report):
    """The channel refused `version` for good."""

    type: Literal["rejected"]
    version: Annotated[int, Field(ge=0)]
    quantity: Amount
    reason: Reason


class Observed(Report):
    """The channel was seen to show `quantity` at `occurred_at`."""

    type: Literal["observed"]
    quantity: Amount


class Command(Inbound):
    """What a person asked for, through the CLI or the page."""

    event_id: EventId
    by: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    occurred_at: Instant
    note: Annotated[str, StringConstraints(max_length=1000)] = ""


class DiscrepancyCommand(Command):
    """A step in the life of one discrepancy."""

    discrepancy_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Acknowledge(DiscrepancyCommand):
    """Somebody works on it."""

    type: Literal["acknowledge"]


class Resolve(DiscrepancyCommand):
    """Somebody settled it."""

    type: Literal["resolve"]


class Reopen(DiscrepancyCommand):
    """It was settled too early."""

    type: Literal["reopen"]


class Resync(Command):
    """Publish this SKU again with a higher version, so that the channel (or `all`) is written anew."""

    type: Literal["resync"]
    channel: Channel = "all"


class UnitValue(BaseModel):
    """Money per unit: a decimal string and an ISO 4217 code, never a float."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    amount: Annotated[str, StringConstraints(pattern=r"^\d{1,12}(\.\d{1,6})?$")]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class Item(Inbound):
    """What the product system knows of a SKU. `listings`: channel name -> the ids of the listing there."""

    title: Annotated[str, StringConstraints(max_length=512)] = ""
    unit_value: UnitValue | None = None
    class_: Annotated[str, StringConstraints(max_length=32)] | None = Field(default=None, alias="class")
    safety_stock: Amount | None = None
    listings: dict[Channel, dict[str, Any]] = Field(default_factory=dict)


class Tick(BaseModel):
    """The clock of one partition: grace periods run out by these, inside the log, so that a replay is deterministic."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    occurred_at: Instant


WarehouseMovement = Annotated[
    Received | Shipped | Adjusted | Counted | Reclassified | TransferSent | TransferReceived,
    Field(discriminator="type"),
]
StorefrontMovement = Annotated[Sold | Cancelled, Field(discriminator="type")]
ReturnsMovement = Annotated[Returned | Reclassified, Field(discriminator="type")]
ChannelReport = Annotated[Confirmed | Rejected | Observed, Field(discriminator="type")]
StockCommand = Annotated[Acknowledge | Resolve | Reopen | Resync, Field(discriminator="type")]

Movement = (
    Received
    | Shipped
    | Adjusted
    | Counted
    | Reclassified
    | TransferSent
    | TransferReceived
    | Sold
    | Cancelled
    | Returned
)
