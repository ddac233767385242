"""Random histories of one SKU, in the trade's words: what each source says, in its own order; how they interleave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from hypothesis import strategies as st

from tests.builders import events as say
from tests.builders.events import AMS, BER, CLOCK
from topics.events import Event

T = TypeVar("T")

places = st.sampled_from((AMS, BER))
conditions = st.sampled_from(("sellable", "quality_control", "damaged"))
units = st.integers(1, 9)
references = st.sampled_from(("T-1", "T-2"))
stamps = st.integers(0, 59).map(lambda minute: f"10:{minute:02}")

# One maker per kind of movement; what is common (time, source, id, sequence) is given when it is called.
Maker = Callable[..., Event]


def _maker(
    build: Maker, *parts: st.SearchStrategy[object], **named: st.SearchStrategy[object]
) -> st.SearchStrategy[Maker]:
    return st.builds(
        lambda args, kwargs: lambda **common: build(CLOCK, *args, **kwargs, **common),
        st.tuples(*parts),
        st.fixed_dictionaries(named),
    )


changes = st.permutations(("sellable", "quality_control", "damaged"))
WAREHOUSE = (
    _maker(say.received, units, location=places, condition=conditions),
    _maker(say.shipped, units, location=places),
    _maker(say.adjusted, st.integers(-9, 9).filter(bool), location=places, condition=conditions),
    changes.flatmap(lambda c: _maker(say.reclassified, units, st.just(c[0]), st.just(c[1]), location=places)),
    _maker(say.transfer_sent, units, references, location=st.just(AMS)),
    _maker(say.transfer_received, units, references, location=st.just(BER)),
)
COUNTS = (_maker(say.counted, st.integers(0, 30), location=places, condition=conditions),)
STOREFRONT = (_maker(say.sold, units), _maker(say.cancelled, units))
RETURNS = (_maker(say.returned, units, st.sampled_from(("restock", "inspect", "damaged", "missing")), location=places),)

Streams = dict[str, list[Event]]


@st.composite
def streams(draw: st.DrawFn, *, counts: bool = True, most: int = 8) -> Streams:
    """What each of four sources says, in its own order; some number their events."""
    kinds = {
        "wms": WAREHOUSE + (COUNTS if counts else ()),
        "scanner": COUNTS if counts else WAREHOUSE[:1],
        "shop": STOREFRONT,
        "rma": RETURNS,
    }
    told: Streams = {}
    for source, makers in kinds.items():
        numbered = draw(st.booleans())
        chosen = draw(st.lists(st.tuples(st.one_of(*makers), stamps), max_size=most))
        told[source] = [
            make(at=at, source=source, event_id=f"{source}-{n}", sequence=n if numbered else None)
            for n, (make, at) in enumerate(chosen)
        ]
    return told


@st.composite
def interleaved(draw: st.DrawFn, told: dict[str, Sequence[T]]) -> list[T]:
    """One arrival order: that of each source is kept."""
    turns = draw(st.permutations([source for source, said in told.items() for _ in said]))
    left = {source: iter(said) for source, said in told.items()}
    return [next(left[source]) for source in turns]


@st.composite
def with_resends(draw: st.DrawFn, arrivals: list[T]) -> list[T]:
    """Some records come again, any time later."""
    out = list(arrivals)
    if not arrivals:
        return out
    for record in draw(st.lists(st.sampled_from(arrivals), max_size=6)):
        first = out.index(record)
        out.insert(draw(st.integers(first + 1, len(out))), record)
    return out
