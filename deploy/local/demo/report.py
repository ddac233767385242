"""The last page: what went through, what was found, and where to look next."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.local.demo import figures
from deploy.local.demo.check import in_words, key_of
from deploy.local.demo.incidents import Incident
from deploy.local.demo.observe import latencies_ms
from deploy.local.demo.play import Play, url

EXAMPLES = ("count_variance", "channel_drift", "transfer_short")
FIRST_DIFFERENCES = 12


def last_page(console: Console, play: Play, wrong: list[str], folder: Path, *, kept: bool, seconds: float) -> None:
    """Everything, and one last line."""
    console.print()
    console.print(_table(play, fine=not wrong), highlight=False)
    if wrong:
        _differences(console, wrong)
    _where_to_look(console, play, folder, kept=kept)
    console.print(f"[dim]{seconds:.0f} s in all[/dim]", highlight=False)
    console.print("[bold red]NOT CONVERGED[/bold red]" if wrong else "[bold green]CONVERGED[/bold green]")


def _table(play: Play, *, fine: bool) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    seen = play.observer.seen
    table.add_row("records read", _balance(play))
    table.add_row("SKUs", f"{len(seen.sync)}{', each as plain arithmetic over all movements says' if fine else ''}")
    table.add_row("sync updates", _updates(play, fine=fine))
    for channel in play.channels:
        table.add_row(channel, _channel(play, channel, fine=fine))
    table.add_row("discrepancies", _discrepancies(play))
    for line in _examples(play):
        table.add_row("", f"[dim]{line}[/dim]")
    table.add_row("dead letters", _letters(play, fine=fine))
    table.add_row("lag", f"{sum(play.measured.lags.values())} records on all input topics")
    if play.measured.restarts:
        away = f"the worker was away for {play.measured.out_of_service_s:.1f} s"
        table.add_row("kill -9", f"{away}, and nothing was lost" if fine else away)
    return table


def _balance(play: Play) -> str:
    worker = play.measured.worker
    read = worker.read(figures.MOVED)
    ended = {outcome: worker.total(outcome, figures.MOVED) for outcome in figures.OUTCOMES}
    sign = "=" if read == sum(ended.values()) else "≠"
    words = " + ".join(f"{count:,} {outcome.replace('_', '-')}" for outcome, count in ended.items())
    since = " (since the worker's restart)" if play.measured.restarts else ""
    return f"{read:,} {sign} {words}{since}"


def _updates(play: Play, *, fine: bool) -> str:
    words = f"{play.observer.seen.updates:,} for {len(play.script.moves):,} movements"
    return f"{words}; no version went back, and none came twice" if fine else words


def _channel(play: Play, channel: str, *, fine: bool) -> str:
    status, met = play.measured.sinks.get(channel), play.measured.met.get(channel)
    if not status or not met:
        return "no figures"
    counts = (
        f"{sum(status['requests'].values()):,} requests, {status['retries']:,.0f} retries, "
        f"{status['throttles']:,.0f} throttles; {status['updates']['acked']:,} updates confirmed, "
        f"{status['updates']['superseded']:,} superseded by newer ones"
    )
    faults = ", ".join(f"{name} {n}" for name, n in sorted(met["faults"].items()))
    once = ", yet nothing took effect twice" if fine else ""
    shows = "shows what the table says of every SKU\n" if fine else ""
    return f"{shows}{counts}\n[dim]met faults: {faults}{once}\n{_way(play, channel)}[/dim]"


def _way(play: Play, channel: str) -> str:
    times = latencies_ms(play.observer.seen, channel)
    if not times:
        return "no movement was followed to the channel"
    p50, p99 = (times[min(len(times) - 1, len(times) * share // 100)] / 1000 for share in (50, 99))
    return f"from movement to channel: p50 {p50:.2f} s, p99 {p99:.2f} s ({len(times):,} were followed)"


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


def _letters(play: Play, *, fine: bool) -> str:
    reasons = Counter(letter.reason for letter in play.observer.seen.letters)
    words = ", ".join(f"{reason} {n}" for reason, n in sorted(reasons.items()))
    exactly = ", exactly those that were foreseen, each once" if fine else ""
    return f"{sum(reasons.values())}{exactly}\n[dim]{words}[/dim]"


def _where_to_look(console: Console, play: Play, folder: Path, *, kept: bool) -> None:
    console.print("\n[bold]where to look next[/bold]")
    python = _python()
    if kept:
        lines = [
            f"{url(play.ports.worker)}/{'':<23} the worker's page; /metrics, /api/discrepancies",
            *(f"{url(play.ports.sinks[c])}/api/status{'':<13} the sink of {c}" for c in play.channels),
            f"export KAFKA_BOOTSTRAP={play.bootstrap:<22} and then, in this folder:",
            f"{f'{python} -m streams explain RETRO-CLOCK':<46} why a channel shows what it shows",
            f"{f'{python} -m streams discrepancies':<46} what people have to look at",
            f"{f'{python} -m topics dlq list':<46} what could not be processed, and why",
            "everything is left running: Ctrl-C stops it",
        ]
    else:
        lines = [
            f"{'make demo ARGS=--keep':<28} leave it running, and look around",
            f"{'make demo ARGS=--kill-worker':<28} kill -9 of the worker in the middle of it: the same numbers",
            f"{'README.md':<28} what it does, and how",
        ]
    for line in [*lines, f"{folder}  logs of this run"]:
        console.print(f"  {line}", highlight=False, style="dim", soft_wrap=True)


def _python() -> str:
    """How a person calls this Python from here."""
    path, here = Path(sys.executable), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _differences(console: Console, wrong: list[str]) -> None:
    """What is not as it must be: the first few, in words."""
    what = "thing is" if len(wrong) == 1 else "things are"
    console.print(f"\n[bold red]{len(wrong)} {what} not as it must be[/bold red]")
    for line in wrong[:FIRST_DIFFERENCES]:
        console.print(f"  - {line}", markup=False, highlight=False, soft_wrap=True)
    if len(wrong) > FIRST_DIFFERENCES:
        console.print(f"  ... and {len(wrong) - FIRST_DIFFERENCES} more")
