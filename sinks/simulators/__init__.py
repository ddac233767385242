"""Simulators of channel APIs: real HTTP, strict about what they take, with faults by a seed. For tests and the demo.

One file for each kind, found by its name; a file offers `build(secrets, faults) -> Simulator`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from sinks.simulators.base import Faults, Secrets, Simulator

_NOT_A_KIND = {"base"}
Build = Callable[[Secrets, Faults], Simulator]


def kinds() -> list[str]:
    """The kinds that can be simulated."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _NOT_A_KIND)


def build(kind: str, secrets: Secrets, faults: Faults) -> Simulator:
    """The simulator of this kind; raises ValueError for one that does not exist."""
    if kind not in kinds():
        raise ValueError(f"{kind!r} is none of {', '.join(kinds())}")
    make: Build = importlib.import_module(f"{__name__}.{kind}").build
    return make(secrets, faults)
