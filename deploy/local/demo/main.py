"""`python -m deploy.local demo`: options, the order of things, and one last line."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import duckdb
import typer
from confluent_kafka import KafkaException
from rich.console import Console

from deploy.local.cluster import Cluster, local_kafka
from deploy.local.demo import report, retail, script
from deploy.local.demo.figures import records_in
from deploy.local.demo.live import Picture, View
from deploy.local.demo.play import APP_ID, Play
from deploy.local.demo.programs import start_channel, start_worker
from deploy.local.demo.stack import DemoError, Stack, clean_environment
from deploy.local.errors import LocalKafkaError
from topics.admin import Kafka, TopicsError
from topics.catalogue import all_topics
from topics.settings import KafkaSettings, SettingsError

USUAL_SCALE, USUAL_FEED_S = 0.01, 22.0
MOST_PER_SECOND = 8_000
KEPT_RUNS = 5
PLAIN_WIDTH = 118
EXIT_OK, EXIT_DIFFERS, EXIT_REFUSED, EXIT_INTERRUPTED = 0, 1, 2, 130
BOOTSTRAP = "KAFKA_BOOTSTRAP"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said."""

    scale: float
    seed: int
    kill_worker: bool
    keep: bool


class _Interrupted(BaseException):
    """Ctrl-C or SIGTERM."""


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")


