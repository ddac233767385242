"""One file for each kind of channel, found by its name: `kind: webhook` in the policy is `channels/webhook.py`.

A file offers `build(name, endpoint) -> Channel`; it raises SettingsError where the endpoint lacks what it needs.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from sinks.channel import Channel
from sinks.settings import Endpoint, SettingsError

Build = Callable[[str, Endpoint], Channel]


def kinds() -> list[str]:
    """The kinds of channel that there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def build(kind: str, name: str, endpoint: Endpoint) -> Channel:
    """The channel of this kind; raises SettingsError for a kind that does not exist."""
    if kind not in kinds():
        raise SettingsError(f"channels.{name}.kind: {kind!r} is none of {', '.join(kinds())}")
    make: Build = importlib.import_module(f"{__name__}.{kind}").build
    return make(name, endpoint)
