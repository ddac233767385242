"""The Faust application: one agent over all inputs, the stock table, the clock and the watchdog.

`python -m streams worker` runs it; `faust -A streams.app worker` finds `app` here, too.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import time
from pathlib import Path
from typing import Any

import faust
import structlog
from aiohttp import web

from streams import logs, poison
from streams.clock import Clock, strike
from streams.core.ledger import PoisonError
from streams.engine.crash import OffsetJumpError, crash
from streams.engine.runtime import Options, Runtime
from streams.engine.table import StockTable
from streams.engine.transport import BatchSchema, install
from streams.metrics import Metrics
from streams.settings import Configuration, load_configuration
from streams.web import Site
from topics.admin import TopicsError, check_inputs
from topics.catalogue import BY_NAME, INPUTS, changelog
from topics.settings import EXIT_REFUSED, KafkaSettings, SettingsError

log = structlog.get_logger("stockstream.worker")

PROBE_SECONDS = 0.25
GC_THRESHOLDS = (100_000, 50, 1000)
"""Rows live long and hold no cycles; with Python's defaults, walking them takes half of the fold's time."""
REQUEST_TIMEOUT = 30.0


def create(config: Configuration) -> Any:
    """The application, ready to be run by a Faust worker.

    Raises:
        TopicsError: a topic is missing or has another number of partitions, or Kafka cannot be reached.
    """
    worker, kafka = config.worker, config.kafka
    partitions = check_inputs(kafka, worker.app_id)
    metrics = Metrics()
    runtime = Runtime(worker.app_id, kafka, config.policy, partitions, metrics, Options(window=worker.window_ms / 1000))
    runtime.poison = poison.known(worker.folder)
    app = faust.App(
        worker.app_id,
        broker=[f"kafka://{server}" for server in kafka.bootstrap.split(",")],
        broker_credentials=_credentials(kafka),
        store="memory://",
        Table=StockTable,
        datadir=str(worker.folder),
        web_enabled=False,  # ours is streams.web: Faust's table, stats and router pages stay off
        web_host=worker.web_host,
        web_port=worker.web_port,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=partitions,
        topic_replication_factor=kafka.replication_factor,
        table_standby_replicas=0,
        cython_optimizations=True,
        broker_commit_interval=0.5,
        broker_session_timeout=worker.session_timeout,
        broker_heartbeat_interval=1.0,
        broker_request_timeout=REQUEST_TIMEOUT,
        broker_rebalance_timeout=30.0,
        broker_max_poll_interval=300.0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=4 << 20,
        consumer_group_instance_id=worker.instance_id,
        stream_buffer_maxsize=64,
        stream_wait_empty=True,
        producer_max_batch_size=900_000,
        producer_linger=0.0,
        producer_request_timeout=REQUEST_TIMEOUT,
        worker_redirect_stdouts=False,
        logging_config=logs.configure(worker.log_level, worker.log_format),
    )
    install(app, runtime)
    stock = app.Table(
        "stock", key_type=bytes, value_type=bytes, schema=BatchSchema(), partitions=partitions, recovery_buffer_size=2
    )
    if stock.changelog_topic_name != changelog(worker.app_id).name:
        raise RuntimeError(f"Faust names the changelog {stock.changelog_topic_name}, the catalogue differently")
    _agents(app, runtime, worker.folder)
    _services(app, runtime, metrics, config)
    return app


def _credentials(kafka: KafkaSettings) -> Any:
    auth = kafka.aiokafka_config()
    context = auth.get("ssl_context")
    if kafka.sasl_password is not None:
        return faust.SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.sasl_password.get_secret_value(),
            ssl_context=context,
            mechanism=kafka.sasl_mechanism,
        )
    return faust.SSLCredentials(context) if context is not None else None


def _agents(app: Any, runtime: Runtime, folder: Path) -> None:
    inputs = app.topic(
        *(topic.name for topic in INPUTS),
        schema=BatchSchema(),
        key_type=bytes,
        value_type=bytes,
        value_serializer="raw",
    )

    @app.agent(inputs, name="stock")
    async def stock(stream: Any) -> None:
        """Fold chunks of records. An exception ends the process: nothing is acknowledged by one."""
        consumer = app.consumer
        async for records in stream:
            message = faust.current_event().message
            if not consumer.take(message):
                continue
            try:
                writer = runtime.writers[message.partition]
                await writer.room()
                began = time.perf_counter()
                ledger = runtime.ledgers[message.partition]
                position = ledger.positions.get(message.topic)
                if position is not None and message.start > position:  # whatever let it pass: never fold over a hole
                    raise OffsetJumpError(f"{message.tp}: {message.start} does not continue {position}")
                ledger.fold(BY_NAME[message.topic], records, message.end)
                writer.add(len(records))
                runtime.observer.folded(message.topic, len(records), time.perf_counter() - began)
            except PoisonError as exc:
                poison.add(folder, exc.place)
                crash("rules_failed", exc)
            except BaseException as exc:
                if not (isinstance(exc, asyncio.CancelledError) and app.should_stop):
                    crash("fold_failed", exc)
                raise
            consumer.finish(message)
            await asyncio.sleep(0)


def _services(app: Any, runtime: Runtime, metrics: Metrics, config: Configuration) -> None:
    site = Site(app, runtime, metrics)
    stuck_since = time.monotonic()

    def progress() -> None:
        nonlocal stuck_since
        stuck_since = time.monotonic()

    runtime.progress = progress

    @app.task
    async def serve() -> None:
        """Bind the port or end: a worker that nobody can see is not to be trusted."""
        runner = web.AppRunner(site.application(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        host, port = config.worker.web_host, config.worker.web_port
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as exc:
            crash("web_port_taken", _taken(host, port, exc))
        log.info("listening", url=f"http://{host}:{runner.addresses[0][1]}")

    @app.task
    async def tick() -> None:
        """A tick per partition: grace periods run out inside the log."""
        clock = Clock()
        while not app.should_stop:
            await asyncio.sleep(config.worker.tick_seconds)
            if not (app.rebalancing or app.should_stop):  # at a stop the windows are drained: none may open again
                strike(app, runtime, clock, int(time.time() * 1000))

    @app.task
    async def watchdog() -> None:
        """A rebalance or recovery that never ends must not look like an idle worker."""
        while not app.should_stop:
            began = time.monotonic()
            await asyncio.sleep(PROBE_SECONDS)
            metrics.loop_lag.observe(max(0.0, time.monotonic() - began - PROBE_SECONDS))
            if site.is_running():
                progress()
            elif time.monotonic() - stuck_since > runtime.options.stuck_timeout:
                crash("stuck", f"no progress in rebalance or recovery for {runtime.options.stuck_timeout:.0f} s")


def _taken(host: str, port: int, error: OSError) -> OSError:
    return OSError(f"STOCKSTREAM_WEB_PORT={port}: cannot listen on {host}: {error.strerror or error}")


def refuse(error: Exception, status: int) -> SystemExit:
    """One line on stderr, and the exit status of a program that could not start."""
    sys.stderr.write(f"stockstream: {error}\n")
    return SystemExit(status)


def build() -> Any:
    """The application as the environment describes it; ends the process when that is refused."""
    try:
        config = load_configuration()
    except SettingsError as exc:
        raise refuse(exc, EXIT_REFUSED) from None
    gc.set_threshold(*GC_THRESHOLDS)
    host, port = config.worker.web_host, config.worker.web_port
    try:  # before the group gives us partitions that we would have to leave again
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as exc:
        raise refuse(_taken(host, port, exc), 1) from None
    try:
        return create(config)
    except TopicsError as exc:
        raise refuse(exc, EXIT_REFUSED if "topic " in str(exc) else 1) from None


def __getattr__(name: str) -> Any:
    """`app` is made when it is asked for: importing this module reads no settings and calls no broker."""
    if name != "app":
        raise AttributeError(name)
    globals()["app"] = made = build()
    return made
