"""The commands of `python -m streams`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from topics.settings import EXIT_REFUSED, SettingsError

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


@app.callback()
def _commands() -> None:
    """Also with a single command, its name is given."""


@app.command()
def worker() -> None:
    """Run one worker until SIGTERM. Start more of them, each with its own STOCKSTREAM_WEB_PORT, to share the work.

    The topics must exist: python -m topics apply.
    """
    import faust

    from streams.app import build

    built = build()
    faust.Worker(built, loglevel="WARN", quiet=True, override_logging=False).execute_from_commandline()


def main() -> int:
    """Run the command line; returns the exit status."""
    try:
        app()
    except SettingsError as exc:
        typer.echo(f"stockstream: {exc}", err=True)
        return EXIT_REFUSED
    return 0


__all__ = ["Annotated", "Any", "app", "main"]
