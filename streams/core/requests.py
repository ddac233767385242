"""What people and the product system ask of a row: commands, catalogue items, and a changed policy."""

from __future__ import annotations

from streams.core.numbers import chains, numbers
from streams.core.step import APPLIED, Books, Refused, Verdict, recognise, remembered
from streams.core.stock import At, ItemFacts, Stock
from topics.events import Acknowledge, Command, DiscrepancyCommand, Item, Reopen, Resolve, Resync
from topics.policy import Policy


def command(stock: Stock, asked: Command, at: At, books: Books) -> Verdict:
    """Let a command meet the row of its SKU. A command that came too late (closed meanwhile) is applied and idle."""
    entry = remembered(asked, at)
    verdict = recognise(entry, books.memory) or _obey(stock, asked, at, books)
    if isinstance(verdict, Refused):
        books.memory.void(at.topic, at.offset)
    else:
        books.memory.add(at.topic, entry)
    return verdict


def _obey(stock: Stock, asked: Command, at: At, books: Books) -> Verdict:
    if isinstance(asked, Resync):
        return _resync(stock, asked, books.policy)
    if not isinstance(asked, DiscrepancyCommand):
        return Refused("field", f"{type(asked).__name__} is no command that this worker knows")
    issue = next((i for i in stock.issues.values() if i.id == asked.discrepancy_id and i.state != "pending"), None)
    if issue is None:
        return Refused("field", f"{asked.sku} has no discrepancy {asked.discrepancy_id}")
    desk, now = books.desk, at.timestamp_ms
    match asked:
        case Acknowledge():
            desk.acknowledge(stock, issue, asked.note, now)
        case Resolve():
            desk.resolve(stock, issue, asked.by, asked.note, now)
        case Reopen():
            desk.reopen(stock, issue, asked.note, now)
    return APPLIED


def _resync(stock: Stock, asked: Resync, policy: Policy) -> Verdict:
    if asked.channel != "all" and asked.channel not in policy.channels:
        return Refused("field", f"channel {asked.channel} is not in the policy")
    if not stock.movements:
        return Refused("field", f"{asked.sku} has no stock to publish")
    stock.version += 1
    return APPLIED


def item_facts(item: Item) -> ItemFacts:
    """What the stock rules need of an item."""
    value = item.unit_value
    return ItemFacts(
        item.title,
        value.amount if value else None,
        value.currency if value else None,
        item.class_,
        item.safety_stock,
        tuple(sorted(item.listings)),
    )


def set_item(stock: Stock, facts: ItemFacts | None) -> bool:
    """Take over a catalogue item, or its removal (None). True: it changed something, and the version rose."""
    if stock.item == facts:
        return False
    stock.item = facts
    stock.version += 1
    return True


def set_policy(stock: Stock, old: Policy, new: Policy) -> bool:
    """Another policy counts from now on. True: it changes what channels may show, and the version rose."""
    for name in [name for name in stock.channels if name not in new.channels]:
        del stock.channels[name]
    if not stock.movements:
        return False
    found = numbers(stock)
    if chains(stock, found, old) == chains(stock, found, new):
        return False
    stock.version += 1
    return True
