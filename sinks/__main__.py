"""`python -m sinks`: run one channel's sink, list the channels, simulate a channel's API."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Annotated, NoReturn

import structlog
import typer

from sinks.simulators.base import SECRET, TOKEN, Faults, Secrets
from topics.settings import EXIT_REFUSED, KafkaSettings, SettingsError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="""Channel sinks: bring each sales channel to the newest quantity of `stock.sync.v1`.

    One process is one channel of the policy. It keeps only the newest version of each SKU, pushes it, reports what the
    channel said to `channel.reports.v1`, and only then commits. Several of one channel share its partitions.
    """,
)

RUN_HELP = """Run the sink of one channel of the policy until SIGTERM.

Exit status: 0 stopped in order, 2 refused configuration, 1 anything else.

Environment, for a channel named `outlet` (letters in upper case, anything else than letters and digits is `_`):

  STOCKSTREAM_POLICY                        the policy file; the channel's `kind` there is its file in sinks/channels

  STOCKSTREAM_CHANNEL_OUTLET_URL            https://... (http only to this machine, with STOCKSTREAM_ALLOW_LOCAL_HTTP=1)

  STOCKSTREAM_CHANNEL_OUTLET_SECRET         webhook: the signing secret, whsec_<base64>; or ..._SECRET_FILE

  STOCKSTREAM_CHANNEL_OUTLET_TOKEN          shopify: the Admin API access token; or ..._TOKEN_FILE

  STOCKSTREAM_CHANNEL_OUTLET_API_VERSION    shopify: 2026-04 or later

  STOCKSTREAM_HTTP_TIMEOUT_S                15: after this long the outcome of a call is unknown, and it is asked again

  STOCKSTREAM_APP_ID                        stockstream: the group is <app id>-sink-<channel>

  STOCKSTREAM_INSTANCE_ID                   static membership: a restarted sink gets its partitions back at once

  STOCKSTREAM_WEB_HOST, STOCKSTREAM_WEB_PORT   127.0.0.1 and a free port (it is in the first log line)

  STOCKSTREAM_LOG_LEVEL, STOCKSTREAM_LOG_FORMAT   INFO, json; or console

  KAFKA_BOOTSTRAP, KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_*, KAFKA_SSL_*

HTTP: /livez, /readyz, /metrics, and /api/status with everything in JSON.

Example: STOCKSTREAM_POLICY=policy.yaml STOCKSTREAM_CHANNEL_OUTLET_URL=https://shop.example/stock
STOCKSTREAM_CHANNEL_OUTLET_SECRET_FILE=/run/secrets/outlet python -m sinks run outlet --port 8083
"""


def _refuse(error: Exception) -> NoReturn:
    typer.echo(f"refused: {error}", err=True)
    raise typer.Exit(EXIT_REFUSED)


@app.command(help=RUN_HELP)
def run(
    channel: Annotated[str, typer.Argument(help="The channel's name in the policy.")],
    port: Annotated[int | None, typer.Option(help="Port of the HTTP pages; 0: a free one.", min=0, max=65535)] = None,
) -> None:
    """Run one sink."""
    from sinks.channels import build
    from sinks.settings import endpoint_of, load

    try:
        settings, policy = load(web_port=port)
        if channel not in policy.channels:
            raise SettingsError(f"channels.{channel}: not in the policy; it has {', '.join(sorted(policy.channels))}")
        kind = policy.channels[channel].kind
        endpoint = endpoint_of(channel, settings, policy)
        made = build(kind, channel, endpoint)
        kafka = KafkaSettings.load()
    except SettingsError as exc:
        _refuse(exc)
    _log(settings.log_level, settings.log_format)

    from sinks.live import live
    from sinks.runner import Sink

    async def main() -> int:
        return await live(lambda: Sink(kind, made, endpoint, settings, kafka.client_config()), settings)

    raise typer.Exit(asyncio.run(main()))


@app.command("list")
def list_channels() -> None:
    """List the kinds of channel, and the policy's channels with the variables that they need."""
    from sinks.channels import kinds
    from sinks.settings import endpoint_of, load

    typer.echo(f"kinds: {', '.join(kinds())}")
    try:
        settings, policy = load()
    except SettingsError as exc:
        typer.echo(f"no policy: {exc}")
        return
    for name, channel in policy.channels.items():
        try:
            shown = endpoint_of(name, settings, policy).url
        except SettingsError as exc:
            shown = f"not configured: {exc}"
        typer.echo(f"{name}\t{channel.kind}\t{shown}")


