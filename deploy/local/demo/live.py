"""The live view: a quiet panel on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.local.demo.observe import Seen

LINE_EVERY_S = 4.0
DRAW_EVERY_S = 0.25
RATE_OVER_S = 3.0


@dataclass(slots=True)
class Picture:
    """What the view shows. The director fills it."""

    stage: str = "starting"
    total: int = 0
    seen: Seen = field(default_factory=Seen)
    sinks: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    known: int = 0

    def open_and_settled(self) -> tuple[int, int]:
        """Discrepancies by whether they are settled."""
        states = Counter(r["status"] == "resolved" for r in list(self.seen.discrepancies.values()))
        return states[False], states[True]


def channel_state(status: Mapping[str, Any] | None) -> str:
    """One sink in a few words."""
    if not status:
        return "starting"
    if status["state"] == "stopped":
        return f"stopped: {status['reason']}"
    if not status["pending"]:
        return "up to date"
    words = f"{status['pending']:,} to write"
    return f"{words}, throttled" if status["state"] == "waiting" else words


class View:
    """Draws the picture while its block runs."""

    def __init__(self, console: Console, picture: Picture, began: float) -> None:
        self._console = console
        self._picture = picture
        self._began = began
        self._points: deque[tuple[float, int]] = deque()
        self._told = 0.0
        self._drawn = 0.0
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the panel away; what was said stays."""
        if self._live:
            self._live.stop()

    def say(self, words: str) -> None:
        """A line that stays."""
        self._console.print(f"[dim]{self._seconds():5.1f} s[/dim]  {words}", highlight=False)

    def look(self) -> None:
        """Draw again, when it is time."""
        now = time.monotonic()
        if now - self._drawn < DRAW_EVERY_S:
            return
        self._drawn = now
        self._points.append((now, self._picture.seen.movements))
        while self._points[0][0] < now - RATE_OVER_S:
            self._points.popleft()
        if self._live:
            self._live.start()  # once; until then, what is said needs no panel below it
            self._live.update(self._panel(), refresh=True)
        elif now - self._told >= LINE_EVERY_S:
            self._told = now
            self._console.print(self._line(), highlight=False, markup=False, soft_wrap=True)

    def rate(self) -> float:
        """Movements a second, of late."""
        (then, before), (now, after) = self._points[0], self._points[-1]
        return (after - before) / (now - then) if now > then else 0.0

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _line(self) -> str:
        picture, seen = self._picture, self._picture.seen
        is_open, settled = picture.open_and_settled()
        count = f"{seen.movements:,} of {picture.total:,} in, {self.rate():,.0f}/s"
        parts = [
            f"{self._seconds():5.1f} s  {picture.stage}: {count}",
            f"{len(seen.sync)} SKUs",
            *(f"{name}: {channel_state(status)}" for name, status in picture.sinks.items()),
            f"discrepancies: {is_open} open, {settled} settled",
            f"dead letters: {len(seen.letters)}",
        ]
        return "  ".join(parts)

    def _panel(self) -> Panel:
        picture, seen = self._picture, self._picture.seen
        is_open, settled = picture.open_and_settled()
        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="dim", justify="right", min_width=14)
        rows.add_column()
        bar = ProgressBar(total=max(1, picture.total), completed=seen.movements, width=40)
        rows.add_row("movements in", bar)
        rows.add_row("", f"{seen.movements:,} of {picture.total:,}, {self.rate():,.0f}/s")
        rows.add_row("SKUs", f"{len(seen.sync)}, told in {seen.updates:,} sync updates")
        for name, status in picture.sinks.items():
            rows.add_row(name, self._channel(status))
        kinds = Counter(r["kind"] for r in list(seen.discrepancies.values()) if r["status"] != "resolved")
        rows.add_row("discrepancies", f"{is_open} open, {settled} settled; {picture.known} have a known cause")
        if kinds:
            rows.add_row("", Text(", ".join(f"{kind} {n}" for kind, n in sorted(kinds.items())), style="dim"))
        rows.add_row("dead letters", str(len(seen.letters)))
        title = f"{picture.stage}  ·  {self._seconds():.0f} s"
        return Panel(
            Group(rows), title=title, title_align="left", border_style="cyan", width=min(100, self._console.width)
        )

    def _channel(self, status: Mapping[str, Any]) -> Text:
        state = channel_state(status)
        style = "green" if state == "up to date" else "yellow"
        text = Text("● ", style=style).append(state, style="default")
        if status:
            calls = sum(status["requests"].values())
            more = f"   {calls:,} requests, {status['retries']:.0f} retries, {status['throttles']:.0f} throttles"
            text.append(more, style="dim")
        return text