def run(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    result = app(args=list(arguments), prog_name="python -m deploy.local demo", standalone_mode=False)
    return int(result or 0)


@app.command(
    epilog="""**Examples**

The whole of it, once: `make demo`

The same with a kill -9 in the middle: `make demo ARGS="--kill-worker"`

On a Kafka of your own, with empty topics: `KAFKA_BOOTSTRAP=localhost:9092 make demo`"""
)
def demo(
    scale: Annotated[
        float, typer.Option(min=0.01, max=1, help="TPC-DS scale factor; 0.01 is about 50,000 sales lines.")
    ] = USUAL_SCALE,
    seed: Annotated[int, typer.Option(help="Draws what goes wrong, where and when.")] = 1,
    kill_worker: Annotated[
        bool, typer.Option("--kill-worker", help="kill -9 of the worker in the middle of the feed, and a restart.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end, until Ctrl-C.")] = False,
) -> int:
    """Send five years of real retail data through the whole pipeline in half a minute, and check every number.

    Starts an embedded Kafka (or uses the one of KAFKA_BOOTSTRAP), one worker, two channel sinks and the simulated
    channels, which fail now and then. Seven source systems speak at once, out of step, and say a tenth of it twice.
    What goes wrong is known beforehand: exactly that must be found. Needs no network once the cache is warm.

    The last line is CONVERGED and the exit status 0 when everything is as it must be. Exit status: 1 something
    differs or failed, 2 refused configuration.
    """
    console = Console() if Console().is_terminal else Console(width=PLAIN_WIDTH)
    options = Options(scale, seed, kill_worker, keep)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return _demo(console, options)
    except SettingsError as error:
        console.print(f"refused: {error}", markup=False, highlight=False, soft_wrap=True)
        return EXIT_REFUSED
    except (DemoError, LocalKafkaError, TopicsError, ValueError, duckdb.Error, KafkaException, OSError) as error:
        console.print(f"\nerror: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return EXIT_DIFFERS
    except _Interrupted:
        console.print("\nstopped", style="dim")
        return EXIT_INTERRUPTED


def _demo(console: Console, options: Options) -> int:
    began = time.monotonic()
    folder = new_folder()
    console.print("\n[bold]stockstream[/bold]  five years of a retailer, sent through Kafka in half a minute\n")
    doing = "using the Kafka of KAFKA_BOOTSTRAP" if os.environ.get(BOOTSTRAP) else "starting Kafka"
    console.print(f"  [dim]{doing}, while the data is made ready (the first time takes longer)[/dim]\n")
    with ExitStack() as closing:
        thread = closing.enter_context(ThreadPoolExecutor(1))
        written = thread.submit(_write, options)
        kafka = closing.enter_context(_kafka(folder))
        stack = closing.enter_context(_stack(folder, kafka))
        data, plan, feed_s = written.result()
        _introduce(console, plan, data, kafka)
        picture = Picture(known=len(plan.incidents))
        view = closing.enter_context(View(console, picture, began))
        play = Play(stack, kafka, plan, data, view)
        closing.callback(play.observer.stop)
        view.say("Kafka runs; topics, the worker, two sinks and their simulated channels are next")
        play.start(lambda p: _start_programs(stack, p, options.seed), picture)
        view.say(f"everything runs, {len(plan.feed)} sources begin to speak")
        play.feed(feed_s, (lambda: start_worker(stack, play.ports)) if options.kill_worker else None)
        view.say("the sources have said everything")
        wrong = play.settle()
        view.close()
        if not options.keep:
            wrong += stack.stop()
        report.last_page(console, play, wrong, folder, kept=options.keep, seconds=time.monotonic() - began)
        if options.keep:
            _wait_for_interrupt(play)
        return EXIT_DIFFERS if wrong else EXIT_OK


def _wait_for_interrupt(play: Play) -> None:
    try:
        while True:
            play.look_after()
            time.sleep(0.3)
    except _Interrupted:
        return


def _write(options: Options) -> tuple[retail.Retail, script.Script, float]:
    data = retail.load(options.scale)
    lines = 2 * len(data.sales) + len(data.returns)
    feed_s = max(USUAL_FEED_S, 1.25 * lines / MOST_PER_SECOND)
    return data, script.write(data, options.seed, int(feed_s * 1000), int(time.time() * 1000)), feed_s


def _start_programs(stack: Stack, play: Play, seed: int) -> None:
    start_worker(stack, play.ports)
    for channel in play.channels:
        start_channel(stack, play.ports, channel, play.policy.channels[channel].kind, seed)


def _introduce(console: Console, plan: script.Script, data: retail.Retail, kafka: KafkaSettings) -> None:
    sales, returns, products = len(data.sales), len(data.returns), len(data.products)
    lines = {
        "data": f"TPC-DS: {sales:,} sales lines and {returns:,} returns of {products:,} products",
        "feed": f"{len(plan.moves):,} movements in {plan.records:,} records of {len(plan.feed)} source systems",
        "trouble": f"{plan.resent:,} records sent twice, {len(plan.buried)} that must be refused, "
        f"{len(plan.incidents)} incidents that must be found",
        "Kafka": kafka.bootstrap,
    }
    for name, words in lines.items():
        console.print(f"  [dim]{name:<8}[/dim] {words}", highlight=False)
    console.print()


@contextmanager
def _kafka(folder: Path) -> Iterator[KafkaSettings]:
    """The reader's own cluster where KAFKA_BOOTSTRAP names one, else the embedded one."""
    if os.environ.get(BOOTSTRAP):
        settings = KafkaSettings.load()
        _refuse_used(settings)
        yield settings
        return
    with local_kafka(quiet=False) as cluster:
        try:
            yield KafkaSettings.load(bootstrap=cluster.bootstrap)
        finally:
            _keep_log(cluster, folder)


def _keep_log(cluster: Cluster, folder: Path) -> None:
    (folder / "kafka.log").write_text(cluster.logs(1000), encoding="utf-8")


def _refuse_used(settings: KafkaSettings) -> None:
    """Old records would be counted, too: the demo checks every number, and needs topics that are empty."""
    Kafka(settings).metadata()
    used = records_in(settings, [topic.name for topic in all_topics(APP_ID)])
    if used:
        name, count = max(used.items(), key=lambda entry: entry[1])
        raise DemoError(
            f"the topics on {settings.bootstrap} have been used ({name} took {count:,} records): the demo checks every "
            "number and cannot have others in between. Use a fresh cluster, or delete its topics first"
        )


@contextmanager
def _stack(folder: Path, kafka: KafkaSettings) -> Iterator[Stack]:
    stack = Stack(folder, clean_environment() | {BOOTSTRAP: kafka.bootstrap})
    try:
        yield stack
    finally:
        stack.stop()
        for sheet in folder.glob("*.records"):  # logs are kept, not the data
            sheet.unlink()


def new_folder() -> Path:
    """A folder for the logs of this run; those of the last few runs are kept."""
    base = os.environ.get("XDG_STATE_HOME")
    runs = (Path(base) if base else Path.home() / ".local" / "state") / "stockstream" / "demo"
    folder = runs / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    folder.mkdir(parents=True)
    for old in sorted(runs.iterdir())[:-KEPT_RUNS]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def _interrupt(_number: int, _frame: object) -> NoReturn:
    """Leave all blocks, which stops all programs; a second signal must not cut that short (it is bounded)."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise _Interrupted
