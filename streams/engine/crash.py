"""Crash only: after a failure no clean-up code may run, because clean-up code commits."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import structlog

EXIT_FAILED = 1
log = structlog.get_logger("stockstream.engine")


class OffsetJumpError(RuntimeError):
    """The log does not continue where it was left."""


def crash(event: str, reason: BaseException | str) -> NoReturn:
    """End the process now, with one line that tells why. The orchestrator restarts it; Kafka has what counts."""
    error = reason if isinstance(reason, BaseException) else None
    log.critical(event, reason=str(reason) or repr(reason), error=type(reason).__name__, exc_info=error)
    sys.stderr.flush()
    os._exit(EXIT_FAILED)
