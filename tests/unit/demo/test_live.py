"""What a person sees while the demo runs."""

import io
import time
from typing import Any

import pytest
from rich.console import Console

from deploy.local.demo.live import Picture, View, channel_state
from deploy.local.demo.observe import Seen


def status(**fields: Any) -> dict[str, Any]:
    known = {"state": "running", "pending": 0, "requests": {"2xx": 1200}, "retries": 31, "throttles": 12}
    return {**known, **fields}


@pytest.fixture
def picture() -> Picture:
    seen = Seen(movements=81_200, updates=9000, sync={"OAK-STOOL": {}})
    seen.discrepancies = {
        "a": {"kind": "count_variance", "status": "opened"},
        "b": {"kind": "oversold", "status": "resolved"},
        "c": {"kind": "count_variance", "status": "acknowledged"},
    }
    sinks = {"shopify": status(state="waiting", pending=12), "outlet": status()}
    return Picture("feed", 128_268, seen, sinks, known=21)


def shown(picture: Picture, *, terminal: bool) -> str:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=110, color_system=None)
    with View(console, picture, time.monotonic()) as view:
        view.look()
        view.say("a person types 45")
    return screen.getvalue()


def test_a_terminal_shows_a_panel_and_keeps_what_was_said(picture: Picture) -> None:
    text = shown(picture, terminal=True)
    for words in ("81,200 of 128,268", "12 to write, throttled", "1,200 requests, 31 retries, 12 throttles"):
        assert words in text
    assert "2 open, 1 settled; 21 have a known cause" in text
    assert "count_variance 2" in text
    assert "a person types 45" in text


def test_elsewhere_it_is_one_line(picture: Picture) -> None:
    lines = shown(picture, terminal=False).splitlines()
    assert len(lines) == 2
    assert "feed: 81,200 of 128,268 in" in lines[0]
    assert "shopify: 12 to write, throttled  outlet: up to date  discrepancies: 2 open, 1 settled" in lines[0]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "starting"),
        (status(state="stopped", reason="401"), "stopped: 401"),
        (status(pending=3), "3 to write"),
        (status(), "up to date"),
    ],
)
def test_a_channel_in_a_few_words(given: dict[str, Any], says: str) -> None:
    assert channel_state(given) == says