SIMULATE_HELP = """Simulate a channel's API on 127.0.0.1 until SIGTERM; prints `ready http://127.0.0.1:PORT`.

It keeps quantities, checks shape, auth, limits and idempotency, and injects faults by a seed.

Faults (--fault NAME=RATE, repeatable; the share of calls): throttle (429 with Retry-After), error (500), unavailable
(503 with Retry-After), auth (401), reset (before or after applying), timeout (after applying), garbage, huge, drip
(applied, but the answer is none), redirect, slow, noop (says it applied, did not), edit (a person edits a quantity).

Admin:

  GET  /admin/quantities    {"quantities": {key: quantity}}; the key is the SKU (webhook), or
                            <inventory item id>|<location id> (shopify)

  POST /admin/quantities    the same shape: a person edits

  GET  /admin/requests      requests, answers by status, faults met, writes, effects, duplicate_effects, repeats (the
                            same idempotency key again), edits, and what was edited

  POST /admin/faults        {"next": ["timeout", "ok", "reset"]}: the faults of the next calls

Example: python -m sinks simulate webhook --port 9001 --seed 7 --fault throttle=0.05 --fault timeout=0.02 --hang-s 5
"""


@app.command(help=SIMULATE_HELP)
def simulate(
    kind: Annotated[str, typer.Argument(help="The kind of channel.")],
    *,
    port: Annotated[int, typer.Option(help="0: a free one.", min=0, max=65535)] = 0,
    seed: Annotated[int, typer.Option(help="The same seed draws the same faults.")] = 0,
    fault: Annotated[list[str] | None, typer.Option(help="NAME=RATE, repeatable.")] = None,
    retry_after_s: Annotated[int, typer.Option(help="Retry-After of throttle and unavailable.", min=0)] = 1,
    hang_s: Annotated[float, typer.Option(help="How long a timeout lasts.", min=0)] = 30.0,
    slow_s: Annotated[float, typer.Option(help="How late a slow answer is.", min=0)] = 1.0,
    most_edits: Annotated[int, typer.Option(help="A person edits at most so often.", min=0)] = 1_000_000,
    token: Annotated[str, typer.Option(help="What opens it, where it wants a token.")] = TOKEN,
    secret: Annotated[str, typer.Option(help="What signs the calls, where they are signed.")] = SECRET,
) -> None:
    """Run one simulator."""
    from sinks.simulators import build

    try:
        rates = {name: float(rate) for name, _, rate in (text.partition("=") for text in fault or [])}
        faults = Faults(seed, rates, retry_after_s, hang_s, slow_s, most_edits)
        simulator = build(kind, Secrets(token, secret), faults)
    except ValueError as exc:
        _refuse(exc)

    async def main() -> int:
        from sinks.web import serve

        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        try:
            pages, real = await serve(simulator.application(), "127.0.0.1", port)
        except OSError as exc:
            typer.echo(f"port {port}: {exc.strerror}", err=True)
            return 1
        typer.echo(f"ready http://127.0.0.1:{real}")
        sys.stdout.flush()
        await stop.wait()
        await pages.cleanup()
        return 0

    raise typer.Exit(asyncio.run(main()))


def _log(level: str, form: str) -> None:
    console = form == "console"
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if console else [structlog.processors.format_exc_info]),
            structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


if __name__ == "__main__":
    app(prog_name="python -m sinks")
