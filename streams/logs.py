"""Structured logs on stderr: one JSON object a line (or coloured text), Faust's and aiokafka's lines included."""

from __future__ import annotations

import logging
import logging.config
import sys
from typing import Any

import structlog

QUIET = ("aiokafka", "faust", "mode", "kafka", "asyncio", "aiohttp.access", "streams.engine")
"""Libraries whose ordinary lines say what ours say better: only their warnings show."""


def configure(level: str, style: str) -> dict[str, Any]:
    """Set up logging for the process. `level` as logging names it; `style`: json or console.

    Returns the configuration, for Faust's setting `logging_config`.
    """
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info if style == "json" else _unchanged,
    ]
    renderer: Any = structlog.processors.JSONRenderer() if style == "json" else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    )
    config = faust_config(formatter, level)
    logging.config.dictConfig(config)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    return config


def faust_config(formatter: logging.Formatter, level: str) -> dict[str, Any]:
    """For logging.config; Faust's own command clears the root logger's handlers and applies this again."""

    def handler() -> logging.Handler:
        made = logging.StreamHandler(sys.stderr)
        made.setFormatter(formatter)
        return made

    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"stderr": {"()": handler}},
        "root": {"handlers": ["stderr"], "level": level},
    }


def _unchanged(_logger: Any, _method: str, event: Any) -> Any:
    return event
