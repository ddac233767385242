"""The policy: what each channel may show, and when sources disagree. One YAML file, named by `STOCKSTREAM_POLICY`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from topics.updates import Kind
from topics.values import Amount, Channel, Location

Grace = Annotated[int, Field(ge=0, le=30 * 24 * 3600)]

GRACED: dict[Kind, int | None] = {
    "count_variance": 30,
    "negative_on_hand": 30,
    "oversold": 30,
    "shipped_exceeds_sold": None,
    "returned_exceeds_sold": None,
    "transfer_short": None,
    "channel_drift": None,
    "sequence_gap": None,
}
"""Kinds that open only when still true after a grace period, with their own default in seconds; None: `default`."""


class PolicyError(ValueError):
    """The policy cannot be used; the message is one line that names the field."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class ChannelPolicy(_Part):
    """What one sales channel may show. `percent` of what is left after reservations and safety stock, at most `cap`."""

    kind: Annotated[str, Field(min_length=1)]
    locations: Literal["all"] | list[Location] = "all"
    safety_stock: Amount = 0
    percent: Annotated[int, Field(ge=0, le=100)] = 100
    cap: Amount | None = None


class Tolerance(_Part):
    """A count within `units` OR within `percent` of what was expected is no discrepancy."""

    units: Amount = 0
    percent: Annotated[float, Field(ge=0, le=100, strict=False)] = 0


class Memory(_Part):
    """How many records of each input partition are remembered, to know resends and late counts."""

    records: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000


class Policy(_Part):
    """The whole policy file."""

    channels: dict[Channel, ChannelPolicy] = Field(default_factory=dict)
    count_tolerance: dict[str, Any] = Field(default_factory=dict)
    grace_seconds: dict[str, Grace] = Field(default_factory=dict)
    memory: Memory = Memory()

    @model_validator(mode="after")
    def _known_words(self) -> Self:
        for name, channel in self.channels.items():
            places = [] if channel.locations == "all" else channel.locations
            for place in places:
                if places.count(place) > 1:  # its goods would be offered twice
                    raise ValueError(f"channels.{name}.locations: {place} stands there twice")
        unknown = set(self.grace_seconds) - {"default", *GRACED}
        if unknown:
            word = sorted(unknown)[0]
            why = "has no grace period" if word in get_args(Kind) else "is no kind of discrepancy"
            raise ValueError(f"grace_seconds.{word} {why}")
        if "all" in self.channels:
            raise ValueError("channels.all: 'all' means every channel and cannot name one")
        self.tolerances  # noqa: B018 - validates count_tolerance
        return self

    @cached_property
    def tolerances(self) -> dict[str | None, Tolerance]:
        """Item class -> tolerance; None holds what counts for all other classes."""
        own: dict[str | None, Any] = {k: v for k, v in self.count_tolerance.items() if isinstance(v, dict)}
        rest = {k: v for k, v in self.count_tolerance.items() if k not in own}
        parts: dict[str | None, Any] = {None: rest, **own}
        return {name: _tolerance(name, value) for name, value in parts.items()}

    def tolerance(self, item_class: str | None) -> Tolerance:
        """The tolerance for counts of an item of this class."""
        return self.tolerances.get(item_class) or self.tolerances[None]

    def grace(self, kind: Kind) -> int:
        """Seconds that a disagreement must last before it is opened; 0 for kinds that open at once."""
        if kind not in GRACED:
            return 0
        if kind in self.grace_seconds:
            return self.grace_seconds[kind]
        own = GRACED[kind]
        return own if own is not None else self.grace_seconds.get("default", 300)


def _tolerance(name: str | None, value: Any) -> Tolerance:
    try:
        return Tolerance.model_validate(value)
    except ValidationError as exc:
        first = exc.errors()[0]
        parts = ["count_tolerance", *([name] if name is not None else []), *map(str, first["loc"])]
        raise ValueError(f"{'.'.join(parts)}: {first['msg']}") from None


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key that stands twice in one mapping, where YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands there twice", key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def parse_policy(text: str, origin: str = "policy") -> Policy:
    """Read a policy from YAML.

    Raises:
        PolicyError: one line that names the field.
    """
    try:
        raw = yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as exc:
        raise PolicyError(f"{origin}: not YAML: {' '.join(str(exc).split())}") from None
    try:
        return Policy.model_validate({} if raw is None else raw)
    except ValidationError as exc:
        first = exc.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise PolicyError(
            f"{origin}: {place}{': ' if place else ''}{first['msg'].removeprefix('Value error, ')}"
        ) from None


def load_policy(path: Path) -> Policy:
    """Read the policy file. Raises PolicyError, also when the file cannot be read."""
    try:
        return parse_policy(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as exc:
        raise PolicyError(f"STOCKSTREAM_POLICY={path}: cannot be read: {exc}") from None
