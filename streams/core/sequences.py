"""Which numbers of a source have come, per SKU (contract section 2, `sequence`)."""

from __future__ import annotations

from typing import Literal

from streams.core.stock import MAX_HOLES, Sequence

LOWERS_BASELINE_WITHIN = 64
"""A number this close below the first one seen was merely late, and lowers the baseline (contract section 2)."""

Finding = Literal["next", "seen", "behind"]


def look(state: Sequence | None, number: int) -> Finding:
    """What a number with a new event id is: new, one that has come before, or from before all that we know."""
    if state is None or number > state.high:
        return "next"
    if number < state.base:
        return "next" if state.base - number <= LOWERS_BASELINE_WITHIN else "behind"
    return "next" if any(low <= number <= high for low, high in state.holes) else "seen"


def note(state: Sequence | None, number: int) -> Sequence:
    """Take in a number that `look` found to be next; returns the state, made when there was none."""
    if state is None:
        return Sequence(number, number)
    if number > state.high:
        if number > state.high + 1:
            state.holes.append((state.high + 1, number - 1))
        state.high = number
    elif number < state.base:
        if number < state.base - 1:
            state.holes.insert(0, (number + 1, state.base - 1))
        state.base = number
    else:
        _fill(state.holes, number)
    if len(state.holes) > MAX_HOLES:  # bounded: what lies below the oldest hole counts as before the baseline
        state.base = state.holes.pop(0)[1] + 1
    return state


def _fill(holes: list[tuple[int, int]], number: int) -> None:
    for i, (low, high) in enumerate(holes):
        if low <= number <= high:
            holes[i : i + 1] = [(a, b) for a, b in ((low, number - 1), (number + 1, high)) if a <= b]
            return
