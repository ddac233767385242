"""The last page: what went through, what was found, and where to look next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.local.demo import figures
from deploy.local.demo.check import in_words, key_of
from deploy.local.demo.incidents import Incident
from deploy.local.demo.observe import latencies_ms
from deploy.local.demo.play import Play, url
from topics.catalogue import SYNC

EXAMPLES = ("count_variance", "channel_drift", "transfer_short")
FIRST_DIFFERENCES = 12


def final_table(console: Console, play: Play) -> None:
    """All that point 7 of the demo promises, in one table."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    table.add_row("records read", _balance(play))
    table.add_row("SKUs", f"{len(play.observer.seen.sync)}, each as plain arithmetic says")
    table.add_row("updates", _updates(play))
    for channel in play.channels:
        table.add_row(channel, _channel(play, channel))
        table.add_row("", f"[dim]{_way(play, channel)}[/dim]")
    table.add_row("discrepancies", _discrepancies(play))
    for line in _examples(play):
        table.add_row("", f"[dim]{line}[/dim]")
    table.add_row("dead letters", _letters(play))
    table.add_row("lag", f"{sum(play.measured.lags.values())} records on all input topics")
    table.add_row("checks", _checks(play))
    console.print()
    console.print(table, highlight=False)


def _balance(play: Play) -> str:
    worker = play.measured.worker
    read = worker.read(figures.MOVED)
    ended = {outcome: worker.total(outcome, figures.MOVED) for outcome in figures.OUTCOMES}
    sign = "=" if read == sum(ended.values()) else "≠"
    words = " + ".join(f"{count:,} {outcome.replace('_', '-')}" for outcome, count in ended.items())
    since = " (since the worker's restart)" if play.measured.restarts else ""
    return f"{read:,} {sign} {words}{since}"


def _updates(play: Play) -> str:
    updates, movements = play.observer.seen.updates, len(play.script.moves)
    return f"{updates:,} records of {SYNC.name} told all that {movements:,} movements changed"


def _channel(play: Play, channel: str) -> str:
    status = play.measured.sinks.get(channel, {})
    if not status:
        return "no figures"
    requests = sum(status["requests"].values())
    parts = [
        f"{requests:,} requests",
        f"{status['retries']:,.0f} retries",
        f"{status['throttles']:,.0f} throttles",
        f"{status['updates']['acked']:,} updates confirmed",
        f"{status['updates']['superseded']:,} superseded",
    ]
    return ", ".join(parts)


def _way(play: Play, channel: str) -> str:
    times = latencies_ms(play.observer.seen, channel)
    if not times:
        return "no movement was followed to the channel"
    p50, p99 = (times[min(len(times) - 1, len(times) * share // 100)] / 1000 for share in (50, 99))
    return f"from movement to channel: p50 {p50:.2f} s, p99 {p99:.2f} s (of {len(times):,} followed)"


def _discrepancies(play: Play) -> str:
    records = list(play.observer.seen.discrepancies.values())
    states = Counter(record["status"] for record in records)
    kinds = Counter(record["kind"] for record in records)
    known = len(play.script.incidents)
    words = ", ".join(f"{status} {n}" for status, n in sorted(states.items()))
    of_kinds = ", ".join(f"{kind} {n}" for kind, n in sorted(kinds.items()))
    return f"{len(records)} for {known} known causes ({words})\n[dim]{of_kinds}[/dim]"


def _examples(play: Play) -> list[str]:
    records = {key_of(record): record for record in play.observer.seen.discrepancies.values()}
    first: dict[str, Incident] = {}
    for incident in play.script.incidents:
        if incident.key in records:
            first.setdefault(incident.kind, incident)
    return [_told(first[kind], records[first[kind].key]) for kind in EXAMPLES if kind in first]


def _told(incident: Incident, record: Mapping[str, Any]) -> str:
    return f"- {in_words(incident.key)}: {incident.why} ({record['severity']}, {record['status']})"


def _letters(play: Play) -> str:
    reasons = Counter(letter.reason for letter in play.observer.seen.letters)
    words = ", ".join(f"{reason} {n}" for reason, n in sorted(reasons.items()))
    return f"{sum(reasons.values())}, each foreseen and each once\n[dim]{words}[/dim]"


def _checks(play: Play) -> str:
    seen = play.observer.seen
    return (
        f"no version went back in {seen.updates:,} sync updates, no (SKU, version) came twice;\n"
        f"both channels show what the table says, and the table what plain arithmetic says"
    )


def where_to_look(console: Console, play: Play, folder: str, bootstrap: str, *, kept: bool) -> None:
    """What a curious person does next."""
    console.print()
    if kept:
        lines = [
            f"worker     {url(play.ports.worker)}/   {url(play.ports.worker)}/metrics",
            *(f"{c:<10} {url(play.ports.sinks[c])}/api/status" for c in play.channels),
            f"Kafka      export KAFKA_BOOTSTRAP={bootstrap}",
            "           python -m streams explain RETRO-CLOCK      why a channel shows what it shows",
            "           python -m streams discrepancies            what people have to look at",
            "           python -m topics dlq list                  what could not be processed, and why",
        ]
    else:
        lines = [
            'look around while it runs     make demo ARGS="--keep"',
            'kill -9 in the middle of it   make demo ARGS="--kill-worker"',
            "how it is built               README.md; deploy/local/demo/policy.yaml is the policy it used",
        ]
    for line in [*lines, f"logs       {folder}"]:
        console.print(f"  {line}", highlight=False, style="dim", soft_wrap=True)
    console.print()


def differences(console: Console, wrong: list[str]) -> None:
    """What is not as it must be: the first few, in words."""
    console.print(f"\n[bold red]{len(wrong)} things are not as they must be[/bold red]")
    for line in wrong[:FIRST_DIFFERENCES]:
        console.print(f"  - {line}", markup=False, highlight=False, soft_wrap=True)
    if len(wrong) > FIRST_DIFFERENCES:
        console.print(f"  ... and {len(wrong) - FIRST_DIFFERENCES} more")
