"""Numbers that explain themselves: a row in words and figures, for `stock` and `explain`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from streams.core.effects import effects
from streams.core.numbers import Chain, Numbers, chains
from streams.core.stock import TOTALS, Stock, moment
from streams.reader import Entry
from topics.catalogue import BY_NAME
from topics.codec import Bad, decode
from topics.events import Counted, Event, Report
from topics.policy import Policy
from topics.refusals import printable

MAX_SHOWN = 64


def shown_text(text: str) -> str:
    """Text from outside, harmless for a terminal and for rich's markup."""
    return escape(printable(text, MAX_SHOWN))


def headline(stock: Stock, found: Numbers) -> str:
    """One line: what there is of it."""
    return (
        f"[bold]{shown_text(stock.sku)}[/bold]  version {stock.version}: {found.on_hand} on hand "
        f"({found.sellable} sellable, {found.quality_control} in quality control, {found.damaged} damaged), "
        f"{found.reserved} reserved, [bold]{found.available} available[/bold], {found.in_transit} in transit"
    )


def channel_lines(stock: Stock, found: Numbers, policy: Policy) -> Iterator[str]:
    """How each channel's quantity came about, and what the channel confirmed."""
    for name, chain in chains(stock, found, policy).items():
        yield f"  {shown_text(name)}: {chain_words(chain, found)}{_confirmed(stock, name)}"


def chain_words(chain: Chain, found: Numbers) -> str:
    """The chain of numbers of one channel, in the order of the contract."""
    steps = [f"{chain.pool} in its pool"]
    if found.reserved:
        steps.append(f"- {found.reserved} reserved")
    if chain.safety_stock:
        steps.append(f"- {chain.safety_stock} safety stock")
    left = max(0, chain.pool - found.reserved - chain.safety_stock)
    if chain.percent != 100:
        steps.append(f"= {left}, of that {chain.percent} %")
    if chain.cap is not None:
        steps.append(f"at most {chain.cap}")
    return f"{' '.join(steps)} = [bold]{chain.quantity}[/bold]"


def _confirmed(stock: Stock, name: str) -> str:
    state = stock.channels.get(name)
    if state is None or not state.confirmed:
        return "; nothing confirmed yet"
    version, quantity, _ = state.confirmed[-1]
    return f"; the channel confirmed {quantity} (version {version})"


def balances_table(stock: Stock) -> Table:
    """Balances by place, with the count that each stands on."""
    table = Table(title="balances", title_justify="left", show_edge=False)
    for column in ("location", "condition", "units", "last count"):
        table.add_column(column, justify="right" if column == "units" else "left")
    for place, balance in sorted(stock.balances.items()):
        count = balance.count
        words = ""
        if count is not None:
            off = count.quantity - count.expected
            words = f"{count.quantity} at {moment(count.at):%Y-%m-%d %H:%M:%S}, expected {count.expected} ({off:+d})"
        table.add_row(place.location, place.condition, str(balance.quantity), words)
    return table


def sources_table(stock: Stock) -> Table:
    """The sub-ledger of each source: what it said in all."""
    table = Table(title="said by", title_justify="left", show_edge=False)
    table.add_column("source")
    ledgers = stock.sources.values()
    columns = [name for name in ("applied", *TOTALS) if any(getattr(ledger, name) for ledger in ledgers)]
    for column in columns:
        table.add_column(column, justify="right")
    for name, ledger in sorted(stock.sources.items()):
        table.add_row(name, *(str(getattr(ledger, column) or "") for column in columns))
    return table


def movements_table(stock: Stock, entries: Sequence[Entry]) -> Table:
    """The last movements with their effect on balances."""
    table = Table(title="last movements", title_justify="left", show_edge=False)
    for column in ("happened", "source", "event", "what", "effect"):
        table.add_column(column)
    told: set[tuple[str, str]] = set()
    for entry in entries:
        event = decode(BY_NAME[entry.topic], entry.key, entry.value, entry.timestamp)
        if isinstance(event, Bad):
            table.add_row("", "", "", f"dead letter: {event.reason}", "none")
        elif isinstance(event, Event) and not isinstance(event, Report):
            kind = f"{getattr(event, 'type', '')} {getattr(event, 'quantity', '')}"
            when = f"{event.occurred_at:%Y-%m-%d %H:%M:%S}"
            identity = (event.source, event.event_id)
            effect = "none: this event id came before" if identity in told else effect_words(stock, event)
            told.add(identity)
            table.add_row(when, event.source, shown_text(event.event_id), kind, effect)
    return table


def effect_words(stock: Stock, event: Event) -> str:
    """What a movement does to balances, and whether a count has it already."""
    if isinstance(event, Counted):
        return f"{event.location}/{event.condition} set to {event.quantity} as of its time"
    moved = effects(event)  # type: ignore[arg-type]
    words = []
    for place, units in moved:
        balance = stock.balances.get(place)
        count = balance.count if balance is not None else None
        counted = count is not None and event.occurred_at <= moment(count.at)
        words.append(f"{place} {units:+d}{' (already in the count)' if counted else ''}")
    return ", ".join(words) or "no balance, only totals"
