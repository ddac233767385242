"""The commands of `python -m streams`."""

from __future__ import annotations

import getpass
import os
import sys
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from topics.settings import EXIT_REFUSED, KafkaSettings, SettingsError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The stockstream worker, and questions about stock that are answered from Kafka alone.\n\n"
    "Settings come from the environment: KAFKA_BOOTSTRAP (default 127.0.0.1:9092) and the other KAFKA_ names, "
    "STOCKSTREAM_POLICY (the YAML file with channels, tolerances and graces), STOCKSTREAM_APP_ID (stockstream), "
    "STOCKSTREAM_WEB_PORT (default 6066), STOCKSTREAM_INSTANCE_ID (static membership).\n\n"
    "Exit status: 0 done or stopped in order, 2 refused configuration, 1 anything else.",
)
AppId = Annotated[str, typer.Option(envvar="STOCKSTREAM_APP_ID", help="The worker group whose table is read.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
By = Annotated[str, typer.Option(help="Who does it; kept with the discrepancy.")]
Note = Annotated[str, typer.Option(help="Why; kept with the discrepancy.")]
DEFAULT_APP = "stockstream"
SEND_SECONDS = 30.0
PIPED_COLUMNS = 200
"""Into a file or another program nothing is cut to the 80 columns of a terminal that is not there."""


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED_COLUMNS)


@app.command()
def worker() -> None:
    """Run one worker until SIGTERM. Start more of them, each with its own STOCKSTREAM_WEB_PORT, to share the work.

    The topics must exist: python -m topics apply.
    """
    import faust

    from streams.app import build

    built = build()
    faust.Worker(built, loglevel="WARN", quiet=True, override_logging=False).execute_from_commandline()


@app.command()
def stock(sku: str, app_id: AppId = DEFAULT_APP, as_json: AsJson = False) -> None:
    """Show the stock of a SKU as it was last published. Exit 1 if nothing knows it."""
    from streams import explain
    from streams.core.outputs import shown, sync_fields

    row, policy = _reader(app_id).row(sku)
    what = shown(row, policy) if row is not None else None
    if row is None or what is None or row.published is None:
        raise _failed(f"{sku!r} is unknown: no movement of it was applied")
    if as_json:
        typer.echo(orjson.dumps(sync_fields(row, what, row.published)).decode())
        return
    console = _console()
    console.print(explain.headline(row, what[0]))
    for line in explain.channel_lines(row, what[0], policy):
        console.print(line)


@app.command(name="explain")
def explain_sku(
    sku: str,
    last: Annotated[int, typer.Option(min=1, max=1000, help="How many movements to show.")] = 10,
    look_back: Annotated[int, typer.Option(min=1, help="How many records of each topic to search for them.")] = 100_000,
    app_id: AppId = DEFAULT_APP,
) -> None:
    """Show how the numbers of a SKU came about: balances, what each source said, each channel, the last movements."""
    from streams import explain
    from streams.core.numbers import numbers

    reader = _reader(app_id)
    row, policy = reader.row(sku)
    if row is None:
        raise _failed(f"{sku!r} is unknown: no movement of it was applied")
    found, console = numbers(row), _console()
    console.print(explain.headline(row, found))
    for line in explain.channel_lines(row, found, policy):
        console.print(line)
    for table in (
        explain.balances_table(row),
        explain.sources_table(row),
        explain.movements_table(row, reader.movements(sku, last, look_back)),
    ):
        console.print()
        console.print(table)
    for issue in row.issues.values():
        if issue.state != "pending":
            console.print(f"\n{issue.key.kind} {issue.state}: expected {issue.expected}, observed {issue.observed}")


@app.command()
def discrepancies(
    status: Annotated[
        str | None, typer.Option(help="opened, acknowledged, resolved, reopened; default: all open.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Such as count_variance.")] = None,
    sku: Annotated[str | None, typer.Option(help="Of one SKU.")] = None,
    app_id: AppId = DEFAULT_APP,
    as_json: AsJson = False,
) -> None:
    """List discrepancies, oldest first."""
    from rich.table import Table

    from streams.explain import shown_text
    from topics.codec import encode

    found = _reader(app_id).discrepancies(
        lambda d: (
            (d.status == status if status else d.status != "resolved")
            and (kind is None or d.kind == kind)
            and (sku is None or d.sku == sku)
        )
    )
    if as_json:
        typer.echo(orjson.dumps([orjson.loads(encode(d)) for d in found]).decode())
        return
    table = Table(show_edge=False)
    for column in ("id", "kind", "sku", "expected", "observed", "status"):
        table.add_column(column, no_wrap=column == "id")
    for d in found:
        place = d.location or d.channel or d.reference
        where = shown_text(d.sku) + (f" at {shown_text(place)}" if place else f" by {shown_text(', '.join(d.sources))}")
        status_words = f"{d.status} {d.opened_at:%Y-%m-%d %H:%M}"
        table.add_row(
            d.discrepancy_id, f"{d.kind} ({d.severity})", where, str(d.expected), str(d.observed), status_words
        )
    _console().print(table if found else "no discrepancies")


@app.command()
def acknowledge(discrepancy_id: str, by: By = "", note: Note = "", app_id: AppId = DEFAULT_APP) -> None:
    """Say that somebody works on a discrepancy."""
    _on_discrepancy("acknowledge", discrepancy_id, by, note, app_id)


@app.command()
def resolve(discrepancy_id: str, by: By = "", note: Note = "", app_id: AppId = DEFAULT_APP) -> None:
    """Say that a discrepancy is settled."""
    _on_discrepancy("resolve", discrepancy_id, by, note, app_id)


@app.command()
def reopen(discrepancy_id: str, by: By = "", note: Note = "", app_id: AppId = DEFAULT_APP) -> None:
    """Say that a discrepancy was settled too early."""
    _on_discrepancy("reopen", discrepancy_id, by, note, app_id)


@app.command()
def resync(
    sku: str,
    channel: Annotated[str, typer.Option(help="One channel, or all.")] = "all",
    by: By = "",
    note: Note = "",
) -> None:
    """Publish a SKU again with a higher version, so that channels are written anew."""
    _send(type="resync", sku=sku, channel=channel, by=by, note=note)


@app.command()
def verify(app_id: AppId = DEFAULT_APP) -> None:
    """Fold the input logs again from their start and compare with the live table. Exit 1 if a SKU differs."""
    from streams.settings import load_configuration
    from streams.verify import verify as run

    reader, console = _reader(app_id), Console(stderr=True)
    with console.status("replaying") as status:
        outcome = run(reader, load_configuration().policy, lambda n: status.update(f"replaying: {n:,} records"))
    for sku, what, live, replayed in outcome.differences[:20]:
        typer.echo(f"{sku!r}: {what}: the table says {live}, the log {replayed}")
    typer.echo(f"{outcome.skus:,} SKUs from {outcome.records:,} records: {len(outcome.differences)} differences")
    if outcome.differences:
        raise typer.Exit(1)


def _reader(app_id: str) -> Any:
    from streams.reader import Reader

    return Reader(KafkaSettings.load(), app_id)


def _failed(message: str) -> typer.Exit:
    typer.echo(f"stockstream: {message}", err=True)
    return typer.Exit(1)


def _on_discrepancy(kind: str, discrepancy_id: str, by: str, note: str, app_id: str) -> None:
    found = _reader(app_id).discrepancies(lambda d: d.discrepancy_id == discrepancy_id)
    if not found:
        raise _failed(f"there is no discrepancy {discrepancy_id!r}; see: python -m streams discrepancies")
    _send(type=kind, sku=found[0].sku, discrepancy_id=discrepancy_id, by=by, note=note)


def _send(**command: Any) -> None:
    """Put a command into the log, and wait until Kafka has it."""
    from confluent_kafka import Producer

    from topics.catalogue import COMMANDS
    from topics.codec import ADAPTERS, encode

    command |= {
        "event_id": uuid.uuid4().hex,
        "by": command["by"] or getpass.getuser(),
        "occurred_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    asked = ADAPTERS[COMMANDS.name].validate_python(command)
    failures: list[str] = []
    producer = Producer({**KafkaSettings.load().client_config(), "partitioner": "murmur2_random", "acks": "all"})
    producer.produce(
        COMMANDS.name,
        key=asked.sku.encode(),
        value=encode(asked),
        on_delivery=lambda error, _: failures.append(error.str()) if error is not None else None,
    )
    if producer.flush(SEND_SECONDS) or failures:
        raise _failed(f"the command was not sent: {failures[0] if failures else 'Kafka does not answer'}")
    typer.echo(f"{command['type']} sent for {asked.sku}")


def main() -> int:
    """Run the command line; returns the exit status."""
    from streams.core.rows import RowError
    from streams.reader import ReadError
    from topics.admin import TopicsError

    try:
        app()
    except SettingsError as exc:
        typer.echo(f"stockstream: {exc}", err=True)
        return EXIT_REFUSED
    except (TopicsError, ReadError, RowError) as exc:
        typer.echo(f"stockstream: {exc}", err=True)
        return 1
    return 0
