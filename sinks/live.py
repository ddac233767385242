"""A sink as a process: its pages, its signals, its exit status."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable

import structlog
from confluent_kafka import KafkaException

from sinks.intake import MissingTopicError
from sinks.runner import Sink
from sinks.settings import SinkSettings
from sinks.web import application, serve

log = structlog.get_logger()


async def live(make: Callable[[], Sink], settings: SinkSettings) -> int:
    """Run a sink with its pages until SIGTERM or SIGINT; returns the exit status."""
    sink = make()
    status = await _serve(sink, settings)
    if sink.stuck:  # its thread would keep the interpreter from ending
        sys.stderr.flush()
        os._exit(status)
    return status


async def _serve(sink: Sink, settings: SinkSettings) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, sink.stop)
    try:
        pages, port = await serve(application(sink), settings.web_host, settings.web_port)
    except OSError as exc:
        log.error("cannot listen", host=settings.web_host, port=settings.web_port, error=exc.strerror)
        return 1
    log.info("sink started", channel=sink.channel.name, kind=sink.kind, web=f"http://{settings.web_host}:{port}")
    try:
        await sink.run()
    except MissingTopicError as exc:
        log.error("cannot start", channel=sink.channel.name, error=str(exc))
        return 1
    except KafkaException as exc:
        log.error("Kafka failed", channel=sink.channel.name, error=str(exc.args[0]))
        return 1
    except Exception:
        log.exception("sink failed", channel=sink.channel.name)  # with nothing committed that was not settled
        return 1
    finally:
        await pages.cleanup()
    log.info("sink stopped", channel=sink.channel.name)
    return 0
